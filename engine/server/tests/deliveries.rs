//! Delivery steps through the real engine and agent, with a deliverer that only pretends: what is planned, approved,
//! journalled, gone on with, taken back and removed later.

#![expect(clippy::unwrap_used, reason = "a test ends at the first thing that is not as it should be")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use indexmap::IndexMap;
use jiff::SignedDuration;
use serde_json::{Value, json};
use tagline_delivery::{DeliveryError, Failure, Milestone, Progress, Site};
use tagline_executor::{Environment, Executor, Exposure, Sandbox};
use tagline_plan::Person;
use tagline_run::{Conclusion, Decision, Fact, GateStatus, Input, RunId, RunState};
use tagline_server::delivery::{Delivered, Deliverer, Due, Earlier, Later, Prepared};
use tagline_server::planner::{Ask, plan};
use tagline_server::repository::Repository;
use tagline_server::{BeginOptions, Engine, EngineConfig, Executors, PlannerError, begin, clock, vote};
use tagline_store::{Store, StoreFolder};
use tokio::sync::watch;

const WORKFLOW: &str = r"
on: {push: {tags: ['v*']}}
jobs:
  build:
    runs-on: ubuntu-latest
    outputs: {image: '${{ steps.b.outputs.image }}'}
    steps:
      - {id: b, run: 'echo image=shop@sha256:1111111111111111111111111111111111111111111111111111111111111111 >> $GITHUB_OUTPUT'}
  production:
    needs: build
    runs-on: ubuntu-latest
    environment: production
    steps:
      - id: deploy
        uses: tagline/deploy@v1
        with: {manifests: k8s, images: 'shop=${{ needs.build.outputs.image }}', smoke: /health 200}
      - run: test '${{ steps.deploy.outputs.release }}' = v1
";

const RULES: &str = "
environments:
  production:
    reviewers: {any-of: [ona@example.com], required: 1}
    cluster: {context: test, namespace: shop}
";

/// What the pretended cluster is told to do, and what it has done.
#[derive(Debug, Default)]
struct Stage {
    /// The plan that is made now.
    plan: Mutex<Value>,
    did: Mutex<Vec<String>>,
    retire_in: Mutex<Option<SignedDuration>>,
}

/// A deliverer: it does `begun`, waits to be let on, does `switched`.
#[derive(Debug)]
struct Pretender {
    stage: Arc<Stage>,
    on: watch::Receiver<bool>,
}

impl Pretender {
    fn did(&self, what: &str) {
        self.stage.did.lock().unwrap().push(what.to_owned());
    }
}

fn milestone(name: &str) -> Milestone {
    Milestone { name: name.into(), text: format!("it is {name}"), data: json!({"of": name}) }
}

