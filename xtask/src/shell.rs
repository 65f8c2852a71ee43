//! Running other programs: what they say on failure is part of the error.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// The words of a command, for messages.
pub(crate) fn words(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for arg in command.get_args() {
        text.push(' ');
        text.push_str(&arg.to_string_lossy());
    }
    text
}

/// Runs a command quietly; its standard output, or an error that holds what it said.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let text = words(command);
    let out = command.stdin(Stdio::null()).output().with_context(|| format!("cannot start `{text}`"))?;
    if !out.status.success() {
        let said = String::from_utf8_lossy(&out.stderr);
        let last: Vec<&str> = said.trim().lines().rev().take(5).collect();
        let last: Vec<&str> = last.into_iter().rev().collect();
        bail!("`{text}` ended with {}: {}", out.status, last.join("; "));
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

/// Runs a command with this terminal; whether it succeeded.
pub(crate) fn shown(command: &mut Command) -> Result<bool> {
    let text = words(command);
    println!("$ {text}");
    let status = command.status().with_context(|| format!("cannot start `{text}`"))?;
    Ok(status.success())
}

/// A `cargo` of this toolchain. What the `cargo` that started this program says of its package is not handed on: build
/// scripts that look at such variables would be run anew, and all that needs them built anew, at each change between
/// `cargo build` and `cargo xtask`.
pub(crate) fn cargo() -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.current_dir(crate::paths::root());
    for (name, _) in std::env::vars_os().filter(|(name, _)| is_of_a_package(&name.to_string_lossy())) {
        command.env_remove(name);
    }
    command
}

fn is_of_a_package(variable: &str) -> bool {
    ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|start| variable.starts_with(start))
}

/// The program's path, looked for in PATH and in the folders of system programs.
pub(crate) fn which(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(Into::into);
    std::env::split_paths(&path).chain(system).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// Whether the effective user is root. Asked of the system, not of the environment.
pub(crate) fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|found| std::os::unix::fs::MetadataExt::uid(&found) == 0)
}

/// Starts a daemon in a session of its own, its output in `log`; its process id.
pub(crate) fn daemon(command: &mut Command, log: &Path) -> Result<u32> {
    let file = std::fs::File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    let mut detached = Command::new("setsid");
    detached.arg(command.get_program()).args(command.get_args());
    detached.envs(command.get_envs().filter_map(|(key, value)| Some((key, value?))));
    let child = detached
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .spawn()
        .with_context(|| format!("cannot start `{}`", words(command)))?;
    Ok(child.id())
}

/// What the kernel says of a process, unless it has ended.
fn stat(pid: u32) -> Option<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let zombie = text.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z'));
    (!zombie).then_some(text)
}

/// Whether the process runs, whatever program it is.
pub(crate) fn alive(pid: u32) -> bool {
    stat(pid).is_some()
}

/// Whether the process runs and is the program named (ids are used again by the kernel).
pub(crate) fn runs(pid: u32, program: &str) -> bool {
    let name: String = program.chars().take(15).collect();
    stat(pid).is_some_and(|text| text.contains(&format!("({name})")))
}

/// Asks `ready` again and again until it says yes or the time is over.
pub(crate) fn wait(limit: Duration, mut ready: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    loop {
        if ready() {
            return true;
        }
        if start.elapsed() > limit {
            return false;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
