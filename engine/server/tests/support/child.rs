//! The engine in a process of its own: this test program, started again. It serves the store's socket, drives one run to
//! its end, and says on standard output where it is.

use std::io::{self, Write};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tagline_executor::{Environment, Executor, Exposure, Sandbox};
use tagline_run::{GateId, GateStatus, RunId, RunState};
use tagline_server::{Engine, EngineConfig, Executors, Faults, serve};
use tagline_store::StoreFolder;

/// The variable that makes a process an engine; it holds a [`Role`].
pub(crate) const VARIABLE: &str = "TAGLINE_CRASH_ENGINE";

/// What the engine is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Role {
    pub(crate) store: PathBuf,
    pub(crate) run: u64,
    pub(crate) agent: PathBuf,
    pub(crate) tools: PathBuf,
    /// As [`Faults::parse`] reads it; empty for none.
    pub(crate) fault: String,
}

/// Drives the run until it has ended and nothing is left to do.
pub(crate) fn engine(role: &Role) {
    let _ = tracing_subscriber::fmt().with_writer(io::stderr).with_env_filter("debug").try_init();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(drive(role));
}

async fn drive(role: &Role) {
    let folder = StoreFolder::at(&role.store);
    let sandbox = Executor::Sandbox(Sandbox::new(Environment::of_process(), folder.cache()));
    let exposure = Exposure::of(std::slice::from_ref(&role.tools), None).unwrap();
    let faults = if role.fault.is_empty() { Faults::default() } else { Faults::parse(&role.fault).unwrap() };
    let engine = Engine::start(EngineConfig {
        folder,
        holder: "the crash matrix".to_owned(),
        agent: role.agent.clone(),
        max_jobs: 4,
        executors: Executors::new(vec![("sandbox".to_owned(), sandbox)], exposure),
        deliverer: std::sync::Arc::new(tagline_server::delivery::NoCluster),
        faults,
    })
    .unwrap();
    let mut updates = engine.watch();
    let mut state = engine.take_up(RunId(role.run)).await.unwrap();
    let ended = async move {
        say("serving");
        let mut said = None;
        while state.finished.is_none() {
            let gate = open_gate(&state);
            if gate.is_some() && gate != said {
                say("gate");
                said = gate;
            }
            state = updates.recv().await.unwrap().state;
        }
        say("finished");
    };
    serve(engine, ended).await.unwrap();
}

/// The gate that waits for votes.
fn open_gate(state: &RunState) -> Option<GateId> {
    state.gates.iter().find(|(_, gate)| gate.status == GateStatus::Open).map(|(id, _)| *id)
}

/// One line for whoever started this process; past the test harness, which would keep it.
fn say(word: &str) {
    let mut out = io::stdout();
    writeln!(out, "crash: {word}").and_then(|()| out.flush()).unwrap();
}
