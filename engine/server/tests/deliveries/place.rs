//! A repository with a release that delivers, its store, and engines for it.

use std::ops::Deref;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use serde_json::json;
use tagline_executor::{Environment, Executor, Exposure, Sandbox};
use tagline_run::{RunId, RunState};
use tagline_server::planner::{Ask, plan};
use tagline_server::repository::Repository;
use tagline_server::rollback::{self, Wish};
use tagline_server::{BeginOptions, Engine, EngineConfig, Executors, Faults, PlannerError, begin};
use tagline_store::{Store, StoreFolder};
use tokio::sync::watch;

use crate::common;
pub(crate) use crate::common::{agent, approve, at_gate, finished, until};
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
    at: common::Place,
    pub(crate) stage: Arc<Stage>,
    pub(crate) on: watch::Sender<bool>,
}

pub(crate) fn place_with(workflow: &str, rules: &str) -> Place {
    let stage = Arc::new(Stage { plan: Mutex::new(json!({"version": 1})), ..Stage::default() });
    Place { at: common::place(workflow, rules), stage, on: watch::Sender::new(false) }
}

pub(crate) fn place() -> Place {
    place_with(WORKFLOW, RULES)
}

impl Deref for Place {
    type Target = common::Place;

    fn deref(&self) -> &common::Place {
        &self.at
    }
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

    /// Begins the way back; where each unit goes, as the steps are named.
    pub(crate) fn begin_rollback(&self) -> (RunId, Vec<String>) {
        let repository = Repository::open(&self.repository).unwrap();
        let store = Store::open(&self.folder).unwrap();
        let wish = Wish { environment: "production".into(), ..Wish::default() };
        let planned = rollback::plan(&repository, &store, &wish).unwrap();
        let steps = planned.plan.jobs.values().flat_map(|job| &job.job.steps);
        let names = steps.filter_map(|step| step.name.as_ref()).map(|name| name.text.clone()).collect();
        let options = BeginOptions { runner: "auto".into(), allow_downgrade: true, ..BeginOptions::default() };
        (begin(&store, &repository, &planned, &options).unwrap().run, names)
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

pub(crate) fn reached(name: &'static str) -> impl Fn(&RunState) -> bool {
    move |state| state.reached.iter().any(|reached| reached.milestone.name == name)
}

pub(crate) fn names(state: &RunState) -> Vec<&str> {
    state.reached.iter().map(|reached| reached.milestone.name.as_str()).collect()
}
