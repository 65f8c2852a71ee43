//! What is run: workflows in a scratch repository, and the plain loop that is the floor of a host.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::Bench;
use super::act::{self, Mode};
use crate::shell;

/// Each benchmark's repository, home and store; removed with this value.
pub(super) struct Workload {
    folder: PathBuf,
    /// The workflow's path in the repository.
    file: String,
}

/// One job with this many `echo` steps.
pub(super) fn steps(count: usize) -> String {
    let mut text = "on: push\njobs:\n  only:\n    runs-on: ubuntu-latest\nCONTAINER    steps:\n".to_owned();
    for number in 1..=count {
        let _ = writeln!(text, "      - run: echo {number}");
    }
    text
}

/// This many jobs of one `echo` step, each needing the one before.
pub(super) fn chain(count: usize) -> String {
    let mut text = "on: push\njobs:\n".to_owned();
    for number in 1..=count {
        let needs = if number > 1 { format!("    needs: job{}\n", number - 1) } else { String::new() };
        let head = format!("  job{number}:\n    runs-on: ubuntu-latest\n{needs}CONTAINER");
        let _ = writeln!(text, "{head}    steps:\n      - run: echo {number}");
    }
    text
}

/// One step that prints this many numbered lines.
pub(super) fn lines(count: usize) -> String {
    format!(
        "on: push\njobs:\n  only:\n    runs-on: ubuntu-latest\n    steps:\n      - run: seq -f 'line %.0f of the log' {count}\n"
    )
}

impl Workload {
    /// A committed repository with the workflow, its jobs in the local image where they go to Docker.
    pub(super) fn new(name: &str, workflow: &str, mode: Mode) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("tagline-bench-{}-{name}", std::process::id()));
        let container = match mode {
            Mode::Docker => "    container: tagline-test/bash:latest\n",
            Mode::Host => "",
        };
        let workload = Self { folder, file: ".github/workflows/bench.yml".to_owned() };
        fs::create_dir_all(workload.home())?;
        fs::create_dir_all(workload.tree().join(".github/workflows"))?;
        fs::write(workload.tree().join(&workload.file), workflow.replace("CONTAINER", container))?;
        workload.git(&["init", "--quiet", "--initial-branch=main"])?;
        workload.git(&["config", "user.name", "jonas"])?;
        workload.git(&["config", "user.email", "jonas@example.com"])?;
        workload.git(&["add", "--all"])?;
        workload.git(&["commit", "--quiet", "--message", "Bench"])?;
        Ok(workload)
    }

    pub(super) fn tree(&self) -> PathBuf {
        self.folder.join("tree")
    }

    pub(super) fn home(&self) -> PathBuf {
        self.folder.join("home")
    }

    /// Writes the runner's configuration of this workload's user.
    pub(super) fn configure(&self, text: &str) -> Result<()> {
        let folder = self.home().join("config/tagline");
        fs::create_dir_all(&folder)?;
        Ok(fs::write(folder.join("runner.toml"), text)?)
    }

    /// Runs git in the repository.
    pub(super) fn git(&self, args: &[&str]) -> Result<String> {
        let mut git = Command::new("git");
        git.args(args).current_dir(self.tree()).env("HOME", self.home());
        shell::output(git.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null"))
    }

    /// A `tagline` command with home and store in this workload.
    pub(super) fn tagline(&self, bench: &Bench, args: &[&str]) -> Command {
        let mut command = Command::new(&bench.tagline);
        command.args(args).current_dir(self.tree()).env("HOME", self.home()).stdin(Stdio::null());
        for variable in ["DATA", "STATE", "CONFIG", "CACHE"] {
            command.env(format!("XDG_{variable}_HOME"), self.home().join(variable.to_lowercase()));
        }
        command
    }

    /// `tagline run` of the workflow, to its end, output discarded.
    pub(super) fn ours(&self, bench: &Bench, mode: Mode) -> Result<()> {
        let runner = match mode {
            Mode::Docker => "docker",
            Mode::Host => "sandbox",
        };
        quiet(&mut self.tagline(bench, &["run", &self.file, "--event", "push", "--runner", runner]))
    }

    /// The same by act.
    pub(super) fn act(&self, program: &Path, mode: Mode) -> Result<()> {
        quiet(&mut act::push(program, &self.home(), &self.tree(), &self.file, mode))
    }
}

impl Drop for Workload {
    fn drop(&mut self) {
        // It is in the system's temporary folder.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Runs a command without its output; it must succeed.
pub(super) fn quiet(command: &mut Command) -> Result<()> {
    let words = shell::words(command);
    let out = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).output();
    let out = out.with_context(|| format!("cannot start {words}"))?;
    let said = String::from_utf8_lossy(&out.stderr);
    let last: Vec<&str> = said.trim().lines().rev().take(3).collect();
    ensure!(out.status.success(), "`{words}` ended with {}: {}", out.status, last.join("; "));
    Ok(())
}

/// The floor: a new `bash -e` a step, its output appended to a log that is synced after it.
pub(super) fn bash_loop(folder: &Path, count: usize) -> Result<()> {
    let mut log = File::options().create(true).append(true).open(folder.join("loop.log"))?;
    for number in 1..=count {
        let script = folder.join("step.sh");
        fs::write(&script, format!("echo {number}\n"))?;
        let out = Command::new("bash").args(["--noprofile", "--norc", "-e"]).arg(&script).output()?;
        ensure!(out.status.success(), "bash failed");
        log.write_all(&out.stdout)?;
        log.sync_data()?;
    }
    Ok(())
}

/// The median of 50 appends of 4 KiB with fdatasync, on the disk of the temporary folder.
pub(super) fn sync_time() -> Result<Duration> {
    let path = std::env::temp_dir().join(format!("tagline-bench-sync-{}", std::process::id()));
    let mut file = File::create(&path)?;
    let mut times = Vec::new();
    for _ in 0..50 {
        let start = Instant::now();
        file.write_all(&[0; 4096])?;
        file.sync_data()?;
        times.push(start.elapsed());
    }
    fs::remove_file(&path)?;
    Ok(super::pair::median(times))
}
