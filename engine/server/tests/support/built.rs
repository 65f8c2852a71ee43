//! What every point uses, built once by cargo: the agent, the storefront, its platform; and the stand-in for `cargo`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::files;

/// The version that is released.
pub(crate) const TAG: &str = "v1.2.3";

/// Stands in for `cargo` in jobs: the storefront was built before, with the version of the tag.
const CARGO: &str = r#"#!/bin/sh
set -e
case "$1" in
  test) echo "the tests passed before" ;;
  build) mkdir -p target/release; cp "${0%/*}/storefront" target/release/storefront; echo "built before" ;;
  *) echo "the stand-in for cargo has no $1" >&2; exit 101 ;;
esac
"#;

/// Paths of what was built.
#[derive(Debug, Clone)]
pub(crate) struct Built {
    /// The agent's program.
    pub(crate) agent: PathBuf,
    /// The platform's program.
    pub(crate) platform: PathBuf,
    /// A folder that jobs may read, with `cargo` and the storefront.
    pub(crate) tools: PathBuf,
    /// The example's repository with its tag; only ever copied.
    pub(crate) repository: PathBuf,
    _scratch: std::sync::Arc<tempfile::TempDir>,
}

impl Built {
    /// Builds what is not built yet.
    pub(crate) fn new() -> Self {
        let target = target();
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/storefront");
        let agent = cargo(Path::new(env!("CARGO_MANIFEST_DIR")), &["-p", "tagline-agent"], None);
        let cache = target.join("example");
        let storefront = cargo(&example, &["--release", "--locked"], Some(&cache));
        let platform = cargo(&example.join("platform"), &["--locked"], Some(&cache));
        // Beside the test program: /tmp is each job's own.
        let scratch = tempfile::Builder::new().prefix("crash-").tempdir_in(&target).unwrap();
        let tools = scratch.path().join("bin");
        fs::create_dir(&tools).unwrap();
        // The steps' user must be able to pass.
        for folder in [scratch.path(), &tools] {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
        }
        fs::copy(storefront, tools.join("storefront")).unwrap();
        // Copies: a build beside the test must not change what its points use.
        let (agent, platform) = (keep(&agent, scratch.path()), keep(&platform, scratch.path()));
        files::program(&tools.join("cargo"), CARGO);
        let repository = scratch.path().join("storefront");
        make_repository(&example, &repository);
        Self { agent, platform, tools, repository, _scratch: std::sync::Arc::new(scratch) }
    }
}

/// A copy of a program in a folder.
fn keep(program: &Path, folder: &Path) -> PathBuf {
    let copy = folder.join(program.file_name().unwrap());
    fs::copy(program, &copy).unwrap();
    copy
}

/// Cargo's target folder: this program is `TARGET/debug/deps/crash-…`.
fn target() -> PathBuf {
    std::env::current_exe().unwrap().ancestors().nth(3).unwrap().to_owned()
}

/// Builds and names the program.
fn cargo(folder: &Path, arguments: &[&str], target: Option<&Path>) -> PathBuf {
    let mut command = Command::new(env!("CARGO"));
    command.args(["build", "--quiet", "--message-format=json-render-diagnostics"]).args(arguments).current_dir(folder);
    if let Some(target) = target {
        command.env("CARGO_TARGET_DIR", target).env("APP_VERSION", TAG);
        // The example says itself how it is linked.
        command.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS").env_remove("APP_COMMIT");
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    let found = lines.lines().rev().find_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        message["executable"].as_str().map(PathBuf::from)
    });
    found.expect("cargo names the program")
}

/// The example as a repository with one commit, always the same, and its tag.
fn make_repository(example: &Path, repository: &Path) {
    files::copy(example, repository, &["target"]);
    git(repository, &["init", "-q", "-b", "main"]);
    git(repository, &["config", "user.email", "jonas@example.com"]);
    git(repository, &["config", "user.name", "Jonas"]);
    git(repository, &["add", "."]);
    git(repository, &["commit", "-q", "-m", "Fix tenant cache"]);
    git(repository, &["tag", TAG]);
}

/// Runs git, with a clock that stands still.
pub(crate) fn git(folder: &Path, arguments: &[&str]) {
    let mut command = Command::new("git");
    command.args(arguments).current_dir(folder);
    for time in ["GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"] {
        command.env(time, "2026-03-01T12:00:00Z");
    }
    assert!(command.status().unwrap().success(), "git {arguments:?}");
}
