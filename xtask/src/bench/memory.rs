//! Peak memory: of a short command by the kernel's accounting of children, of a long one by looking at it while it runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::resource::{UsageWho, getrusage};

use crate::shell;

/// Peak resident memory in KiB of one command that ends by itself.
///
/// The kernel counts the largest of all children a process waited for, so a fresh process of this program runs it.
pub(super) fn peak(command: &Command) -> Result<u64> {
    let mut parent = Command::new(std::env::current_exe()?);
    parent.arg("max-rss-of").arg(command.get_program()).args(command.get_args());
    Ok(shell::output(&mut parent)?.trim().parse()?)
}

/// Runs the command as the only child and prints its peak in KiB.
pub(crate) fn measured_child(words: &[&str]) -> Result<bool> {
    let (program, args) = words.split_first().context("no command")?;
    let status = Command::new(program).args(args).stdout(Stdio::null()).status()?;
    ensure!(status.success(), "{program} ended with {status}");
    println!("{}", getrusage(UsageWho::RUSAGE_CHILDREN)?.max_rss());
    Ok(true)
}

/// Runs the command and watches every process of its program and of programs below `store`; the largest peak of each
/// program in KiB. An agent is nobody's child and has another name in its sandbox, so it is found by its file.
pub(super) fn watch(command: &mut Command, store: &Path) -> Result<BTreeMap<String, u64>> {
    let program = Path::new(command.get_program()).canonicalize()?;
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let mut peaks = BTreeMap::new();
    let status = loop {
        for (folder, file) in processes().filter(|(_, file)| *file == program || file.starts_with(store)) {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if let Some(peak) = high_water(&folder) {
                let known = peaks.entry(name).or_insert(0);
                *known = peak.max(*known);
            }
        }
        if let Some(status) = child.try_wait()? {
            break status;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    ensure!(status.success(), "`{}` ended with {status}", shell::words(command));
    Ok(peaks)
}

/// The folders of processes in `/proc`, with the files they run.
fn processes() -> impl Iterator<Item = (PathBuf, PathBuf)> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| Some((entry.path(), std::fs::read_link(entry.path().join("exe")).ok()?)))
}

/// `VmHWM`: the most memory the process ever had, in KiB.
fn high_water(folder: &Path) -> Option<u64> {
    let status = std::fs::read_to_string(folder.join("status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}
