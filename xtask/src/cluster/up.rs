//! `cargo xtask cluster up`: starts what does not run, in the order in which one needs the other.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::home::Home;
use super::state::{Ports, State};
use super::{
    cgroup, control, leftovers, lock, network, node, packages, pki, postgres, process, programs, prometheus, services,
};
use crate::{setup, shell};

/// Brings the cluster up or repairs it; with a kubeconfig given, only what is missing beside that cluster.
pub(super) fn up(home: &Home, given: Option<PathBuf>) -> Result<bool> {
    let start = Instant::now();
    let _lock = lock(home)?;
    let mut state = if let Some(state) = State::load(home)? {
        ensure!(
            state.foreign == given.is_some(),
            "the cluster is up in the other way; `cargo xtask cluster down` first"
        );
        if process::ended(&state).is_empty() && complete(&state) && control::answers(home, &state) {
            println!("✓ the cluster is up already; {}", hint());
            return Ok(true);
        }
        state
    } else {
        ensure!(shell::is_root(), "only root can start a cluster; with --use-kubeconfig another one is used");
        let left = leftovers::find(home);
        ensure!(left.is_empty() || given.is_some(), "a cluster is here of which nothing is known: {}", left.join(", "));
        fresh(home, given)?
    };
    packages::install()?;
    programs::build(home, if state.foreign { &programs::TOOLS } else { &programs::ALL })?;
    // The registry may have come up anew, on another port.
    state.registry = setup::registry()?;
    state.save(home)?;
    let begun = Instant::now();
    start_all(home, &mut state)?;
    println!(
        "✓ the cluster is up: {:.1} s, {:.1} s with the checks before; {}",
        begun.elapsed().as_secs_f64(),
        start.elapsed().as_secs_f64(),
        hint()
    );
    Ok(true)
}

fn hint() -> &'static str {
    "its environment: eval \"$(cargo xtask cluster env)\""
}

/// A state in which nothing is started yet.
fn fresh(home: &Home, given: Option<PathBuf>) -> Result<State> {
    let ports = Ports::free()?;
    let own = given.is_none();
    Ok(State {
        foreign: !own,
        restricted: own.then(|| pki::kubeconfig(home, "restricted")),
        audit_log: own.then(|| control::audit_log(home)),
        kubeconfig: given.unwrap_or_else(|| pki::kubeconfig(home, "admin")),
        registry: String::new(),
        prometheus: named("TAGLINE_TEST_PROMETHEUS", own).unwrap_or(ports.prometheus()),
        postgres: named("TAGLINE_TEST_POSTGRES", own).unwrap_or(ports.postgres()),
        postgres_in_pods: own.then(|| postgres::url(&services::postgres_host(), 5432)),
        ports,
        processes: BTreeMap::new(),
    })
}

/// A server named in the environment; beside a cluster of our own there are only our own.
fn named(variable: &str, own: bool) -> Option<String> {
    std::env::var(variable).ok().filter(|_| !own)
}

/// Whether every component was started once.
pub(super) fn complete(state: &State) -> bool {
    let started = |name: &str| state.processes.contains_key(name);
    (state.foreign || started("coredns"))
        && (started("postgres") || state.postgres != state.ports.postgres())
        && (started("prometheus") || state.prometheus != state.ports.prometheus())
}

/// Starts what does not run.
fn start_all(home: &Home, state: &mut State) -> Result<()> {
    if !process::running(state, "mounts") {
        // What ran in the old namespace has nothing to stand on.
        stop_node(state)?;
    }
    step("mounts", node::holder(home, state))?;
    if state.foreign {
        ensure!(control::answers(home, state), "no cluster answers with {}", state.kubeconfig.display());
    } else {
        start_cluster(home, state)?;
    }
    if state.postgres == state.ports.postgres() {
        step("postgres", postgres::start(home, state))?;
    }
    if state.prometheus == state.ports.prometheus() {
        let user = if state.foreign { state.kubeconfig.clone() } else { pki::kubeconfig(home, "prometheus") };
        step("prometheus", prometheus::start(home, state, &user))?;
    }
    Ok(())
}

fn start_cluster(home: &Home, state: &mut State) -> Result<()> {
    network::up(home)?;
    pki::make(home)?;
    step("etcd", control::etcd(home, state))?;
    step("kube-apiserver", control::api_server(home, state))?;
    step("containerd", node::containerd(home, state))?;
    control::wait_for_api(home, state)?;
    step("kube-controller-manager", control::controllers(home, state))?;
    step("kube-scheduler", control::scheduler(home, state))?;
    step("kubelet", node::kubelet(home, state))?;
    step("kube-proxy", node::proxy(home, state))?;
    step("coredns", services::dns(home, state))?;
    services::apply(home, state)?;
    node::wait_until_ready(home, state)
}

/// Says whether a component was started.
fn step(name: &str, started: Result<bool>) -> Result<()> {
    if started.with_context(|| format!("cannot start {name}"))? {
        println!("✓ {name}");
    }
    Ok(())
}

/// Ends everything of the node: its containers too, as they live in the same cgroup.
fn stop_node(state: &State) -> Result<()> {
    if state.processes.is_empty() {
        return Ok(());
    }
    println!("the node's mounts are gone; starting everything anew");
    cgroup::remove()
}
