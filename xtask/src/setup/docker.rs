//! A Docker daemon: the one that answers, else one started by hand with its data in the cache.
//!
//! Known to work on Debian 12 as root without systemd: Docker 20.10, cgroup v1 with the cgroupfs driver, overlay2,
//! the default bridge with iptables. Where the kernel has no iptables the daemon is started without bridge.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail, ensure};

use crate::{paths, shell};

/// Where a daemon started here listens: Docker's own default, so that every client finds it.
const SOCKET: &str = "unix:///var/run/docker.sock";
const START: Duration = Duration::from_mins(1);

/// A `docker` client command.
pub(crate) fn docker() -> Command {
    Command::new("docker")
}

fn answers() -> bool {
    shell::output(docker().args(["version", "--format", "{{.Server.Version}}"])).is_ok()
}

fn folder() -> Result<PathBuf> {
    Ok(paths::cache()?.join("docker"))
}

/// `DOCKER_HOST` of a daemon that answers, started if need be.
pub(super) fn start() -> Result<String> {
    let host = std::env::var("DOCKER_HOST").unwrap_or_else(|_| SOCKET.to_owned());
    ensure!(shell::which("docker").is_some(), "the `docker` program is not installed");
    if answers() {
        return Ok(host);
    }
    ensure!(host == SOCKET, "no daemon answers at {host} (DOCKER_HOST)");
    ensure!(shell::is_root(), "no daemon answers, and only root can start one");
    for flags in [&[][..], &["--iptables=false", "--bridge=none"][..]] {
        if launch(flags)? {
            return Ok(host);
        }
    }
    bail!("dockerd did not answer; its log is {}", folder()?.join("log").display())
}

/// Starts one daemon; whether it answers. A daemon that fails is gone when this returns.
fn launch(flags: &[&str]) -> Result<bool> {
    let folder = folder()?;
    std::fs::create_dir_all(&folder)?;
    let mut dockerd = Command::new("dockerd");
    dockerd.arg("--data-root").arg(folder.join("data"));
    dockerd.arg("--exec-root").arg(folder.join("exec"));
    dockerd.arg("--pidfile").arg(folder.join("pid")).args(["--host", SOCKET]).args(flags);
    let pid = shell::daemon(&mut dockerd, &folder.join("log"))?;
    let mut up = false;
    shell::wait(START, || {
        up = answers();
        up || !shell::runs(pid, "dockerd") && !shell::runs(pid, "setsid")
    });
    if !up && shell::runs(pid, "dockerd") {
        super::stop(pid, "dockerd")?;
    }
    Ok(up)
}

/// Stops the daemon started here and frees its data.
pub(super) fn stop() -> Result<()> {
    let folder = folder()?;
    if let Some(pid) = super::pid_in(&folder.join("pid"), "dockerd") {
        super::stop(pid, "dockerd")?;
    }
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    Ok(())
}
