//! A repository with one workflow, a store, and a fake executor that outlives the engines.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use tagline_executor::{Executor, Exposure, Fake, JobFolder};
use tagline_run::{Cause, Ended, RunId, RunState};
use tagline_server::planner::{Ask, plan};
use tagline_server::repository::Repository;
use tagline_server::{BeginOptions, Begun, Engine, EngineConfig, Executors, begin};
use tagline_store::{SecretScope, Store};

use crate::common;
pub(crate) use crate::common::{finished, until};

/// A release of one job that names a secret.
pub(crate) const WORKFLOW: &str = r"
on: {push: {tags: ['v*']}}
jobs:
  build:
    runs-on: ubuntu-latest
    steps: [{run: echo $URL, env: {URL: '${{ secrets.DATABASE_URL }}'}}]
";

pub(crate) struct Place {
    at: common::Place,
    pub(crate) fake: Fake,
}

/// Names and values.
pub(crate) type Given<'g> = &'g [(&'g str, &'g str)];

pub(crate) fn place(workflow: &str, rules: &str) -> Place {
    Place { at: common::place(workflow, rules), fake: Fake::new() }
}

impl Deref for Place {
    type Target = common::Place;

    fn deref(&self) -> &common::Place {
        &self.at
    }
}

impl Place {
    /// An engine on the store; the next one comes when it is dropped.
    pub(crate) fn engine(&self) -> Engine {
        let fake = Executor::Fake(self.fake.clone());
        Engine::start(EngineConfig {
            folder: self.folder.clone(),
            holder: "a test".to_owned(),
            agent: "/nowhere".into(),
            max_jobs: 4,
            executors: Executors::new(vec![("fake".to_owned(), fake)], Exposure::none()),
            deliverer: Arc::new(tagline_server::delivery::NoCluster),
            faults: tagline_server::Faults::default(),
        })
        .unwrap()
    }

    pub(crate) fn begin(&self, given: Given<'_>) -> Begun {
        let repository = Repository::open(&self.repository).unwrap();
        let ask = Ask { tag: Some("v1.2.3".into()), ..Ask::default() };
        let planned = plan(&repository, &ask).unwrap_or_else(|error| panic!("{error:?}"));
        let secrets: IndexMap<String, String> =
            given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let options = BeginOptions { runner: "auto".into(), secrets, ..BeginOptions::default() };
        begin(&self.store(), &repository, &planned[0], &options).unwrap()
    }

    pub(crate) fn store(&self) -> Store {
        Store::open(&self.folder).unwrap()
    }

    /// The folder of the job `build` of the first attempt.
    pub(crate) fn job(&self, run: RunId) -> JobFolder {
        JobFolder::new(self.folder.job(run.0, "build", 1))
    }

    /// Names of the secrets that were given with a run and are there.
    pub(crate) fn given(&self, run: RunId) -> Vec<String> {
        let scope = SecretScope { root: format!("run:{run}"), environment: None };
        self.store().secrets(&scope).unwrap().into_iter().map(|(name, _)| name).collect()
    }

    /// Where the repository's own secrets are.
    pub(crate) fn scope(&self, environment: Option<&str>) -> SecretScope {
        let root = Repository::open(&self.repository).unwrap().root().to_string_lossy().into_owned();
        SecretScope { root, environment: environment.map(str::to_owned) }
    }

    /// Keys of outbox rows.
    pub(crate) fn outbox(&self) -> Vec<String> {
        self.store().outbox().unwrap().into_iter().map(|row| row.key).collect()
    }
}

/// Waits for something that nobody announces.
pub(crate) async fn holds(mut condition: impl FnMut() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait).await.expect("it holds in the end");
}

/// Whether so many steps of `build` have begun.
pub(crate) fn steps(count: usize) -> impl Fn(&RunState) -> bool {
    move |state| state.legs().any(|(key, leg)| key.job == "build" && leg.steps.len() >= count)
}

/// How `build` ended.
pub(crate) fn ended(state: &RunState) -> Ended {
    let (_, leg) = state.legs().find(|(key, _)| key.job == "build").unwrap();
    leg.ended.clone().unwrap()
}

pub(crate) fn cause(state: &RunState) -> Cause {
    ended(state).cause
}
