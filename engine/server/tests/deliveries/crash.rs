//! The engine is killed at every milestone of a delivery, after storing it and after acting on it: the next one goes on
//! from there, and the end is always the same.
//!
//! A short run takes the entries of the journal from the first milestone to the last; `TAGLINE_TEST_ALL=1` takes every one.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use tagline_run::{Conclusion, Fact, RunId};
use tagline_server::{Faults, ledger};
use tagline_store::{Store, StoreFolder};
use tokio::sync::watch;

use crate::place::{agent, approve, at_gate, finished, names, place, start, until};
use crate::pretender::{Pretender, Stage};

/// The variable that makes a process an engine; it holds a [`Role`].
const VARIABLE: &str = "TAGLINE_DELIVERY_ENGINE";

#[derive(Debug, Serialize, Deserialize)]
struct Role {
    store: PathBuf,
    run: u64,
    agent: PathBuf,
    fault: String,
}

/// Not a test by itself: the process of an engine, when the variable says so.
#[test]
fn engine_process() {
    let Ok(role) = std::env::var(VARIABLE) else { return };
    let role: Role = serde_json::from_str(&role).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let stage = Stage::default();
        *stage.plan.lock().unwrap() = serde_json::json!({"version": 1});
        *stage.retire_in.lock().unwrap() = Some(SignedDuration::from_hours(24));
        let on = watch::Sender::new(true);
        let pretender = Pretender { stage: Arc::new(stage), on: on.subscribe() };
        let faults = Faults::parse(&role.fault).unwrap_or_default();
        let engine = start(&StoreFolder::at(&role.store), role.agent, pretender, faults);
        let run = RunId(role.run);
        let state = until(&engine, run, at_gate).await;
        if state.finished.is_none() {
            engine.tell(run, approve(&state)).await.unwrap();
            until(&engine, run, finished).await;
        }
        engine.stop();
    });
}

/// One life of the engine; whether it came to the end of the run.
fn live(store: &StoreFolder, run: RunId, agent: &std::path::Path, fault: &str) -> bool {
    let role = Role { store: store.root().to_owned(), run: run.0, agent: agent.to_owned(), fault: fault.to_owned() };
    let mut process = Command::new(std::env::current_exe().unwrap());
    process.args(["crash::engine_process", "--exact"]).env(VARIABLE, serde_json::to_string(&role).unwrap());
    process.output().unwrap().status.success()
}

/// A release over as many lives as it takes; the journal's length, and where its milestones stand.
fn release(agent: &std::path::Path, fault: &str) -> (u64, Vec<u64>) {
    let place = place();
    let run = place.begin();
    let mut lives = 1;
    let mut fault = fault;
    while !live(&place.folder, run, agent, std::mem::take(&mut fault)) {
        lives += 1;
        assert!(lives < 4, "the release does not end");
    }
    let store = Store::open_read_only(&place.folder).unwrap();
    let state = ledger::state(&store, run).unwrap();
    assert_eq!(state.finished.as_ref().unwrap().conclusion, Conclusion::Success, "{:#?}", state.jobs);
    assert_eq!(names(&state), ["planned", "begun", "switched", "delivered"]);
    let retirements = store.outbox().unwrap().into_iter().filter(|row| row.key.starts_with("retire/")).count();
    assert_eq!(retirements, 1, "what is left stands in the outbox once");
    store.verify().unwrap();
    let events = store.events(run, 0).unwrap();
    let milestones = events.iter().filter(|(_, event)| matches!(event.fact, Fact::Milestone { .. }));
    (events.len() as u64, milestones.map(|(number, _)| *number).collect())
}

#[test]
fn a_killed_engine_is_followed_by_one_that_goes_on_from_the_milestones() {
    let agent = agent();
    let (length, milestones) = release(&agent, "");
    let points: Vec<u64> = match std::env::var_os("TAGLINE_TEST_ALL") {
        Some(_) => (2..length).collect(),
        None => (milestones[0] - 1..=milestones[milestones.len() - 1]).collect(),
    };
    for point in &points {
        for kind in ["kill-stored", "kill-done"] {
            release(&agent, &format!("{kind}={point}"));
        }
    }
    // Past the harness, which shows the output of failed tests only.
    let _ = writeln!(std::io::stdout(), "{} points tried", 2 * points.len());
}
