//! What of the cluster is on the machine: the proof that `down` leaves nothing.

use std::path::Path;

use super::home::Home;
use super::{cgroup, firewall, network};

/// Everything found, each with its kind; empty after `down`. The built programs are not counted.
pub(super) fn find(home: &Home) -> Vec<String> {
    let mut found = Vec::new();
    let mut note =
        |kind: &str, names: Vec<String>| found.extend(names.into_iter().map(|name| format!("{kind} {name}")));
    note("process", cgroup::processes().iter().map(u32::to_string).collect());
    note("cgroup", cgroup::left().iter().map(|folder| folder.display().to_string()).collect());
    note("link", network::links());
    note("route", network::routes());
    note("chain", firewall::chains());
    note("mount", mounts(home.path()));
    let own = [home.run(""), home.logs(), home.state()];
    note("folder", own.iter().filter(|path| path.exists()).map(|path| path.display().to_string()).collect());
    // Made by the kubelet and containerd where they are not kept to themselves.
    let strays = [
        "/var/lib/kubelet",
        "/var/log/pods",
        "/var/log/containers",
        "/var/lib/cni",
        "/etc/cni/net.d/10-tagline.conflist",
    ];
    note("folder", strays.iter().filter(|path| Path::new(path).exists()).map(|path| (*path).to_owned()).collect());
    found
}

/// Mounts of this machine's namespace beneath a folder.
fn mounts(folder: &Path) -> Vec<String> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let point = |line: &str| line.split(' ').nth(4).map(str::to_owned);
    table.lines().filter_map(point).filter(|point| Path::new(point).starts_with(folder)).collect()
}
