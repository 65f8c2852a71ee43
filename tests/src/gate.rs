//! What this machine has. A test that needs more notes a skip with its reason and returns; with `CI=true` it fails.
//!
//! `cargo xtask test` sets everything up, tells by the environment where it is, and lists the skips noted here.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::json;

/// A small image with a shell and busybox's programs.
pub const BUSYBOX: &str = "tagline-test/busybox:latest";
/// An image with bash, coreutils and git.
pub const BASH: &str = "tagline-test/bash:latest";

/// Whether the slow cases are asked for (`cargo xtask test --all`).
pub fn all() -> bool {
    std::env::var_os("TAGLINE_TEST_ALL").is_some()
}

/// Says something past the test harness, which shows the output of failed tests only: what a run of it has measured.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Whether nothing may be skipped.
fn ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true" || value == "1")
}

/// Notes that the running test was skipped for a reason; fails it in CI.
#[track_caller]
pub fn skip(what: &str, reason: &str) {
    assert!(!ci() || what == "conformance", "{what} must be there in CI: {reason}");
    note(what, reason);
}

fn note(what: &str, reason: &str) {
    let test = std::thread::current().name().unwrap_or("?").to_owned();
    let Some(file) = std::env::var_os("TAGLINE_TEST_SKIPS") else {
        // Seen with `cargo test -- --nocapture`.
        let _ = writeln!(std::io::stderr(), "skipped {test}: {what}: {reason}");
        return;
    };
    let line = json!({ "suite": suite(), "test": test, "reason": format!("needs {what}: {reason}") });
    let file = std::fs::File::options().append(true).create(true).open(file);
    // One write, so that lines of tests that run at once do not mix.
    let written = file.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()));
    written.expect("the list of skips can be written");
}

/// The name `cargo xtask test` knows this test program by.
fn suite() -> String {
    let program = std::env::current_exe().unwrap_or_default();
    let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    name.rsplit_once('-').map_or(name.clone(), |(crate_name, _)| crate_name.replace('_', "-"))
}

/// Whether a Docker daemon answers and has the test images.
#[track_caller]
pub fn require_docker() -> bool {
    let images = || {
        let mut docker = Command::new("docker");
        docker.args(["image", "inspect", BUSYBOX, BASH]).stdin(Stdio::null());
        docker.stdout(Stdio::null()).stderr(Stdio::null()).status()
    };
    let there = images().is_ok_and(|status| status.success());
    if !there {
        skip("docker", "no daemon with the test images answers; cargo xtask setup starts one");
    }
    there
}

/// `HOST:PORT` of the registry on loopback.
#[track_caller]
pub fn require_registry() -> Option<String> {
    let address = std::env::var("TAGLINE_TEST_REGISTRY").ok();
    let answers = |address: &String| std::net::TcpStream::connect(address).is_ok();
    let found = address.filter(answers);
    if found.is_none() {
        skip("registry", "none runs (TAGLINE_TEST_REGISTRY); cargo xtask test starts one");
    }
    found
}

/// Whether the test runs as root: it then can run commands as another user, too.
#[track_caller]
pub fn require_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        skip("root", "only root can run a command as another user");
    }
    root
}

/// The conformance cases beside the repository.
pub fn conformance() -> Option<PathBuf> {
    let folder = crate::workspace().join("../shared/conformance");
    if folder.is_dir() {
        return Some(folder);
    }
    skip("conformance", "../shared/conformance is not there");
    None
}
