//! A run driven by hand: plans from YAML, a journal, and checks that hold after every input.

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;
use jiff::{SignedDuration, Timestamp};
use tagline_plan::{NeedResult, Person, Plan, Request, Trigger, WorkflowFile};
use tagline_run::{
    ApprovedBy, Attempt, Cause, Conclusion, Decision, Effect, Event, Fact, GateId, GateStatus, Input, JobKey, Refusal,
    Report, Rerun, RunId, RunState, Sender, Signature, Start, Token, Vote, create, decide, locks, outstanding, view,
};
use tagline_syntax::diagnostic::SourceFile;

pub(crate) const ENVIRONMENTS: &str = "
teams:
  ops: [ana@example.com, li@example.com]
  managers: [sam@example.com, ona@example.com]
environments:
  staging: {}
  free: { reviewers: { any-of: [jonas@example.com], prevent-self-review: false } }
  production:
    after: staging
    tags: '>=1.0.0'
    expires: 72h
    reviewers: { any-of: [ops, managers], required: 2, from: { ops: 1 } }
  guarded:
    reviewers: { any-of: [ops, managers], required: 1 }
";

pub(crate) fn person(name: &str) -> Person {
    Person { name: name.into(), email: format!("{name}@example.com") }
}

pub(crate) fn plan(workflow: &str) -> Plan {
    plan_of(workflow, Some("v1.2.3"))
}

pub(crate) fn plan_of(workflow: &str, tag: Option<&str>) -> Plan {
    let outcome = tagline_syntax::workflow::read(&SourceFile::new("release.yml", workflow));
    let workflow = outcome.workflow.unwrap_or_else(|| panic!("{:#?}\n{workflow}", outcome.diagnostics));
    let environments = tagline_syntax::environments::read(&SourceFile::new("environments.yml", ENVIRONMENTS));
    let environments = environments.file.unwrap_or_else(|| panic!("{:#?}", environments.diagnostics));
    tagline_plan::build(Request {
        repository: "village-storefront".into(),
        trigger: Trigger {
            event: "push".into(),
            commit: "4f9c2ab".repeat(6)[..40].into(),
            subject: "Fix tenant cache".into(),
            reference: tag.map_or("refs/heads/main".into(), |tag| format!("refs/tags/{tag}")),
            tag: tag.map(str::to_owned),
            version: tag.map(|tag| tag.trim_start_matches('v').to_owned()),
            working_tree: false,
            actor: person("jonas"),
            involved: BTreeMap::from([("author".into(), person("li"))]),
            payload: serde_json::json!({}),
        },
        workflow: &workflow,
        file: WorkflowFile { path: "release.yml".into(), name: "release".into(), digest: digest(7) },
        environments: Some(&environments),
        policy_version: digest(8),
        policy_origin: "main, 71aa0c3".into(),
        inputs: serde_json::Map::new(),
    })
    .unwrap_or_else(|errors| panic!("{errors:#?}"))
}

pub(crate) fn digest(n: u8) -> String {
    format!("sha256:{}", format!("{n:02x}").repeat(32))
}

pub(crate) fn key(text: &str) -> JobKey {
    text.parse().unwrap()
}

/// A run with its journal.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) state: RunState,
    pub(crate) journal: Vec<Event>,
    pub(crate) now: Timestamp,
    pub(crate) random: u64,
    /// Check replay and doubling after every input.
    pub(crate) strict: bool,
}

impl World {
    pub(crate) fn new(workflow: &str) -> Self {
        Self::of(plan(workflow))
    }

    pub(crate) fn of(plan: Plan) -> Self {
        let now: Timestamp = "2026-11-19T14:20:00Z".parse().unwrap();
        let start = Start {
            run: RunId(418),
            plan: Box::new(plan),
            runner: "fake".into(),
            allow_downgrade: false,
            identity: "0a1b".into(),
        };
        let journal = create(start, now).unwrap();
        let state = RunState::load(&journal).unwrap();
        let world = Self { state, journal, now, random: 0, strict: true };
        world.check();
        world
    }

    pub(crate) fn pass(&mut self, seconds: i64) {
        self.now = self.now.saturating_add(SignedDuration::from_secs(seconds)).unwrap();
    }

