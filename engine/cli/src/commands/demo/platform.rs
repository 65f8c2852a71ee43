//! The platform of the example: built from its source, started beside the engine, stopped at the end.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::exit::Exit;
use crate::failure::Failure;

/// It is up within this.
const START: Duration = Duration::from_secs(30);
/// It ends within this when told to.
const STOP: Duration = Duration::from_secs(15);

/// Variables that would change how the example is built.
const FOREIGN: [&str; 4] = ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET", "CARGO_BUILD_RUSTFLAGS"];

/// Builds it; its program.
pub(super) async fn build(repository: &Path, target: &Path) -> Result<PathBuf, Failure> {
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--locked", "--quiet"]).current_dir(repository.join("platform"));
    cargo.env("CARGO_TARGET_DIR", target).stdin(Stdio::null());
    // Standard output is for results.
    cargo.stdout(Stdio::null());
    for name in FOREIGN {
        cargo.env_remove(name);
    }
    let failure = |why: String| {
        Failure::new(Exit::OutOfReach, "no-platform", "the example's platform cannot be built")
            .why(why)
            .effect("nothing was released")
            .next("check that Cargo works and reaches its registry: cargo --version")
    };
    match cargo.status().await {
        Ok(status) if status.success() => Ok(target.join("debug/platform")),
        Ok(status) => Err(failure(format!("cargo build: {status}"))),
        Err(error) => Err(failure(error.to_string())),
    }
}

/// A running platform.
#[derive(Debug)]
pub(super) struct Platform {
    child: Child,
    binary: PathBuf,
    state: PathBuf,
    url: String,
}

impl Platform {
    /// Starts it on a free port of this machine.
    pub(super) async fn start(binary: &Path, state: &Path) -> Result<Self, Failure> {
        let failure = |why: String| {
            Failure::new(Exit::OutOfReach, "no-platform", "the example's platform does not start")
                .why(why)
                .effect("nothing was released")
                .next("see what this machine lacks: tagline doctor")
        };
        let mut command = Command::new(binary);
        command.args(["--listen", "127.0.0.1:0", "--state"]).arg(state);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).env_remove("PLATFORM_TOKEN");
        // A Ctrl-C at the prompt is not for it.
        command.process_group(0).kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| failure(error.to_string()))?;
        let stdout = child.stdout.take().ok_or_else(|| failure("it has no output".to_owned()))?;
        let mut lines = BufReader::new(stdout).lines();
        let line = match timeout(START, lines.next_line()).await {
            Ok(Ok(Some(line))) => line,
            Ok(Ok(None)) => return Err(failure("it ended at once".to_owned())),
            Ok(Err(error)) => return Err(failure(error.to_string())),
            Err(_) => return Err(failure("it said nothing for 30 s".to_owned())),
        };
        let said: Value = serde_json::from_str(&line).map_err(|error| failure(error.to_string()))?;
        let url = said["url"].as_str().ok_or_else(|| failure(format!("it said {line}")))?.to_owned();
        Ok(Self { child, binary: binary.to_owned(), state: state.to_owned(), url })
    }

    /// Where jobs reach it.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// The command that starts it again, at the same address.
    pub(super) fn command(&self) -> String {
        let address = self.url.trim_start_matches("http://");
        format!("{} --listen {address} --state {}", self.binary.display(), self.state.display())
    }

    /// Tells it to end, and its shops with it.
    pub(super) async fn stop(&mut self) {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // It may have ended by itself.
            let _ = kill_process(pid, Signal::TERM);
        }
        if timeout(STOP, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
    }
}
