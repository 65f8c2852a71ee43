//! Releases carried out by the real engine in the real sandbox: from a tag to production, also when the engine is ended
//! and another goes on.

#![expect(clippy::unwrap_used, reason = "a test ends at the first thing that is not as it should be")]

mod common;

use std::collections::BTreeMap;
use std::path::PathBuf;

use common::{Place, agent, approve, at_gate, until};
use tagline_executor::{Environment, Executor, Exposure, Fake, Hold, JobFolder, Sandbox, Script};
use tagline_protocol::Request;
use tagline_run::{Conclusion, RunId};
use tagline_server::planner::{Ask, plan};
use tagline_server::repository::Repository;
use tagline_server::{BeginOptions, Engine, EngineConfig, Executors, begin};
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

fn place() -> Place {
    place_of(WORKFLOW)
}

fn place_of(workflow: &str) -> Place {
    common::place(workflow, RULES)
}

fn engine(folder: &StoreFolder) -> Engine {
    folder.create().unwrap();
    let sandbox = Sandbox::new(Environment::of_process(), folder.cache());
    engine_with(folder, "sandbox", Executor::Sandbox(sandbox), agent())
}

/// One whose jobs follow scripts.
fn scripted(folder: &StoreFolder, fake: &Fake) -> Engine {
    folder.create().unwrap();
    engine_with(folder, "fake", Executor::Fake(fake.clone()), PathBuf::from("/bin/false"))
}

fn engine_with(folder: &StoreFolder, name: &str, executor: Executor, agent: PathBuf) -> Engine {
    let executors = Executors::new(vec![(name.to_owned(), executor)], Exposure::none());
    Engine::start(EngineConfig {
        folder: folder.clone(),
        holder: "a test".to_owned(),
        agent,
        // Jobs that are ready together run one after the other, in the order of the file.
        max_jobs: 1,
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

const LATE: &str = r"
on: {push: {tags: ['v*']}}
jobs:
  build:
    runs-on: ubuntu-latest
    steps:
      - run: echo good > app
      - uses: actions/upload-artifact@v4
        with: {name: app, path: app}
  staging:
    needs: build
    runs-on: ubuntu-latest
    environment: staging
    steps: [{run: 'true'}]
  production:
    needs: staging
    runs-on: ubuntu-latest
    environment: production
    steps:
      - run: echo own > own
      - uses: actions/upload-artifact@v4
        with: {name: own, path: own}
  late:
    needs: production
    runs-on: ubuntu-latest
    steps:
      - run: echo bad > patch
      - uses: actions/upload-artifact@v4
        with: {name: patch, path: patch}
  finish:
    needs: production
    runs-on: ubuntu-latest
    environment: production
    steps:
      - uses: actions/download-artifact@v4
        with: {path: in}
      - run: test -f in/app/app && test -f in/own/own && ! test -e in/patch
      - id: named
        continue-on-error: true
        uses: actions/download-artifact@v4
        with: {name: patch, path: named}
      - run: test $OUTCOME = failure && ! test -e named/patch
        env: {OUTCOME: '${{ steps.named.outcome }}'}
";

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_production_gets_no_artifact_that_came_after_the_approval() {
    let place = place_of(LATE);
    let run = begin_release(&place);
    let engine = engine(&place.folder);
    let state = until(&engine, run, at_gate).await;
    engine.tell(run, approve(&state)).await.unwrap();
    let state = until(&engine, run, |state| state.finished.is_some()).await;
    let spool = std::fs::read_to_string(place.folder.job(run.0, "finish", 1).join("spool.jsonl")).unwrap();
    assert_eq!(state.finished.as_ref().unwrap().conclusion, Conclusion::Success, "{spool}");
    let said = "artifact `patch` was made after production's plan was approved, so nobody said yes to it; let the jobs \
                of production need `late`, which makes it";
    // Once as what was left out, once as why the step that names it failed.
    assert!(spool.matches(said).count() >= 2, "{spool}");
}

const BUILD: &str = "on: {push: {tags: ['v*']}}\njobs: {build: {runs-on: x, steps: [{run: make}]}}\n";

/// The folder the job of [`BUILD`] will have, made beforehand: what a step does to it is done by the test.
fn job_folder(place: &Place, run: RunId) -> JobFolder {
    let folder = JobFolder::new(place.folder.job(run.0, "build", 1));
    folder.create().unwrap();
    folder
}

fn source() -> Request {
    Request::Source { repository: String::new(), reference: String::new(), fetch_depth: 1, fetch_tags: false }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_engine_says_what_an_artifact_is() {
    let place = place_of(BUILD);
    let run = begin_release(&place);
    let folder = job_folder(&place, run);
    let tar = b"no bill of materials";
    std::fs::write(folder.path().join("outbox/1.tar"), tar).unwrap();
    let digest = tagline_plan::digest::digest_bytes(tar);
    let (size, kind) = (tar.len() as u64, "sbom".to_owned());
    let upload = Request::Upload { name: "bom".into(), file: "1.tar".into(), digest, size, overwrite: false, kind };
    let fake = Fake::new();
    fake.script("build", Script::new().ask(upload));
    let engine = scripted(&place.folder, &fake);
    let state = until(&engine, run, |state| state.finished.is_some()).await;
    assert_eq!(state.finished.as_ref().unwrap().conclusion, Conclusion::Success, "{:#?}", state.jobs);
    assert_eq!(state.artifacts["bom"].kind, "file");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_has_a_copy_of_the_source_and_none_of_the_engines_files() {
    use std::os::unix::fs::MetadataExt;
    let place = place_of(BUILD);
    let run = begin_release(&place);
    let (fake, hold) = (Fake::new(), Hold::new());
    fake.script("build", Script::new().ask(source()).hold(&hold));
    let engine = scripted(&place.folder, &fake);
    engine.take_up(run).await.unwrap();
    hold.reached().await;
    let inbox = place.folder.job(run.0, "build", 1).join("inbox");
    let links: Vec<u64> =
        std::fs::read_dir(inbox).unwrap().map(|entry| entry.unwrap().metadata().unwrap().nlink()).collect();
    assert_eq!(links, [1], "one archive, with no other name");
    hold.release();
    until(&engine, run, |state| state.finished.is_some()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inbox_that_a_step_has_made_a_link_gets_nothing() {
    let place = place_of(BUILD);
    let run = begin_release(&place);
    let folder = job_folder(&place, run);
    let elsewhere = place.folder.root().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    std::fs::remove_dir(folder.path().join("inbox")).unwrap();
    std::os::unix::fs::symlink(&elsewhere, folder.path().join("inbox")).unwrap();
    let fake = Fake::new();
    fake.script("build", Script::new().ask(source()));
    let engine = scripted(&place.folder, &fake);
    let state = until(&engine, run, |state| state.finished.is_some()).await;
    assert_eq!(state.finished.as_ref().unwrap().conclusion, Conclusion::Failure);
    assert_eq!(std::fs::read_dir(&elsewhere).unwrap().count(), 0);
}
