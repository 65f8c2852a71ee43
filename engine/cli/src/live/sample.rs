//! A release for tests: its plan from YAML, its events from the core, at fixed times.

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;
use jiff::Timestamp;
use tagline_plan::{Person, Plan, Request, Trigger, WorkflowFile};
use tagline_run::{
    Attempt, Conclusion, Effect, Input, JobKey, Report, RunId, RunState, Sender, Start, Token, create, decide,
    outstanding,
};
use tagline_syntax::diagnostic::SourceFile;

const WORKFLOW: &str = "
on: { push: { tags: ['v*'] } }
jobs:
  quality: { runs-on: any, steps: [{ run: cargo test }] }
  build: { runs-on: any, steps: [{ run: cargo build }] }
  deploy-staging:
    needs: [quality, build]
    runs-on: any
    environment: staging
    steps: [{ name: migrate, run: ./migrate }, { name: smoke tests, run: ./smoke }, { run: ./switch }]
  deploy-production:
    needs: deploy-staging
    runs-on: any
    environment: production
    steps:
      - uses: actions/download-artifact@v4
        with: { name: image }
      - { name: deploy blue, run: ./deploy }
";

const ENVIRONMENTS: &str = "
teams: { ops: [ona@example.com, rasa@example.com], managers: [petras@example.com] }
environments:
  staging: {}
  production:
    url: https://storefront.example
    after: staging
    expires: 72h
    reviewers: { any-of: [ops, managers], required: 2, from: { ops: 1 } }
";

/// A time on the day of the release.
pub(crate) fn at(time: &str) -> Timestamp {
    format!("2026-11-19T{time}Z").parse().expect("a time")
}

/// The release at some point.
pub(crate) struct Sample {
    /// The run.
    pub(crate) state: RunState,
}

impl Sample {
    /// Staging is being deployed.
    pub(crate) fn staging() -> Self {
        let mut sample = Self::new();
        sample.start("quality", "14:20:00");
        sample.start("build", "14:20:00");
        sample.finish("quality", "14:20:21.400");
        let digest = format!("sha256:{}", "9b".repeat(32));
        let stored = Input::ArtifactStored {
            from: Self::sender("build"),
            name: "image".into(),
            digest,
            size: 4_200_000,
            kind: "image".into(),
            overwrite: false,
        };
        sample.tell(stored, "14:21:40");
        sample.finish("build", "14:21:48");
        sample.prepare("14:22:00");
        sample.start("deploy-staging", "14:22:13");
        let name = |n: u32| ["migrate", "smoke tests"][n as usize].to_owned();
        let begun = |step| Report::StepStarted { step, id: String::new(), name: name(step) };
        sample.report("deploy-staging", vec![begun(0)], "14:22:13");
        let well = Report::StepFinished {
            step: 0,
            outcome: Conclusion::Success,
            conclusion: Conclusion::Success,
            why: String::new(),
        };
        sample.report("deploy-staging", vec![well, begun(1)], "14:22:19");
        sample
    }

    /// Production waits for its approvals.
    pub(crate) fn gate() -> Self {
        let mut sample = Self::staging();
        sample.finish("deploy-staging", "14:24:00");
        sample.prepare("14:24:01");
        sample
    }

    /// Nothing has begun.
    pub(crate) fn new() -> Self {
        let (plan, runner, identity) = (Box::new(plan()), "auto".into(), String::new());
        let start = Start { run: RunId(418), plan, runner, allow_downgrade: false, identity };
        let events = create(start, at("14:20:00")).expect("a plan that can begin");
        Self { state: RunState::load(&events).expect("its own events") }
    }

    pub(crate) fn tell(&mut self, input: Input, time: &str) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            for event in decide(&self.state, input, at(time)).expect("it is allowed") {
                self.state.apply(&event).expect("its own event");
            }
            // Nobody else wants the locks.
            let wanted = self.state.locks.iter().find(|(_, claim)| !claim.granted).map(|(key, _)| key.clone());
            inputs.extend(wanted.map(|(lock, holder)| Input::LockGranted { lock, holder }));
        }
    }

    /// Every gate that wants it is prepared.
    fn prepare(&mut self, time: &str) {
        for effect in outstanding(&self.state) {
            if let Effect::PrepareGate { gate, .. } = effect {
                let nonce = format!("nonce-{gate}");
                self.tell(Input::GatePrepared { gate, nonce, passed: BTreeSet::new(), deliveries: Vec::new() }, time);
            }
        }
    }

    /// A step of a job begins.
    pub(crate) fn step(&mut self, job: &str, step: u32, name: &str, time: &str) {
        let begun = Report::StepStarted { step, id: String::new(), name: name.to_owned() };
        self.report(job, vec![begun], time);
    }

    fn start(&mut self, job: &str, time: &str) {
        let sender = Self::sender(job);
        self.tell(Input::JobStarting { key: sender.key, token: sender.token, executor: "sandbox".into() }, time);
    }

    fn report(&mut self, job: &str, reports: Vec<Report>, time: &str) {
        self.tell(Input::Reported { from: Self::sender(job), reports }, time);
    }

    fn finish(&mut self, job: &str, time: &str) {
        let end = Report::Finished {
            conclusion: Conclusion::Success,
            outputs: IndexMap::new(),
            url: String::new(),
            why: String::new(),
            timed_out: false,
        };
        self.report(job, vec![end], time);
    }

    fn sender(job: &str) -> Sender {
        Sender { key: JobKey::new(job, 0), attempt: Attempt::FIRST, token: Token(format!("token of {job}")) }
    }
}

fn plan() -> Plan {
    let workflow = tagline_syntax::workflow::read(&SourceFile::new("release.yml", WORKFLOW)).workflow;
    let environments = tagline_syntax::environments::read(&SourceFile::new("environments.yml", ENVIRONMENTS)).file;
    let person = |name: &str| Person { name: name.into(), email: format!("{name}@example.com") };
    let request = Request {
        repository: "village-storefront".into(),
        trigger: Trigger {
            event: "push".into(),
            commit: "4f9c2ab".repeat(6)[..40].into(),
            subject: "Fix tenant cache".into(),
            reference: "refs/tags/v1.2.3".into(),
            tag: Some("v1.2.3".into()),
            version: Some("1.2.3".into()),
            working_tree: false,
            actor: person("jonas"),
            involved: BTreeMap::new(),
            payload: serde_json::json!({}),
        },
        workflow: &workflow.expect("it is well formed"),
        file: WorkflowFile {
            path: ".github/workflows/release.yml".into(),
            name: "release".into(),
            digest: format!("sha256:{}", "07".repeat(32)),
        },
        environments: Some(&environments.expect("they are well formed")),
        policy_version: format!("sha256:{}", "08".repeat(32)),
        policy_origin: "main, 71aa0c3".into(),
        inputs: serde_json::Map::new(),
    };
    tagline_plan::build(request).expect("it can be planned")
}
