//! Generated plans, driven by anything in any order. [`World::try_tell`] checks after every input what must always hold:
//! no job before its needs, no start at a closed gate, no approval without its quorum, nothing after the end, the same
//! decision every time, nothing more when said twice, and the journal gives the state.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use indexmap::IndexMap;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};
use tagline_run::{
    Attempt, Conclusion, Decision, Effect, Fact, GateId, GateStatus, Holder, Input, JobKey, Lock, Milestone, Report,
    Rerun, RunId, Sender, TimerId, Token, locks, outstanding,
};

use crate::support::{World, digest, key, person};

/// One job of a generated workflow.
#[derive(Debug, Clone)]
struct GenJob {
    needs: u8,
    condition: usize,
    environment: usize,
    matrix: usize,
    group: usize,
    tolerated: bool,
}

fn jobs() -> impl Strategy<Value = Vec<GenJob>> {
    let job = (any::<u8>(), 0..6usize, 0..8usize, 0..6usize, 0..6usize, any::<bool>());
    let job = job.prop_map(|(needs, condition, environment, matrix, group, tolerated)| GenJob {
        needs,
        condition,
        environment,
        matrix,
        group,
        tolerated,
    });
    proptest::collection::vec(job, 1..6)
}

fn workflow(jobs: &[GenJob], grouped: bool) -> String {
    let mut text = String::from("on: push\n");
    if grouped {
        text.push_str("concurrency: whole\n");
    }
    text.push_str("jobs:\n");
    for (n, job) in jobs.iter().enumerate() {
        let needs: Vec<String> = (0..n).filter(|i| job.needs & (1 << i) != 0).map(|i| format!("j{i}")).collect();
        let first = needs.first();
        writeln!(text, "  j{n}:\n    runs-on: x\n    outputs: {{ n: '', e: '' }}\n    steps: [ {{ run: make }} ]")
            .unwrap();
        if !needs.is_empty() {
            writeln!(text, "    needs: [{}]", needs.join(", ")).unwrap();
        }
        let condition = ["", "always()", "failure()", "'!cancelled()'", "vars.X == 'on'", ""][job.condition];
        if !condition.is_empty() {
            writeln!(text, "    if: {condition}").unwrap();
        }
        match (["", "", "staging", "production", "guarded", "free", "guarded", "later"][job.environment], first) {
            ("", _) | ("later", None) => {}
            ("later", Some(need)) => {
                writeln!(text, "    environment: '${{{{ needs.{need}.outputs.e }}}}'").unwrap();
            }
            (name, _) => writeln!(text, "    environment: {name}").unwrap(),
        }
        let matrix = match (job.matrix, first) {
            (1, _) => "matrix: { n: [1, 2, 3] }".to_owned(),
            (2, _) => "max-parallel: 1, fail-fast: false, matrix: { n: [1, 2] }".to_owned(),
            (3, Some(need)) => format!("matrix: {{ n: '${{{{ fromJSON(needs.{need}.outputs.n) }}}}' }}"),
            _ => String::new(),
        };
        if !matrix.is_empty() {
            writeln!(text, "    strategy: {{ {matrix} }}").unwrap();
        }
        match job.group {
            1 => text.push_str("    concurrency: one\n"),
            2 => text.push_str("    concurrency: { group: two, cancel-in-progress: true }\n"),
            _ => {}
        }
        if job.tolerated && job.condition == 0 {
            text.push_str("    continue-on-error: true\n");
        }
    }
    text
}

/// Choices from a list of numbers.
struct Driver {
    world: World,
    /// Everybody who ever started, to report again when nobody waits for it.
    senders: Vec<Sender>,
}

impl Driver {
    fn new(workflow: &str) -> Self {
        let mut world = World::new(workflow);
        world.strict = false;
        Self { world, senders: Vec::new() }
    }

    fn tell(&mut self, input: Input) {
        if let Ok(events) = self.world.try_tell(input) {
            for event in events {
                if let Fact::JobStarted { key, attempt, token, .. } = event.fact {
                    self.senders.push(Sender { key, attempt, token });
                }
            }
        }
    }

    fn choose(&mut self, choice: u32) {
        let (action, n) = (choice % 20, choice / 20);
        match action {
            0..=9 => {
                let effects = outstanding(&self.world.state);
                if let Some(effect) = effects.get(n as usize % effects.len().max(1)) {
                    self.answer(effect, n);
                }
            }
            10 | 11 => self.vote(n),
            12 | 13 => self.world.grant_locks(),
            14 if n.is_multiple_of(6) => {
                self.tell(Input::Cancel { by: person("li"), reason: "why not".into(), force: n.is_multiple_of(4) });
            }
            15 => {
                let what = [Rerun::All, Rerun::Failed, Rerun::From("j0".into())][n as usize % 3].clone();
                self.tell(Input::Rerun { by: person("li"), what, allow_downgrade: false });
            }
            16 => self.hostile(n),
            17 => {
                if let Some(from) = self.senders.get(n as usize % self.senders.len().max(1)).cloned() {
                    self.report(from, n);
                }
            }
            18 => self.world.pass(i64::from(n % 2000) - 1000),
            _ => {
                let claims: Vec<_> = self.world.state.locks.keys().cloned().collect();
                if let Some((lock, holder)) = claims.get(n as usize % claims.len().max(1)).cloned() {
                    self.tell(Input::Superseded { lock, holder, by: RunId(500) });
                }
            }
        }
    }

