//! The peer: act, built from its Go module into the cache, a folder a version.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Result, ensure};

use crate::{paths, shell};

const VERSION: &str = "v0.2.89";

/// The program, installed if need be.
pub(super) fn install() -> Result<PathBuf> {
    let folder = paths::cache()?.join(format!("act-{VERSION}"));
    let program = folder.join("act");
    if !program.exists() {
        ensure!(shell::which("go").is_some(), "the `go` program is not installed");
        let mut go = Command::new("go");
        go.args(["install", &format!("github.com/nektos/act@{VERSION}")]).env("GOBIN", &folder);
        ensure!(shell::shown(&mut go)?, "go install failed");
    }
    Ok(program)
}

/// How act runs jobs.
#[derive(Clone, Copy)]
pub(super) enum Mode {
    /// In containers of the local image.
    Docker,
    /// As plain processes, without isolation.
    Host,
}

/// `act push` of one workflow file, output discarded.
pub(super) fn push(program: &Path, home: &Path, tree: &Path, file: &str, mode: Mode) -> Command {
    let platform = match mode {
        Mode::Docker => "ubuntu-latest=tagline-test/bash:latest",
        Mode::Host => "ubuntu-latest=-self-hosted",
    };
    let mut command = Command::new(program);
    command.args(["push", "--workflows", file, "--platform", platform, "--pull=false"]);
    command.current_dir(tree).env("HOME", home).env("XDG_CACHE_HOME", home.join("cache"));
    command.env("XDG_CONFIG_HOME", home.join("config")).stdin(Stdio::null());
    command
}
