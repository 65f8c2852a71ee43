//! Debian packages the cluster needs beside those of the set-up.

use anyhow::Result;

use super::{node, postgres};
use crate::setup;

/// Each package with a program that shows that it is there. PostgreSQL is looked for apart: its folder has a version.
const PACKAGES: [(&str, &str); 9] = [
    ("etcd-server", "etcd"),
    ("containerd", "containerd"),
    ("runc", "runc"),
    ("iptables", "iptables"),
    ("iproute2", "ip"),
    ("conntrack", "conntrack"),
    ("ethtool", "ethtool"),
    ("socat", "socat"),
    ("util-linux", "nsenter"),
];

/// Installs what is missing.
pub(super) fn install() -> Result<()> {
    let mut missing = setup::missing_packages(&PACKAGES);
    if !std::path::Path::new(node::CNI_PLUGINS).join("bridge").is_file() {
        missing.push("containernetworking-plugins");
    }
    if postgres::programs().is_none() {
        missing.push("postgresql");
    }
    setup::install_packages(&missing)
}