    fn answer(&mut self, effect: &Effect, n: u32) {
        match effect {
            Effect::StartJob { key, .. } => {
                let token = Token(self.world.fresh());
                self.tell(Input::JobStarting { key: key.clone(), token, executor: "fake".into() });
            }
            Effect::PrepareGate { gate, .. } if n % 9 == 8 => {
                self.tell(Input::GateUnprepared { gate: *gate, why: "out of reach".into() });
            }
            Effect::PrepareGate { gate, .. } => {
                let passed = if n.is_multiple_of(2) { self.everything() } else { BTreeSet::new() };
                let nonce = self.world.fresh();
                self.tell(Input::GatePrepared { gate: *gate, nonce, passed, deliveries: Vec::new() });
            }
            Effect::Attend { key, attempt, token, .. } | Effect::CancelJob { key, attempt, token, .. } => {
                self.report(Sender { key: key.clone(), attempt: *attempt, token: token.clone() }, n);
            }
            Effect::SetTimer { timer, at } => {
                let late = if n.is_multiple_of(3) { 600 } else { 0 };
                self.world.now = *at;
                self.world.pass(late);
                self.tell(Input::TimerFired(timer.clone()));
            }
            Effect::CheckTimer { timer, .. } => {
                if n.is_multiple_of(2) {
                    self.world.now = self.world.state.created_at;
                }
                self.tell(Input::TimerChecked(timer.clone()));
            }
        }
    }

    fn everything(&self) -> BTreeSet<String> {
        let artifacts = self.world.state.artifacts.values().map(|artifact| artifact.digest.clone());
        artifacts.chain([self.world.state.plan.release_digest.clone()]).collect()
    }

    fn report(&mut self, from: Sender, n: u32) {
        let why = String::from("because");
        let conclusion = [Conclusion::Success, Conclusion::Success, Conclusion::Failure, Conclusion::Cancelled];
        let conclusion = conclusion[n as usize / 16 % 4];
        let step = Report::StepStarted { step: n % 2, id: "a".into(), name: "a".into() };
        let ended = Report::StepFinished { step: n % 2, outcome: conclusion, conclusion, why: why.clone() };
        let value = |text: &str| text.to_owned();
        let outputs: IndexMap<_, _> = [
            (value("n"), value(["[1, 2]", "[]", "{", "[7]"][n as usize / 64 % 4])),
            (value("e"), value(["staging", "guarded", "", "nowhere"][n as usize / 256 % 4])),
        ]
        .into_iter()
        .collect();
        let finished =
            Report::Finished { conclusion, outputs, url: String::new(), why: why.clone(), timed_out: n % 17 == 16 };
        let milestone = Milestone {
            name: ["begun", "switched", "deleted"][n as usize / 16 % 3].into(),
            text: why.clone(),
            data: serde_json::json!({ "n": n % 3 }),
        };
        let input = match n % 10 {
            8 => Input::Milestone { from, step: n % 2, milestone },
            9 => {
                let Sender { key, attempt, .. } = from;
                Input::Retired { key, attempt, step: n % 2, milestone }
            }
            0 => Input::Reported { from, reports: vec![step] },
            1 => Input::Reported { from, reports: vec![ended] },
            2 => Input::AgentGone { from, steps_started: n.is_multiple_of(16) },
            3 => Input::LaunchFailed { from, why, retryable: !n.is_multiple_of(5) },
            4 => Input::ArtifactStored {
                from,
                name: ["app", "notes"][n as usize / 8 % 2].into(),
                digest: digest(u8::try_from(n / 16 % 3).unwrap()),
                size: 1,
                kind: "file".into(),
                overwrite: n.is_multiple_of(32),
            },
            5 => Input::Reported { from, reports: vec![step, ended, finished] },
            _ => Input::Reported { from, reports: vec![finished] },
        };
        self.tell(input);
    }

