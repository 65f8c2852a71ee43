//! One cgroup holds every process of the cluster, its containers among them: what is in it is ours, and nothing else is.
//!
//! Cgroups v1 (each hierarchy has the folder; `pids` is the one that is read) and v2.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::shell;

/// The name of the cgroup, a child of the root.
pub(super) const NAME: &str = "tagline-cluster";
const ROOT: &str = "/sys/fs/cgroup";
const END: Duration = Duration::from_secs(20);

/// Whether the machine has only the unified hierarchy.
fn unified() -> bool {
    Path::new(ROOT).join("cgroup.controllers").exists()
}

/// The folders of our cgroup, there or not.
fn folders() -> Result<Vec<PathBuf>> {
    if unified() {
        return Ok(vec![Path::new(ROOT).join(NAME)]);
    }
    let entries = fs::read_dir(ROOT).context("cannot read the cgroups")?;
    // Names such as `cpu,cpuacct` have symbolic links beside them.
    let real = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    Ok(real
        .map(|entry| entry.path())
        .filter(|folder| folder.join("cgroup.procs").exists())
        .map(|f| f.join(NAME))
        .collect())
}

/// The folder whose members are asked for.
fn tracked() -> PathBuf {
    if unified() { Path::new(ROOT).join(NAME) } else { Path::new(ROOT).join("pids").join(NAME) }
}

/// Makes the cgroup; the file a process of ours writes its id to.
pub(super) fn make() -> Result<PathBuf> {
    for folder in folders()? {
        fs::create_dir_all(&folder).with_context(|| format!("cannot make the cgroup {}", folder.display()))?;
    }
    // Version 2 allows no processes beside child groups.
    let components = tracked().join("components");
    fs::create_dir_all(&components)?;
    Ok(components.join("cgroup.procs"))
}

/// Every cgroup beneath, children before their parents.
fn tree(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            tree(&entry.path(), found);
        }
    }
    if folder.exists() {
        found.push(folder.to_path_buf());
    }
}

/// The ids of all processes in the cgroup.
pub(super) fn processes() -> Vec<u32> {
    let mut groups = Vec::new();
    tree(&tracked(), &mut groups);
    let read = |group: &PathBuf| fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    groups.iter().map(read).flat_map(|text| text.lines().filter_map(|id| id.parse().ok()).collect::<Vec<_>>()).collect()
}

/// The cgroups that are there.
pub(super) fn left() -> Vec<PathBuf> {
    let mut groups = Vec::new();
    for folder in folders().unwrap_or_default() {
        tree(&folder, &mut groups);
    }
    groups
}

/// Kills every process in the cgroup and removes it.
pub(super) fn remove() -> Result<()> {
    let empty = shell::wait(END, || {
        let ids = processes();
        if !ids.is_empty() {
            // One that has just ended makes `kill` complain; the next look tells.
            let _ = shell::output(Command::new("kill").arg("-KILL").args(ids.iter().map(u32::to_string)));
        }
        ids.is_empty()
    });
    ensure!(empty, "processes {:?} of the cgroup {NAME} do not end", processes());
    let gone = shell::wait(END, || {
        for group in left() {
            // Busy for a moment after its last process.
            let _ = fs::remove_dir(&group);
        }
        left().is_empty()
    });
    ensure!(gone, "cannot remove the cgroups {:?}", left());
    Ok(())
}
