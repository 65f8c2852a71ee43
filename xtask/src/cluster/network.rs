//! The node's network: a bridge for the pods, whose address is the node's, and an empty one that keeps what is meant
//! for the service range on this machine. Nothing of it is reachable from another machine, and pods reach nobody else.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::firewall;
use super::home::Home;
use crate::shell;

/// The node's address: the API server, the kubelet and PostgreSQL listen there.
pub(super) const NODE: &str = "10.244.0.1";
/// Where pods get their addresses from; the bridge has the first.
pub(super) const PODS: &str = "10.244.0.0/24";
/// Where Services get their addresses from.
pub(super) const SERVICES: &str = "10.245.0.0/16";
/// The API server's Service, the first of [`SERVICES`].
pub(super) const API_SERVICE: &str = "10.245.0.1";
/// The cluster's DNS.
pub(super) const DNS_SERVICE: &str = "10.245.0.10";
/// PostgreSQL, for pods.
pub(super) const POSTGRES_SERVICE: &str = "10.245.0.54";
/// The bridge of the pods.
pub(super) const BRIDGE: &str = "tagline-pods";
/// The bridge that leads nowhere.
const NOWHERE: &str = "tagline-svc";
/// How long the kernel remembers a connection that was not answered, seconds. kube-proxy refuses a Service without
/// endpoints after the kernel has noted the connection as one without translation, if it comes from this machine; with
/// the usual 120 s the same client port is then refused for so long, though the endpoints have come.
const SYN_SENT: &str = "net/netfilter/nf_conntrack_tcp_timeout_syn_sent";
/// Settings that we, the bridge plugin or kube-proxy change.
const SYSCTLS: [&str; 7] = [
    "net/ipv4/ip_forward",
    SYN_SENT,
    "net/ipv4/conf/all/route_localnet",
    "net/netfilter/nf_conntrack_max",
    "net/netfilter/nf_conntrack_tcp_timeout_established",
    "net/netfilter/nf_conntrack_tcp_timeout_close_wait",
    "net/netfilter/nf_conntrack_tcp_be_liberal",
];

/// The file of the settings as they were.
const BEFORE: &str = "sysctls.json";

fn ip(args: &[&str]) -> Result<String> {
    shell::output(Command::new("ip").args(args))
}

fn has(link: &str) -> bool {
    Path::new("/sys/class/net").join(link).exists()
}

/// The settings as they are now.
fn sysctls() -> BTreeMap<String, String> {
    let read = |name: &&str| {
        let value = fs::read_to_string(Path::new("/proc/sys").join(name)).ok()?;
        Some(((*name).to_owned(), value.trim().to_owned()))
    };
    SYSCTLS.iter().filter_map(read).collect()
}

/// Writes down the settings as they were before the cluster, once: not in the state, which is written often.
fn remember(home: &Home) -> Result<()> {
    if !home.run(BEFORE).exists() {
        home.write(BEFORE, &serde_json::to_string_pretty(&sysctls())?)?;
    }
    Ok(())
}

fn set(name: &str, value: &str) -> Result<()> {
    fs::write(Path::new("/proc/sys").join(name), value).with_context(|| format!("cannot set {name} to {value}"))
}

/// Makes bridges, routes and rules; again does no harm.
pub(super) fn up(home: &Home) -> Result<()> {
    remember(home)?;
    if !has(BRIDGE) {
        // A fixed address, or the bridge takes that of its newest pod.
        ip(&["link", "add", BRIDGE, "address", "02:00:0a:f4:00:01", "type", "bridge"])?;
    }
    ip(&["addr", "replace", &format!("{NODE}/24"), "dev", BRIDGE])?;
    ip(&["link", "set", BRIDGE, "up"])?;
    if !has(NOWHERE) {
        ip(&["link", "add", NOWHERE, "type", "bridge"])?;
    }
    ip(&["link", "set", NOWHERE, "up"])?;
    ip(&["route", "replace", SERVICES, "dev", NOWHERE, "src", NODE])?;
    for (name, value) in [("net/ipv4/ip_forward", "1"), (SYN_SENT, "2")] {
        set(name, value)?;
    }
    firewall::up()
}

/// Removes rules, bridges and with them routes, and puts the settings back.
pub(super) fn down(home: &Home) -> Result<()> {
    firewall::down()?;
    for link in links() {
        ip(&["link", "delete", &link])?;
    }
    let text = fs::read_to_string(home.run(BEFORE)).unwrap_or_default();
    let before: BTreeMap<String, String> = serde_json::from_str(&text).unwrap_or_default();
    let now = sysctls();
    for (name, value) in before.iter().filter(|(name, value)| now.get(*name) != Some(*value)) {
        set(name, value)?;
    }
    Ok(())
}

/// Whether anything that only this cluster has is there.
pub(super) fn here() -> bool {
    has(BRIDGE) || has(NOWHERE) || firewall::here()
}

/// Our links that are there: the bridges, and pods' ends that hang on one.
pub(super) fn links() -> Vec<String> {
    let ports = fs::read_dir(Path::new("/sys/class/net").join(BRIDGE).join("brif"));
    let mut found: Vec<String> =
        ports.into_iter().flatten().flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    found.extend([BRIDGE, NOWHERE].into_iter().filter(|link| has(link)).map(str::to_owned));
    found
}

/// Our routes that are there.
pub(super) fn routes() -> Vec<String> {
    let all = ip(&["route", "show"]).unwrap_or_default();
    let ours = |line: &&str| [PODS, SERVICES].iter().any(|range| line.starts_with(range));
    all.lines().filter(ours).map(|line| line.trim().to_owned()).collect()
}