    fn vote(&mut self, n: u32) {
        // Mostly gates that wait, sometimes one that is decided.
        let gates = &self.world.state.gates;
        let opened: Vec<GateId> = gates.iter().filter(|(_, g)| g.opened.is_some()).map(|(id, _)| *id).collect();
        let waiting = opened.iter().filter(|id| gates[id].status == GateStatus::Open).copied();
        let waiting: Vec<GateId> = waiting.collect();
        let open = if waiting.is_empty() || n.is_multiple_of(5) { opened } else { waiting };
        let Some(gate) = open.get(n as usize % open.len().max(1)) else { return };
        let who = ["ana", "sam", "ona", "li", "jonas", "eve"][n as usize / 4 % 6];
        let decision = if n % 7 == 6 { Decision::Reject } else { Decision::Approve };
        let mut ballot = self.world.ballot(*gate, decision, who);
        if n % 29 == 28 {
            ballot.statement.gate_digest = digest(9);
        }
        self.tell(Input::Vote(Box::new(ballot)));
    }

    /// Nonsense, with names that do not exist.
    fn hostile(&mut self, n: u32) {
        let keys = ["nope", "j0.99", "j0", "j1.2"];
        let job: JobKey = key(keys[n as usize % 4]);
        let from = Sender { key: job.clone(), attempt: Attempt(n % 3), token: Token("forged".into()) };
        let gate = GateId(n % 5 * 1000);
        let timers = [TimerId::Run, TimerId::Gate(gate), TimerId::Job(job.clone()), TimerId::Launch(job.clone())];
        let timer = timers[n as usize / 4 % 4].clone();
        self.tell(match n / 16 % 8 {
            0 => Input::JobStarting { key: job, token: Token("t".into()), executor: "fake".into() },
            1 => Input::AgentGone { from, steps_started: true },
            2 => Input::GatePrepared { gate, nonce: "n".into(), passed: BTreeSet::new(), deliveries: Vec::new() },
            3 => Input::TimerFired(timer),
            4 => Input::TimerChecked(timer),
            5 => Input::LockGranted { lock: Lock::group("x"), holder: Holder::Job(job) },
            6 => Input::Superseded { lock: Lock::group("x"), holder: Holder::Run, by: RunId(1) },
            _ => Input::Rerun { by: person("eve"), what: Rerun::From("nope".into()), allow_downgrade: false },
        });
    }

    /// Lets everybody do their part; the run must come to its end.
    fn drain(&mut self) {
        for round in 0..400 {
            if self.world.state.finished.is_some() {
                return;
            }
            self.world.grant_locks();
            let effects = outstanding(&self.world.state);
            let waits = self.world.state.waits_for_people();
            for effect in effects {
                match &effect {
                    Effect::SetTimer { timer: TimerId::Launch(_), .. } | Effect::CheckTimer { .. } => {
                        self.answer(&effect, 1);
                    }
                    // Half of the gates get their votes, the others expire.
                    Effect::SetTimer { timer: TimerId::Gate(gate), .. } if waits => {
                        if gate.0.is_multiple_of(2) || round > 100 {
                            self.answer(&effect, 1);
                        } else {
                            for who in ["ana", "sam", "ona", "jonas"] {
                                if self.world.state.gates[gate].status == GateStatus::Open {
                                    let ballot = self.world.ballot(*gate, Decision::Approve, who);
                                    self.tell(Input::Vote(Box::new(ballot)));
                                }
                            }
                        }
                    }
                    Effect::SetTimer { .. } => {}
                    Effect::Attend { .. } => self.answer(&effect, 6),
                    _ => self.answer(&effect, 2),
                }
            }
        }
        panic!("it does not end: {:#?}\n{:#?}", outstanding(&self.world.state), self.world.names());
    }
}

fn drive(jobs: &[GenJob], grouped: bool, choices: &[u32]) -> World {
    let mut driver = Driver::new(&workflow(jobs, grouped));
    for choice in choices {
        driver.choose(*choice);
    }
    driver.drain();
    // A claim of the arbiter's on a finished run would hold others for ever.
    assert_eq!(locks::wanted(&driver.world.state).count(), 0);
    driver.world.strict = true;
    driver.world.check();
    driver.world
}

proptest! {
    #![proptest_config(Config { cases: 200, failure_persistence: None, ..Config::default() })]

    #[test]
    fn anything_in_any_order_keeps_the_rules(
        jobs in jobs(),
        grouped in any::<bool>(),
        choices in proptest::collection::vec(any::<u32>(), 0..150),
    ) {
        drive(&jobs, grouped, &choices);
    }
}

/// The same runs every time, so that "every event happens in them" is a fact and not luck.
#[test]
fn every_event_happens() {
    let mut runner = TestRunner::deterministic();
    let strategy = (jobs(), any::<bool>(), proptest::collection::vec(any::<u32>(), 100..200));
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    for _ in 0..150 {
        let (jobs, grouped, choices) = strategy.new_tree(&mut runner).unwrap().current();
        let world = drive(&jobs, grouped, &choices);
        seen.extend(world.journal.iter().map(|event| event.fact.name()));
    }
    let missing: Vec<_> = Fact::NAMES.iter().filter(|name| !seen.contains(*name)).collect();
    assert!(missing.is_empty(), "never happened: {missing:?}");
}
