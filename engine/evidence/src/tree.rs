//! A tree of files to look into: a folder, or the layers of an image.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Longest file read whole, in bytes: the largest lock files and package databases are far smaller.
pub const FILE_MAX: u64 = 64 << 20;

/// Folders never looked into: what Git keeps for itself, and what builds leave behind.
const SKIPPED: &[&str] = &[".git", "target", "__pycache__", ".venv"];

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
    /// The paths of all regular files that may be read, in order.
    fn files(&self) -> Result<BTreeSet<String>, TreeError>;

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

    fn list(&self, folder: &str, files: &mut BTreeSet<String>) -> Result<(), TreeError> {
        let path = self.root.join(folder);
        let failed = |source| TreeError { action: "list", path: path.clone(), source };
        for entry in std::fs::read_dir(&path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let kind = entry.file_type().map_err(failed)?;
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
            } else if kind.is_dir() && !SKIPPED.contains(&name.as_str()) {
                self.list(&child, files)?;
            }
        }
        Ok(())
    }
}

impl FileTree for FolderTree {
    fn files(&self) -> Result<BTreeSet<String>, TreeError> {
        let mut files = BTreeSet::new();
        self.list("", &mut files)?;
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
