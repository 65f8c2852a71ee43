//! Debian packages the tests use; installed only by root on a Debian, and only where missing.

use std::process::Command;

use anyhow::{Result, bail};

use crate::shell;

/// Each package with a program that shows that it is there.
const PACKAGES: [(&str, &str); 11] = [
    ("docker.io", "dockerd"),
    ("containerd", "containerd"),
    ("runc", "runc"),
    ("iptables", "iptables"),
    ("docker-registry", "docker-registry"),
    ("busybox-static", "busybox"),
    ("git", "git"),
    ("openssh-client", "ssh-keygen"),
    ("openssl", "openssl"),
    ("util-linux", "setpriv"),
    ("faketime", "faketime"),
];

/// Installs what is missing of the set-up's own.
pub(super) fn install() -> Result<()> {
    add(&missing(&PACKAGES))
}

/// Installs the packages, if there are any.
pub(crate) fn add(missing: &[&str]) -> Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    if shell::which("apt-get").is_none() {
        bail!("not a Debian; missing: {list}");
    }
    if !shell::is_root() {
        bail!("not root; install them with: apt-get install {list}");
    }
    println!("installing {list}");
    shell::output(apt().arg("update"))?;
    shell::output(apt().args(["install", "-y", "--no-install-recommends"]).args(missing))?;
    Ok(())
}

/// The packages of a list whose program is not there.
pub(crate) fn missing(list: &[(&'static str, &str)]) -> Vec<&'static str> {
    list.iter().filter(|(_, program)| shell::which(program).is_none()).map(|(package, _)| *package).collect()
}

fn apt() -> Command {
    let mut command = Command::new("apt-get");
    // Run level 1 keeps the packages' own services from starting beside ours.
    command.env("DEBIAN_FRONTEND", "noninteractive").env("RUNLEVEL", "1").arg("-q");
    command
}
