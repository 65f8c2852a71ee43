//! A repository with one workflow, a store, and a fake executor that outlives the engines.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use tagline_executor::{Executor, Exposure, Fake, JobFolder};
use tagline_run::{Cause, Ended, RunId, RunState};
use tagline_server::planner::{Ask, plan};
use tagline_server::repository::Repository;
use tagline_server::{BeginOptions, Begun, Engine, EngineConfig, Executors, begin};
use tagline_store::{SecretScope, Store, StoreFolder};

/// A release of one job that names a secret.
pub(crate) const WORKFLOW: &str = r"
on: {push: {tags: ['v*']}}
jobs:
  build:
    runs-on: ubuntu-latest
    steps: [{run: echo $URL, env: {URL: '${{ secrets.DATABASE_URL }}'}}]
";

pub(crate) struct Place {
    _scratch: tempfile::TempDir,
    repository: PathBuf,
    pub(crate) folder: StoreFolder,
    pub(crate) fake: Fake,
}

/// Names and values.
pub(crate) type Given<'g> = &'g [(&'g str, &'g str)];

fn git(folder: &Path, arguments: &[&str]) {
    let status = Command::new("git").args(arguments).current_dir(folder).status().unwrap();
    assert!(status.success(), "git {arguments:?}");
}

pub(crate) fn place(workflow: &str, rules: &str) -> Place {
    let scratch = tempfile::tempdir().unwrap();
    let repository = scratch.path().join("storefront");
    std::fs::create_dir_all(repository.join(".github/workflows")).unwrap();
    std::fs::create_dir_all(repository.join(".tagline")).unwrap();
    std::fs::write(repository.join(".github/workflows/release.yml"), workflow).unwrap();
    std::fs::write(repository.join(".tagline/environments.yml"), rules).unwrap();
    git(&repository, &["init", "-q", "-b", "main"]);
    git(&repository, &["config", "user.email", "jonas@example.com"]);
    git(&repository, &["config", "user.name", "Jonas"]);
    git(&repository, &["add", "."]);
    git(&repository, &["commit", "-q", "-m", "Fix tenant cache"]);
    git(&repository, &["tag", "v1.2.3"]);
    let folder = StoreFolder::at(scratch.path().join("store"));
    folder.create().unwrap();
    Place { repository, folder, fake: Fake::new(), _scratch: scratch }
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

/// Waits for something that nobody announces.
pub(crate) async fn holds(mut condition: impl FnMut() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait).await.expect("it holds in the end");
}

pub(crate) fn finished(state: &RunState) -> bool {
    state.finished.is_some()
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
