//! A real Kubernetes on this machine for the tests: brought up by one command and taken down without a trace.
//!
//! Invariants: every process of the cluster is in one cgroup, every file in one folder of the cache, every mount in a
//! namespace of its own, every rule in a chain with a name of ours; so `down` needs no memory of what `up` did.
//! `state.json` tells tests where everything is. Everything listens on loopback or on the pods' bridge.

mod cgroup;
mod check;
mod control;
mod firewall;
mod home;
mod http;
mod leftovers;
mod network;
mod node;
mod packages;
mod pause;
mod pki;
mod postgres;
mod process;
mod programs;
mod prometheus;
mod services;
mod state;
mod up;

use std::fs::{self, File};
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};

use crate::shell;
use home::Home;
use state::State;

/// `cargo xtask cluster …`.
pub(crate) fn command(args: &[&str]) -> Result<bool> {
    let home = Home::new()?;
    match args {
        ["build"] => build(&home),
        ["up"] => up::up(&home, None),
        ["up", "--use-kubeconfig"] => up::up(&home, Some(given_kubeconfig()?)),
        ["down"] => down(&home),
        ["check"] => check(&home),
        ["status"] => status(&home),
        ["env"] => env(&home),
        _ => bail!("usage: cargo xtask cluster build|up [--use-kubeconfig]|check|status|env|down"),
    }
}

/// Takes the cluster down and frees its programs: the cluster's part of `cargo xtask clean`.
pub(crate) fn clean() -> Result<()> {
    let home = Home::new()?;
    // Another cache's cluster is none of ours.
    if home.state().exists() || home.run("").exists() {
        down(&home)?;
    }
    programs::forget(&home)?;
    fs::remove_dir_all(home.path()).with_context(|| format!("cannot free {}", home.path().display()))
}

fn build(home: &Home) -> Result<bool> {
    let _lock = lock(home)?;
    programs::build(home, &programs::ALL)?;
    println!("✓ programs {}", home.bin().display());
    Ok(true)
}

/// One command at a time changes the cluster.
fn lock(home: &Home) -> Result<File> {
    let path = home.lock();
    let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
    Ok(file)
}

/// The kubeconfig of `--use-kubeconfig`.
fn given_kubeconfig() -> Result<PathBuf> {
    let named = ["TAGLINE_TEST_KUBECONFIG", "KUBECONFIG"].into_iter().find_map(std::env::var_os);
    let file = PathBuf::from(named.context("--use-kubeconfig: neither TAGLINE_TEST_KUBECONFIG nor KUBECONFIG is set")?);
    file.canonicalize().with_context(|| format!("--use-kubeconfig: no file {}", file.display()))
}

fn down(home: &Home) -> Result<bool> {
    ensure!(shell::is_root(), "only root can take the cluster down");
    let _lock = lock(home)?;
    // A damaged state is no reason to leave anything.
    let state = State::load(home).ok().flatten();
    cgroup::remove()?;
    // Without a sign that they are ours, chains of that name are those of another Kubernetes.
    let ours = network::here() || state.is_some_and(|state| !state.foreign);
    if ours {
        network::down(home)?;
    }
    for folder in [home.run(""), home.logs()] {
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
        }
    }
    if home.state().exists() {
        fs::remove_file(home.state())?;
    }
    fs::remove_file(home.lock())?;
    let left = leftovers::find(home);
    ensure!(left.is_empty() || !ours, "left behind: {}", left.join(", "));
    println!("✓ the cluster is down; nothing of it is left but its programs");
    Ok(true)
}

/// What runs; without a cluster, what is left of one. False where something is not as it should be.
fn status(home: &Home) -> Result<bool> {
    let Some(state) = State::load(home)? else {
        let left = leftovers::find(home);
        if left.is_empty() {
            println!("no cluster is up and nothing of one is left");
        }
        for thing in &left {
            println!("left: {thing}");
        }
        return Ok(left.is_empty());
    };
    for (name, process) in &state.processes {
        let word = if process::running(&state, name) { "✓" } else { "✗ ended:" };
        println!("{word} {name} (process {})", process.pid);
    }
    let answers = control::answers(home, &state);
    println!("{} API server {}", if answers { "✓" } else { "✗ no answer:" }, state.kubeconfig.display());
    Ok(answers && process::ended(&state).is_empty() && up::complete(&state))
}

/// Asks the cluster for all that the tests need of it.
fn check(home: &Home) -> Result<bool> {
    let state = State::load(home)?.context("no cluster is up; start one with `cargo xtask cluster up`")?;
    check::run(home, &state)?;
    Ok(true)
}

/// Lines for a shell.
fn env(home: &Home) -> Result<bool> {
    let state = State::load(home)?.context("no cluster is up; start one with `cargo xtask cluster up`")?;
    for (key, value) in state.environment() {
        println!("export {key}='{value}'");
    }
    println!("export KUBECACHEDIR='{}'", home.run("kubectl-cache").display());
    println!("export PATH='{}':\"$PATH\"", home.bin().display());
    Ok(true)
}

/// Brings the cluster up, and what tests read of it from their environment.
pub(crate) fn for_tests() -> Result<Vec<(&'static str, String)>> {
    let home = Home::new()?;
    up::up(&home, None)?;
    let state = State::load(&home)?.context("the cluster is up and says nothing of itself")?;
    let mut environment = state.environment();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(home.bin()).chain(std::env::split_paths(&path));
    environment.push(("PATH", std::env::join_paths(folders)?.to_string_lossy().into_owned()));
    environment.push(("KUBECACHEDIR", home.run("kubectl-cache").display().to_string()));
    Ok(environment)
}