impl Deliverer for Pretender {
    fn plan<'a>(
        &'a self,
        site: &'a Site,
        _: &'a str,
        with: &'a IndexMap<String, String>,
        past: &'a [Earlier],
    ) -> Later<'a, Result<Prepared, DeliveryError>> {
        Box::pin(async move {
            assert!(site.tree.join("VERSION").exists(), "the tagged files are there");
            assert_eq!(site.built.len(), 1);
            let plan = self.stage.plan.lock().unwrap().clone();
            if plan == json!("out of reach") {
                return Err(Failure::new("the cluster is out of reach", "no route").next("look at it").into());
            }
            let summary = vec![format!("{} to {} after {} others", with["images"], site.target, past.len())];
            Ok(Prepared { plan, summary })
        })
    }

    fn apply<'a>(
        &'a self,
        plan: &'a Value,
        site: &'a Site,
        progress: Arc<dyn Progress>,
    ) -> Later<'a, Result<Delivered, DeliveryError>> {
        Box::pin(async move {
            let known: Vec<String> = progress.milestones().into_iter().map(|milestone| milestone.name).collect();
            self.did(&format!("apply {plan} after {}", known.join(" ")));
            if known.is_empty() {
                progress.record(milestone("begun")).await?;
            }
            progress.say(format!("{} pods", site.version));
            progress.keep("pods.log".into(), b"all well".to_vec()).await?;
            let mut on = self.on.clone();
            let let_on = async move { on.wait_for(|on| *on).await.map(drop) };
            let stopped = tokio::select! {
                _ = let_on => None,
                stop = progress.stopped() => Some(stop),
            };
            if let Some(stop) = stopped {
                progress.record(milestone("rolled-back")).await?;
                return Err(stop.into());
            }
            progress.record(milestone("switched")).await?;
            let retire_in = *self.stage.retire_in.lock().unwrap();
            let retire = retire_in.map(|after| Due { at: progress.now() + after, what: json!("the old one") });
            let outputs = IndexMap::from([("release".to_owned(), "v1".to_owned())]);
            Ok(Delivered { outputs, text: "it serves".into(), retire: retire.into_iter().collect() })
        })
    }

    fn way_back(&self, _: &Value) -> Duration {
        Duration::from_secs(60)
    }

    fn retire<'a>(
        &'a self,
        what: &'a Value,
        _: &'a Site,
        _: Arc<dyn Progress>,
    ) -> Later<'a, Result<Milestone, DeliveryError>> {
        Box::pin(async move {
            self.did(&format!("retire {what}"));
            Ok(milestone("deleted"))
        })
    }
}

struct Place {
    _scratch: tempfile::TempDir,
    repository: PathBuf,
    folder: StoreFolder,
    stage: Arc<Stage>,
    on: watch::Sender<bool>,
}

fn git(folder: &Path, arguments: &[&str]) {
    let status = Command::new("git").args(arguments).current_dir(folder).status().unwrap();
    assert!(status.success(), "git {arguments:?}");
}

fn place_with(workflow: &str, rules: &str) -> Place {
    let scratch = tempfile::tempdir().unwrap();
    let repository = scratch.path().join("storefront");
    std::fs::create_dir_all(repository.join(".github/workflows")).unwrap();
    std::fs::create_dir_all(repository.join(".tagline")).unwrap();
    std::fs::write(repository.join(".github/workflows/release.yml"), workflow).unwrap();
    std::fs::write(repository.join(".tagline/environments.yml"), rules).unwrap();
    std::fs::write(repository.join("VERSION"), "1.2.3\n").unwrap();
    git(&repository, &["init", "-q", "-b", "main"]);
    git(&repository, &["config", "user.email", "jonas@example.com"]);
    git(&repository, &["config", "user.name", "Jonas"]);
    git(&repository, &["add", "."]);
    git(&repository, &["commit", "-q", "-m", "Fix tenant cache"]);
    git(&repository, &["tag", "v1.2.3"]);
    let folder = StoreFolder::at(scratch.path().join("store"));
    let stage = Arc::new(Stage { plan: Mutex::new(json!({"version": 1})), ..Stage::default() });
    Place { repository, folder, stage, on: watch::Sender::new(false), _scratch: scratch }
}

fn place() -> Place {
    place_with(WORKFLOW, RULES)
}

/// The agent, built once by cargo (a no-op when it is there).
fn agent() -> PathBuf {
    let output = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "-p", "tagline-agent", "--message-format=json-render-diagnostics"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    let found = lines.lines().rev().find_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        message["executable"].as_str().map(PathBuf::from)
    });
    found.expect("cargo names the program")
}

impl Place {
    fn engine(&self) -> Engine {
        self.folder.create().unwrap();
        let sandbox = Sandbox::new(Environment::of_process(), self.folder.cache());
        let executors = Executors::new(vec![("sandbox".to_owned(), Executor::Sandbox(sandbox))], Exposure::none());
        Engine::start(EngineConfig {
            folder: self.folder.clone(),
            holder: "a test".to_owned(),
            agent: agent(),
            max_jobs: 4,
            executors,
            deliverer: Arc::new(Pretender { stage: self.stage.clone(), on: self.on.subscribe() }),
            faults: tagline_server::Faults::default(),
        })
        .unwrap()
    }