    /// Tells the run something; everything that must always hold is checked.
    pub(crate) fn try_tell(&mut self, input: Input) -> Result<Vec<Event>, Refusal> {
        let decided = decide(&self.state, input.clone(), self.now);
        assert_eq!(decided, decide(&self.state, input.clone(), self.now), "decide is not deterministic");
        let events = decided?;
        let late = matches!(input, Input::Rerun { .. } | Input::Milestone { .. } | Input::Retired { .. });
        if self.state.finished.is_some() && !late {
            assert!(events.is_empty(), "something happened after the end: {events:#?}");
        }
        for event in &events {
            self.check_event(event);
            self.state.apply(event).unwrap();
            self.journal.push(event.clone());
        }
        self.check();
        if !matches!(input, Input::Rerun { .. }) {
            let again = decide(&self.state, input, self.now).unwrap_or_default();
            assert!(again.is_empty(), "said twice, it did more: {again:#?} after {events:#?}");
        }
        Ok(events)
    }

    pub(crate) fn tell(&mut self, input: Input) -> Vec<Event> {
        self.try_tell(input).unwrap_or_else(|refusal| panic!("{refusal}\n{:#?}", self.names()))
    }

    pub(crate) fn names(&self) -> Vec<&'static str> {
        self.journal.iter().map(|event| event.fact.name()).collect()
    }

    /// What one event may not do.
    fn check_event(&self, event: &Event) {
        assert!(event.at >= self.state.latest, "time went back");
        match &event.fact {
            Fact::JobReady { job, .. } => {
                for need in &self.state.plan.jobs[job].job.needs {
                    assert!(self.state.jobs[need].is_over(), "{job} was ready before {need}");
                }
            }
            Fact::JobStarted { key, .. } => self.check_start(key),
            Fact::GateRequested { jobs, .. } => self.check_stage(jobs),
            Fact::GateApproved { gate, by: ApprovedBy::Votes } => {
                let opened = self.state.gates[gate].opened.as_ref().unwrap();
                let requires = opened.requires.as_ref().unwrap();
                let yes: BTreeSet<_> = opened.approvers().map(|p| &p.email).collect();
                assert!(yes.len() >= requires.required as usize, "approved without its quorum");
                let ops = ["ana@example.com", "li@example.com"];
                let from_ops = yes.iter().filter(|who| ops.contains(&who.as_str())).count();
                assert!(from_ops >= *requires.from.get("ops").unwrap_or(&0) as usize);
                let began = [&self.state.plan.trigger.actor.email, &self.state.attempt_by.email];
                assert!(!requires.prevent_self_review || !yes.iter().any(|who| began.contains(who)), "self-approved");
            }
            Fact::GateApproved { gate, by: ApprovedBy::Rule } => {
                assert!(self.state.gates[gate].opened.as_ref().unwrap().requires.is_none());
            }
            _ => {}
        }
    }

    /// A gate covers nothing that comes after a job which may still put out what nobody has seen.
    fn check_stage(&self, jobs: &[JobKey]) {
        for key in jobs {
            for before in &self.state.plan.jobs[&key.job].ancestors {
                let seen = self.state.jobs[before].is_over() || jobs.iter().any(|other| other.job == *before);
                assert!(seen, "the gate covers {key}, which comes after {before}, and that goes on outside of it");
            }
        }
    }

    fn check_start(&self, key: &JobKey) {
        let leg = self.state.leg(key).unwrap();
        assert!(leg.steps.is_empty(), "{key} is launched again after a step of it began");
        for need in &self.state.plan.jobs[&key.job].job.needs {
            assert!(self.state.jobs[need].is_over(), "{key} started before {need} had ended");
        }
        if leg.ready.leg.environment.is_some() {
            let (_, gate) = self.state.gate_of(key).expect("a leg with an environment has a gate");
            assert!(matches!(gate.status, GateStatus::Approved { .. }), "{key} started at a closed gate");
            assert_eq!(gate.attempt, self.state.attempt, "an approval of another attempt was used");
            let opened = gate.opened.as_ref().unwrap();
            for (name, digest) in &opened.plan.artifacts {
                assert_eq!(&self.state.artifacts[name].digest, digest, "approved bytes changed");
            }
            for need in &self.state.plan.jobs[&key.job].job.needs {
                let bound = opened.plan.outputs.get(need).cloned().unwrap_or_default();
                let inside = gate.jobs.iter().any(|other| other.job == *need);
                assert!(inside || self.state.jobs[need].outputs() == bound, "{key} uses outputs of {need} unapproved");
            }
        }
        let ready = self.state.jobs[&key.job].ready.as_ref().unwrap();
        let running = ready.legs.iter().filter(|leg| leg.started.is_some() && leg.ended.is_none()).count();
        assert!(ready.max_parallel.is_none_or(|max| running < max as usize), "max-parallel is broken");
    }

    /// What must hold in every state.
    pub(crate) fn check(&self) {
        let effects = outstanding(&self.state);
        assert_eq!(effects.is_empty(), self.state.finished.is_some(), "outstanding and the end disagree");
        assert_eq!(effects, outstanding(&self.state));
        if self.state.finished.is_some() {
            assert!(self.state.locks.is_empty(), "a finished run holds locks");
            assert!(self.state.gates.values().all(|gate| !gate.status.is_pending()), "a gate was left open");
            assert!(self.state.jobs.values().all(tagline_run::JobState::is_over));
        }
        for id in self.state.jobs.keys() {
            assert_eq!(self.state.jobs[id].is_over(), self.state.jobs[id].result().is_some());
        }
        let shown = view::run(&self.state);
        assert_eq!(shown.status.is_over(), self.state.finished.is_some());
        for job in shown.jobs.iter().take(20) {
            assert!(view::explain(&self.state, &job.id).is_some(), "{} cannot be explained", job.id);
        }
        for gate in self.state.gates.keys() {
            assert!(view::approval(&self.state, *gate, Some("ana@example.com"), None).is_some());
        }
        if self.strict {
            let json: Vec<String> = self.journal.iter().map(|e| serde_json::to_string(e).unwrap()).collect();
            let read: Vec<Event> = json.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
            assert_eq!(RunState::load(&read).unwrap(), self.state, "the journal does not give the state");
        }
    }

    // What the world does.

    pub(crate) fn gate(&self, environment: &str) -> GateId {
        let of = |(_, gate): &(&GateId, &tagline_run::Gate)| gate.environment == environment;
        *self.state.gates.iter().rev().find(of).unwrap_or_else(|| panic!("no gate {environment}")).0
    }

    pub(crate) fn status(&self, job: &str) -> view::Status {
        view::job(&self.state, &key(job)).unwrap_or_else(|| panic!("no job {job}")).status
    }

    pub(crate) fn result(&self, job: &str) -> Option<NeedResult> {
        self.state.jobs[job].result()
    }

    pub(crate) fn sender(&self, job: &str) -> Sender {
        let key = key(job);
        let leg = self.state.leg(&key).unwrap_or_else(|| panic!("no leg {job}"));
        let started = leg.started.as_ref().unwrap_or_else(|| panic!("{job} has not started: {:?}", self.names()));
        Sender { token: started.token.clone(), attempt: leg.attempt, key }
    }

    pub(crate) fn fresh(&mut self) -> String {
        self.random += 1;
        format!("random-{}", self.random)
    }

    /// Grants what locks it asks for, as if it were alone.
    pub(crate) fn grant_locks(&mut self) {
        loop {
            let wanted: BTreeSet<_> = locks::wanted(&self.state).cloned().collect();
            let mut told = Vec::new();
            for lock in wanted {
                told.extend(locks::arbitrate(&lock, &locks::claims(&self.state, &lock)));
            }
            let events: usize = told.into_iter().map(|(_, input)| self.try_tell(input).map_or(0, |e| e.len())).sum();
            if events == 0 {
                break;
            }
        }
    }

    /// Does what needs no people until nothing is left: gates are prepared, locks granted, jobs started but not ended.
    pub(crate) fn settle(&mut self) {
        loop {
            self.grant_locks();
            let effects = outstanding(&self.state);
            let Some(input) = effects.into_iter().find_map(|effect| self.answer(&effect)) else { break };
            self.tell(input);
        }
    }

    /// Does what needs neither people nor the arbiter; how much happened.
    pub(crate) fn prepare_and_start(&mut self) -> usize {
        let mut events = 0;
        while let Some(input) = outstanding(&self.state).into_iter().find_map(|effect| self.answer(&effect)) {
            events += self.tell(input).len();
        }
        events
    }

    /// Ends a started job and leaves the rest to the arbiter.
    pub(crate) fn finish_alone(&mut self, job: &str) {
        let finished = Report::Finished {
            conclusion: Conclusion::Success,
            outputs: IndexMap::new(),
            url: String::new(),
            why: String::new(),
            timed_out: false,
        };
        self.tell(Input::Reported { from: self.sender(job), reports: vec![finished] });
    }

    fn answer(&mut self, effect: &Effect) -> Option<Input> {
        match effect {
            Effect::StartJob { key, .. } => {
                Some(Input::JobStarting { key: key.clone(), token: Token(self.fresh()), executor: "fake".into() })
            }
            Effect::PrepareGate { gate, .. } => Some(Input::GatePrepared {
                gate: *gate,
                nonce: self.fresh(),
                passed: BTreeSet::new(),
                deliveries: Vec::new(),
            }),
            _ => None,
        }
    }

    pub(crate) fn end(&mut self, job: &str, conclusion: Conclusion, outputs: &[(&str, &str)]) {
        self.settle();
        let outputs: IndexMap<_, _> = outputs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let why = if conclusion == Conclusion::Failure { "step 2 (test) failed" } else { "" };
        let finished = Report::Finished { conclusion, outputs, url: String::new(), why: why.into(), timed_out: false };
        let started = Report::StepStarted { step: 0, id: "__run".into(), name: "Run make".into() };
        let step = Report::StepFinished { step: 0, outcome: conclusion, conclusion, why: why.into() };
        self.tell(Input::Reported { from: self.sender(job), reports: vec![started, step, finished] });
        self.settle();
    }

    pub(crate) fn ok(&mut self, job: &str) {
        self.end(job, Conclusion::Success, &[]);
    }

    pub(crate) fn fails(&mut self, job: &str) {
        self.end(job, Conclusion::Failure, &[]);
    }

    pub(crate) fn store(&mut self, job: &str, name: &str, bytes: u8, overwrite: bool) -> Result<Vec<Event>, Refusal> {
        self.settle();
        let from = self.sender(job);
        self.try_tell(Input::ArtifactStored {
            from,
            name: name.into(),
            digest: digest(bytes),
            size: 9,
            kind: "file".into(),
            overwrite,
        })
    }

    pub(crate) fn ballot(&self, gate: GateId, decision: Decision, who: &str) -> Vote {
        let voter = person(who);
        let statement = self.state.statement(gate, decision, &voter.email, "", self.now).expect("the gate is open");
        Vote { statement, signature: Signature::Unsigned, voter, via: "cli".into() }
    }

    pub(crate) fn vote(&mut self, environment: &str, decision: Decision, who: &str) -> Result<Vec<Event>, Refusal> {
        let ballot = self.ballot(self.gate(environment), decision, who);
        let told = self.try_tell(Input::Vote(Box::new(ballot)));
        self.settle();
        told
    }

    pub(crate) fn approve(&mut self, environment: &str, who: &str) {
        self.vote(environment, Decision::Approve, who).unwrap_or_else(|refusal| panic!("{refusal}"));
    }

    pub(crate) fn cancel(&mut self, force: bool) {
        self.tell(Input::Cancel { by: person("jonas"), reason: String::new(), force });
        self.settle();
    }

    pub(crate) fn rerun(&mut self, what: Rerun) {
        self.tell(Input::Rerun { by: person("jonas"), what, allow_downgrade: false });
        self.settle();
    }

    pub(crate) fn finished(&self) -> (Conclusion, tagline_run::Ending) {
        let finished = self.state.finished.as_ref().unwrap_or_else(|| panic!("it goes on: {:?}", self.names()));
        (finished.conclusion, finished.ending)
    }

    pub(crate) fn cause(&self, job: &str) -> Cause {
        self.state.jobs[&key(job).job].ends().next().unwrap().cause
    }

    pub(crate) fn attempt(&self) -> Attempt {
        self.state.attempt
    }
}
