//! A repository with a tagged release and a store beside it, and what engines on it are asked.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::path::{Path, PathBuf};
use std::process::Command;

use tagline_plan::Person;
use tagline_run::{Decision, GateStatus, Input, RunId, RunState};
use tagline_server::{Engine, vote};
use tagline_store::StoreFolder;

/// Both, in a folder that goes with the value.
pub(crate) struct Place {
    _scratch: tempfile::TempDir,
    pub(crate) repository: PathBuf,
    pub(crate) folder: StoreFolder,
}

/// Runs Git there.
pub(crate) fn git(folder: &Path, arguments: &[&str]) {
    let status = Command::new("git").args(arguments).current_dir(folder).status().unwrap();
    assert!(status.success(), "git {arguments:?}");
}

/// A repository whose one commit is tagged v1.2.3, with this `release.yml` and these `environments.yml`.
pub(crate) fn place(workflow: &str, rules: &str) -> Place {
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
    folder.create().unwrap();
    Place { repository, folder, _scratch: scratch }
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
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        message["executable"].as_str().map(PathBuf::from)
    });
    found.expect("cargo names the program")
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

pub(crate) fn finished(state: &RunState) -> bool {
    state.finished.is_some()
}

/// Where somebody is asked, or past it.
pub(crate) fn at_gate(state: &RunState) -> bool {
    finished(state) || state.gates.values().any(|gate| gate.status == GateStatus::Open)
}

/// Ona's yes to the gate that is open.
pub(crate) fn approve(state: &RunState) -> Input {
    let gate = vote::open_gate(state, None).unwrap();
    let ona = Person { name: "Ona".into(), email: "ona@example.com".into() };
    let statement = state.statement(gate, Decision::Approve, &ona.email, "fine", state.latest).unwrap();
    Input::Vote(Box::new(vote::sign(statement, ona, None, "cli").unwrap()))
}