    fn plan(&self) -> Result<Vec<tagline_server::planner::Planned>, PlannerError> {
        let ask = Ask { tag: Some("v1.2.3".into()), ..Ask::default() };
        plan(&Repository::open(&self.repository).unwrap(), &ask)
    }

    fn begin(&self) -> RunId {
        let planned = self.plan().unwrap_or_else(|error| panic!("{error:#?}"));
        let store = Store::open(&self.folder).unwrap();
        let options = BeginOptions { runner: "auto".into(), ..BeginOptions::default() };
        begin(&store, &Repository::open(&self.repository).unwrap(), &planned[0], &options).unwrap().run
    }

    fn did(&self) -> Vec<String> {
        self.stage.did.lock().unwrap().clone()
    }

    /// Goes to where production waits for somebody, and approves it.
    async fn approved(&self, engine: &Engine, run: RunId) -> RunState {
        let state = until(engine, run, at_gate).await;
        assert!(state.finished.is_none(), "{:#?}", state.gates);
        engine.tell(run, approve(&state)).await.unwrap();
        state
    }
}

/// Waits until the run has come to a point.
async fn until(engine: &Engine, run: RunId, reached: impl Fn(&RunState) -> bool) -> RunState {
    let mut updates = engine.watch();
    let mut state = engine.take_up(run).await.unwrap();
    while !reached(&state) {
        let update = updates.recv().await.expect("the engine is there");
        if update.run == run {
            state = update.state;
        }
    }
    (*state).clone()
}

fn at_gate(state: &RunState) -> bool {
    state.finished.is_some() || state.gates.values().any(|gate| gate.status == GateStatus::Open)
}

fn reached(name: &'static str) -> impl Fn(&RunState) -> bool {
    move |state| state.reached.iter().any(|reached| reached.milestone.name == name)
}

fn names(state: &RunState) -> Vec<&str> {
    state.reached.iter().map(|reached| reached.milestone.name.as_str()).collect()
}

fn approve(state: &RunState) -> Input {
    let gate = vote::open_gate(state, None).unwrap();
    let ona = Person { name: "Ona".into(), email: "ona@example.com".into() };
    let statement = state.statement(gate, Decision::Approve, &ona.email, "fine", state.latest).unwrap();
    Input::Vote(Box::new(vote::sign(statement, ona, None, "cli").unwrap()))
}

