//! Secrets of environments, and those given with a run: no job without what its environment requires, and nothing left
//! behind.

use rusqlite::Connection;
use tagline_plan::Person;
use tagline_run::{Cause, GateStatus, Input, RunId, RunState};
use tagline_server::beside;

use crate::place::{Place, WORKFLOW, cause, ended, finished, holds, place, until};

const REQUIRED: &str = "environments: {production: {secrets: [DATABASE_URL]}}\n";
const GATED: &str = "environments: {production: {reviewers: {any-of: [ona@example.com]}}}\n";
const GIVEN: &[(&str, &str)] = &[("DATABASE_URL", "postgres://hidden")];

fn with_environment() -> String {
    WORKFLOW.replace("    steps:", "    environment: production\n    steps:")
}

fn at_gate(state: &RunState) -> bool {
    state.gates.values().any(|gate| gate.status == GateStatus::Open)
}

async fn at_its_gate(place: &Place) -> RunId {
    let run = place.begin(GIVEN).run;
    let engine = place.engine();
    until(&engine, run, at_gate).await;
    run
}

fn cancel() -> Input {
    let by = Person { name: "Li".into(), email: "li@example.com".into() };
    Input::Cancel { by, reason: String::new(), force: false }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_does_not_start_without_a_secret_its_environment_requires() {
    let place = place(&with_environment(), REQUIRED);
    let scope = place.scope(Some("production"));
    place.store().set_secret(&scope, "DATABASE_URL", "postgres://hidden", 0).unwrap();
    let run = place.begin(&[]).run;
    place.store().remove_secret(&scope, "DATABASE_URL").unwrap();
    let engine = place.engine();
    let state = until(&engine, run, finished).await;
    assert_eq!(cause(&state), Cause::Launch);
    let why = ended(&state).why;
    assert!(why.contains("environment `production` requires the secret `DATABASE_URL`, which is not set"), "{why}");
    assert!(why.contains("tagline secret set DATABASE_URL --environment production"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_of_a_run_that_ends_without_an_engine_go_with_it() {
    let place = place(&with_environment(), GATED);
    let run = at_its_gate(&place).await;
    assert_eq!(place.given(run), ["DATABASE_URL"]);
    let told = beside::tell(&place.folder, run, cancel()).await.unwrap();
    assert!(!told.engine_serves);
    assert_eq!(place.given(run), [""; 0]);
    assert!(!place.outbox().iter().any(|key| key.starts_with("secrets/")), "{:?}", place.outbox());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_begun_again_goes_on_with_what_it_is_given_then() {
    let place = place(&with_environment(), GATED);
    let run = at_its_gate(&place).await;
    let again = place.begin(&[("OTHER", "given later")]);
    assert_eq!((again.run, again.fresh), (run, false));
    assert_eq!(place.given(run), ["DATABASE_URL", "OTHER"]);
    beside::tell(&place.folder, run, cancel()).await.unwrap();
    assert_eq!(place.given(run), [""; 0]);
    place.begin(GIVEN);
    assert_eq!(place.given(run), [""; 0], "a run that has ended takes none");
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_that_cannot_be_removed_are_removed_by_the_next_engine() {
    let place = place(WORKFLOW, REQUIRED);
    let run = place.begin(GIVEN).run;
    let database = Connection::open(place.folder.database()).unwrap();
    let refuse = "CREATE TRIGGER refuse BEFORE DELETE ON secrets BEGIN SELECT raise(ABORT, 'no'); END";
    database.execute_batch(refuse).unwrap();
    let engine = place.engine();
    until(&engine, run, finished).await;
    drop(engine);
    assert_eq!(place.given(run), ["DATABASE_URL"]);
    database.execute_batch("DROP TRIGGER refuse").unwrap();
    let engine = place.engine();
    holds(|| place.given(run).is_empty()).await;
    drop(engine);
    assert!(!place.outbox().iter().any(|key| key.starts_with("secrets/")), "{:?}", place.outbox());
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_given_to_a_run_that_has_ended_are_removed_by_the_next_engine() {
    let place = place(WORKFLOW, REQUIRED);
    let run = place.begin(GIVEN).run;
    let engine = place.engine();
    until(&engine, run, finished).await;
    drop(engine);
    let given = [("LATE".to_owned(), "too late".to_owned())].into_iter().collect();
    tagline_server::secrets::give(&place.store(), run, &given).unwrap();
    let engine = place.engine();
    holds(|| place.given(run).is_empty()).await;
    drop(engine);
}
