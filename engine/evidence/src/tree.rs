//! A tree of files to look into: a folder, or the layers of an image.

use crate::catalog::Problem;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Longest file read whole, in bytes: the largest lock files and package databases are far smaller.
pub const FILE_MAX: u64 = 64 << 20;

/// Folders never looked into: what Git keeps for itself, and what builds leave behind.
const SKIPPED: &[&str] = &[".git", "target", "__pycache__", ".venv"];

/// Folders of a running machine's root that are no files on a disk.
const KERNEL: &[&str] = &["proc", "sys", "dev", "run"];

/// Why a tree cannot be read.
#[derive(Debug, Error)]
#[error("cannot {action} {}: {source}", path.display())]
pub struct TreeError {
    /// What was tried, as a verb.
    pub action: &'static str,
    /// On which path.
    pub path: PathBuf,
    /// The system's answer.
    pub source: io::Error,
}

/// Files beneath one root. Paths are relative, with `/`, and no link is followed.
pub trait FileTree {
    /// The paths of all regular files that may be read, in order. Folders within that cannot be listed are added to
    /// `problems`; an error is only the root itself.
    fn files(&self, problems: &mut Vec<Problem>) -> Result<BTreeSet<String>, TreeError>;

    /// The bytes of one of them, at most [`FILE_MAX`].
    fn read(&self, path: &str) -> Result<Vec<u8>, TreeError>;
}

/// A folder on disk. What builds leave behind and Git's own folder are not part of it, and of
/// `node_modules` only npm's own record.
#[derive(Debug, Clone)]
pub struct FolderTree {
    root: PathBuf,
}

impl FolderTree {
    /// The tree beneath `root`, a folder.
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Whether a folder is not looked into.
    fn is_skipped(&self, child: &str, name: &str) -> bool {
        let of_the_machine = || self.root.canonicalize().is_ok_and(|root| root == Path::new("/"));
        SKIPPED.contains(&name) || (KERNEL.contains(&child) && of_the_machine())
    }

    fn list(&self, folder: &str, files: &mut BTreeSet<String>, problems: &mut Vec<Problem>) -> io::Result<()> {
        for entry in std::fs::read_dir(self.root.join(folder))? {
            let entry = entry?;
            let kind = entry.file_type()?;
            // A name that is not UTF-8 is no manifest's name, nor that of a folder on the way to one.
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let child = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
            if kind.is_file() {
                files.insert(child);
            } else if kind.is_dir() && name == "node_modules" {
                let record = format!("{child}/.package-lock.json");
                if self.root.join(&record).is_file() {
                    files.insert(record);
                }
            } else if kind.is_dir()
                && !self.is_skipped(&child, &name)
                && let Err(error) = self.list(&child, files, problems)
            {
                problems.push(Problem { path: child, why: format!("cannot list it: {error}") });
            }
        }
        Ok(())
    }
}

impl FileTree for FolderTree {
    fn files(&self, problems: &mut Vec<Problem>) -> Result<BTreeSet<String>, TreeError> {
        let mut files = BTreeSet::new();
        let failed = |source| TreeError { action: "list", path: self.root.clone(), source };
        self.list("", &mut files, problems).map_err(failed)?;
        Ok(files)
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, TreeError> {
        let full = self.root.join(path);
        let read = || {
            let mut bytes = Vec::new();
            File::open(&full)?.take(FILE_MAX + 1).read_to_end(&mut bytes)?;
            if bytes.len() as u64 > FILE_MAX {
                return Err(io::Error::other("it is longer than 64 MiB"));
            }
            Ok(bytes)
        };
        read().map_err(|source| TreeError { action: "read", path: full.clone(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_shows_of_itself_is_not_part_of_a_machine() {
        let (machine, folder) = (FolderTree::new(Path::new("/usr/..")), FolderTree::new(Path::new("/usr")));
        for name in KERNEL {
            assert!(machine.is_skipped(name, name));
            assert!(!folder.is_skipped(name, name));
            assert!(!machine.is_skipped(&format!("var/{name}"), name));
        }
    }
}