fn finished(state: &RunState) -> bool {
    state.finished.is_some()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_approved_is_delivered_also_by_the_next_engine_and_its_rest_goes_later() {
    let place = place();
    *place.stage.retire_in.lock().unwrap() = Some(SignedDuration::from_hours(24));
    let run = place.begin();
    let first = place.engine();
    let state = place.approved(&first, run).await;
    let bound = &state.gates.values().next().unwrap().opened.as_ref().unwrap().plan.deliveries;
    assert_eq!((bound.len(), bound[0].step, bound[0].uses.as_str()), (1, 0, "tagline/deploy@v1"));
    assert!(bound[0].summary[0].contains("to namespace shop of context test after 0 others"), "{bound:?}");
    // What would be planned now is not what was approved.
    *place.stage.plan.lock().unwrap() = json!({"version": 2});
    until(&first, run, reached("begun")).await;
    drop(first);

    let second = place.engine();
    place.on.send_replace(true);
    let state = until(&second, run, finished).await;
    assert_eq!(state.finished.as_ref().unwrap().conclusion, Conclusion::Success, "{:#?}", state.jobs);
    assert_eq!(names(&state), ["planned", "begun", "switched", "delivered"]);
    assert_eq!(place.did(), ["apply {\"version\":1} after ", "apply {\"version\":1} after begun"]);
    let artifacts = second.store().artifacts(run).unwrap();
    assert_eq!(
        (artifacts[0].name.as_str(), artifacts[0].kind.as_str()),
        ("evidence-production-production-1-0-pods.log", "evidence")
    );
    let outbox = second.store().outbox().unwrap();
    assert!(outbox.iter().any(|row| row.key.starts_with("retire/")), "{outbox:?}");
    drop(second);

    // A day passes while no engine runs.
    clock::forward(&place.folder, Duration::from_secs(25 * 3600)).unwrap();
    let third = place.engine();
    let mut updates = third.watch();
    loop {
        let update = updates.recv().await.unwrap();
        if update
            .events
            .iter()
            .any(|event| matches!(&event.fact, Fact::Milestone { milestone, .. } if milestone.name == "deleted"))
        {
            assert!(update.state.finished.is_some());
            break;
        }
    }
    assert_eq!(place.did().last().unwrap(), "retire \"the old one\"");
    let outbox = third.store().outbox().unwrap();
    assert!(!outbox.iter().any(|row| row.key.starts_with("retire/")), "{outbox:?}");
    third.store().verify().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_delivery_goes_back_before_its_job_ends() {
    let place = place();
    let run = place.begin();
    let engine = place.engine();
    place.approved(&engine, run).await;
    until(&engine, run, reached("begun")).await;
    let by = Person { name: "Li".into(), email: "li@example.com".into() };
    engine.tell(run, Input::Cancel { by, reason: String::new(), force: true }).await.unwrap();
    let state = until(&engine, run, finished).await;
    assert_eq!(state.finished.as_ref().unwrap().conclusion, Conclusion::Cancelled);
    assert_eq!(names(&state), ["planned", "begun", "rolled-back"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_without_its_agent_goes_back() {
    let place = place();
    let run = place.begin();
    let first = place.engine();
    place.approved(&first, run).await;
    until(&first, run, reached("begun")).await;
    drop(first);
    // Both are gone: the engine and, before the next one comes, the job's agent.
    let agent = place.folder.job(run.0, "production", 1).join("agent.json");
    let told: Value = serde_json::from_str(&std::fs::read_to_string(agent).unwrap()).unwrap();
    let pid = i32::try_from(told["pid"].as_i64().unwrap()).unwrap();
    let killed = Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
    assert!(killed.success());
    let second = place.engine();
    let state = until(&second, run, finished).await;
    assert_eq!(names(&state), ["planned", "begun", "rolled-back"]);
    assert_eq!(view_cause(&state), "Lost");
}

fn view_cause(state: &RunState) -> String {
    format!("{:?}", state.jobs["production"].ends().next().unwrap().cause)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_whose_deliveries_cannot_be_planned_does_not_open() {
    let place = place();
    *place.stage.plan.lock().unwrap() = json!("out of reach");
    let run = place.begin();
    let engine = place.engine();
    let state = until(&engine, run, finished).await;
    let GateStatus::Refused { code, why, .. } = &state.gates.values().next().unwrap().status else {
        panic!("{state:#?}")
    };
    assert_eq!(code, "not-prepared");
    assert_eq!(why, "production, step 1 (tagline/deploy@v1): the cluster is out of reach: no route (next: look at it)");
    assert_eq!(place.did(), [""; 0]);
}

#[test]
fn what_is_wrong_with_deliveries_is_said_before_the_first_step_all_at_once() {
    let workflow =
        WORKFLOW.replace("manifests: k8s", "max-surg: 1, strategy: bluegreen").replace("needs.build", "steps.build");
    let rules = RULES.replace("    cluster: {context: test, namespace: shop}\n", "");
    let Err(PlannerError::Unusable { diagnostics, file, .. }) = place_with(&workflow, &rules).plan() else {
        panic!("it is refused")
    };
    let found: Vec<String> = diagnostics
        .iter()
        .map(|one| format!("{} {}: {}", file.position(one.span().start).line, one.code, one.message))
        .collect();
    let text = found.join("\n");
    for part in [
        "12 no-cluster: environment `production`",
        "16 steps-in-gated-delivery: `images`",
        "\"bluegreen\" is not a strategy",
        "max-surg",
    ] {
        assert!(text.contains(part), "{part} in:\n{text}");
    }
}
