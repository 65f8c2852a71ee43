//! Releases carried out by the real engine in the real sandbox: from a tag to production, also when the engine is ended
//! and another goes on.

#![expect(clippy::unwrap_used, reason = "a test ends at the first thing that is not as it should be")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use tagline_executor::{Environment, Executor, Exposure, Sandbox};
use tagline_plan::Person;
use tagline_run::{Conclusion, Decision, GateStatus, Input, RunId, RunState};
use tagline_server::planner::{Ask, plan};
use tagline_server::repository::Repository;
use tagline_server::{BeginOptions, Engine, EngineConfig, Executors, begin, vote};
use tagline_store::{Store, StoreFolder};

const WORKFLOW: &str = r"
on: {push: {tags: ['v*']}}
jobs:
  build:
    runs-on: ubuntu-latest
    outputs: {version: '${{ steps.v.outputs.version }}'}
    steps:
      - uses: actions/checkout@v4
      - id: v
        run: echo version=$(cat VERSION) >> $GITHUB_OUTPUT
      - run: mkdir out && cp VERSION out/app
      - uses: actions/upload-artifact@v4
        with: {name: app, path: out}
  staging:
    needs: build
    runs-on: ubuntu-latest
    environment: staging
    steps:
      - uses: actions/download-artifact@v4
        with: {name: app, path: in}
      - run: test $(cat in/app) = $VERSION
        env: {VERSION: '${{ needs.build.outputs.version }}'}
  production:
    needs: [build, staging]
    runs-on: ubuntu-latest
    environment: production
    steps:
      - run: echo live
  notify:
    needs: production
    if: vars.SLACK == 'on'
    runs-on: ubuntu-latest
    steps: [{run: 'false'}]
";

const RULES: &str = r"
environments:
  staging: {}
  production:
    after: staging
    reviewers: {any-of: [ona@example.com], required: 1}
";

struct Place {
    _scratch: tempfile::TempDir,
    repository: PathBuf,
    folder: StoreFolder,
}

fn git(folder: &Path, arguments: &[&str]) {
    let status = Command::new("git").args(arguments).current_dir(folder).status().unwrap();
    assert!(status.success(), "git {arguments:?}");
}

fn place() -> Place {
    let scratch = tempfile::tempdir().unwrap();
    let repository = scratch.path().join("storefront");
    std::fs::create_dir_all(repository.join(".github/workflows")).unwrap();
    std::fs::create_dir_all(repository.join(".tagline")).unwrap();
    std::fs::write(repository.join(".github/workflows/release.yml"), WORKFLOW).unwrap();
    std::fs::write(repository.join(".tagline/environments.yml"), RULES).unwrap();
    std::fs::write(repository.join("VERSION"), "1.2.3\n").unwrap();
    git(&repository, &["init", "-q", "-b", "main"]);
    git(&repository, &["config", "user.email", "jonas@example.com"]);
    git(&repository, &["config", "user.name", "Jonas"]);
    git(&repository, &["add", "."]);
    git(&repository, &["commit", "-q", "-m", "Fix tenant cache"]);
    git(&repository, &["tag", "v1.2.3"]);
    let folder = StoreFolder::at(scratch.path().join("store"));
    Place { repository, folder, _scratch: scratch }
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
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        message["executable"].as_str().map(PathBuf::from)
    });
    found.expect("cargo names the program")
}

fn engine(folder: &StoreFolder) -> Engine {
    folder.create().unwrap();
    let sandbox = Sandbox::new(Environment::of_process(), folder.cache());
    let executors = Executors::new(vec![("sandbox".to_owned(), Executor::Sandbox(sandbox))], Exposure::none());
    Engine::start(EngineConfig {
        folder: folder.clone(),
        holder: "a test".to_owned(),
        agent: agent(),
        max_jobs: 4,
        executors,
        deliverer: std::sync::Arc::new(tagline_server::delivery::NoCluster),
        faults: tagline_server::Faults::default(),
    })
    .unwrap()
}

fn begin_release(place: &Place) -> RunId {
    let repository = Repository::open(&place.repository).unwrap();
    let ask = Ask { tag: Some("v1.2.3".into()), ..Ask::default() };
    let planned = plan(&repository, &ask).unwrap_or_else(|error| panic!("{error:?}"));
    assert_eq!(planned.len(), 1);
    let store = Store::open(&place.folder).unwrap();
    let options = BeginOptions { runner: "auto".into(), ..BeginOptions::default() };
    begin(&store, &repository, &planned[0], &options).unwrap().run
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

fn approve(state: &RunState) -> Input {
    let gate = vote::open_gate(state, None).unwrap();
    let ona = Person { name: "Ona".into(), email: "ona@example.com".into() };
    let statement = state.statement(gate, Decision::Approve, &ona.email, "fine", state.latest).unwrap();
    Input::Vote(Box::new(vote::sign(statement, ona, None, "cli").unwrap()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_goes_from_its_tag_through_the_gate_to_production() {
    let place = place();
    let run = begin_release(&place);
    let first = engine(&place.folder);
    let state = until(&first, run, at_gate).await;
    assert!(state.finished.is_none(), "{:#?}", state.jobs);
    first.stop();
    drop(first);

    let second = engine(&place.folder);
    let state = until(&second, run, at_gate).await;
    second.tell(run, approve(&state)).await.unwrap();
    let state = until(&second, run, |state| state.finished.is_some()).await;
    assert_eq!(state.finished.as_ref().unwrap().conclusion, Conclusion::Success, "{:#?}", state.jobs);
    let results: BTreeMap<&str, &str> =
        state.jobs.iter().map(|(id, job)| (id.as_str(), job.result().unwrap().word())).collect();
    let expected = [("build", "success"), ("notify", "skipped"), ("production", "success"), ("staging", "success")];
    assert_eq!(results, BTreeMap::from(expected));
    let store = second.store();
    assert_eq!(store.deployments(None, Some("production")).unwrap().len(), 1);
    assert_eq!(store.artifacts(run).unwrap().len(), 1);
    store.verify().unwrap();
}
