//! A repository with a release that delivers, its store, and engines for it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tagline_executor::{Environment, Executor, Exposure, Sandbox};
use tagline_plan::Person;
use tagline_run::{Decision, GateStatus, Input, RunId, RunState};
use tagline_server::planner::{Ask, plan};
use tagline_server::repository::Repository;
use tagline_server::{BeginOptions, Engine, EngineConfig, Executors, Faults, PlannerError, begin, vote};
use tagline_store::{Store, StoreFolder};
use tokio::sync::watch;

use crate::pretender::{Pretender, Stage};

pub(crate) const WORKFLOW: &str = r"
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

pub(crate) const RULES: &str = "
environments:
  production:
    reviewers: {any-of: [ona@example.com], required: 1}
    cluster: {context: test, namespace: shop}
";

pub(crate) struct Place {
    pub(crate) _scratch: tempfile::TempDir,
    pub(crate) repository: PathBuf,
    pub(crate) folder: StoreFolder,
    pub(crate) stage: Arc<Stage>,
    pub(crate) on: watch::Sender<bool>,
}

pub(crate) fn git(folder: &Path, arguments: &[&str]) {
    let status = Command::new("git").args(arguments).current_dir(folder).status().unwrap();
    assert!(status.success(), "git {arguments:?}");
}

pub(crate) fn place_with(workflow: &str, rules: &str) -> Place {
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

pub(crate) fn place() -> Place {
    place_with(WORKFLOW, RULES)
}

/// The agent, built once by cargo (a no-op when it is there).
pub(crate) fn agent() -> PathBuf {
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
    pub(crate) fn engine(&self) -> Engine {
        let pretender = Pretender { stage: self.stage.clone(), on: self.on.subscribe() };
        start(&self.folder, agent(), pretender, Faults::default())
    }

    pub(crate) fn plan(&self) -> Result<Vec<tagline_server::planner::Planned>, PlannerError> {
        let ask = Ask { tag: Some("v1.2.3".into()), ..Ask::default() };
        plan(&Repository::open(&self.repository).unwrap(), &ask)
    }

    pub(crate) fn begin(&self) -> RunId {
        let planned = self.plan().unwrap_or_else(|error| panic!("{error:#?}"));
        let store = Store::open(&self.folder).unwrap();
        let options = BeginOptions { runner: "auto".into(), ..BeginOptions::default() };
        begin(&store, &Repository::open(&self.repository).unwrap(), &planned[0], &options).unwrap().run
    }

    pub(crate) fn did(&self) -> Vec<String> {
        self.stage.did.lock().unwrap().clone()
    }

    /// Goes to where production waits for somebody, and approves it.
    pub(crate) async fn approved(&self, engine: &Engine, run: RunId) -> RunState {
        let state = until(engine, run, at_gate).await;
        assert!(state.finished.is_none(), "{:#?}", state.gates);
        engine.tell(run, approve(&state)).await.unwrap();
        state
    }
}

pub(crate) fn start(folder: &StoreFolder, agent: PathBuf, deliverer: Pretender, faults: Faults) -> Engine {
    folder.create().unwrap();
    let sandbox = Sandbox::new(Environment::of_process(), folder.cache());
    let executors = Executors::new(vec![("sandbox".to_owned(), Executor::Sandbox(sandbox))], Exposure::none());
    Engine::start(EngineConfig {
        folder: folder.clone(),
        holder: "a test".to_owned(),
        agent,
        max_jobs: 4,
        executors,
        deliverer: Arc::new(deliverer),
        faults,
    })
    .unwrap()
}

/// Waits until the run has come to a point.
pub(crate) async fn until(engine: &Engine, run: RunId, reached: impl Fn(&RunState) -> bool) -> RunState {
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

pub(crate) fn at_gate(state: &RunState) -> bool {
    state.finished.is_some() || state.gates.values().any(|gate| gate.status == GateStatus::Open)
}

pub(crate) fn reached(name: &'static str) -> impl Fn(&RunState) -> bool {
    move |state| state.reached.iter().any(|reached| reached.milestone.name == name)
}

pub(crate) fn names(state: &RunState) -> Vec<&str> {
    state.reached.iter().map(|reached| reached.milestone.name.as_str()).collect()
}

pub(crate) fn approve(state: &RunState) -> Input {
    let gate = vote::open_gate(state, None).unwrap();
    let ona = Person { name: "Ona".into(), email: "ona@example.com".into() };
    let statement = state.statement(gate, Decision::Approve, &ona.email, "fine", state.latest).unwrap();
    Input::Vote(Box::new(vote::sign(statement, ona, None, "cli").unwrap()))
}

pub(crate) fn finished(state: &RunState) -> bool {
    state.finished.is_some()
}
