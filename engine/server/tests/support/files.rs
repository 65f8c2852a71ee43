//! Folders: copied, listed, looked through.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Copies a folder, but for entries of these names.
pub(crate) fn copy(from: &Path, to: &Path, without: &[&str]) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        if without.iter().any(|without| name == *without) {
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to.join(name), without);
        } else {
            fs::copy(entry.path(), to.join(name)).unwrap();
        }
    }
}

/// Every file below a folder, by its path within, sorted; none where there is no such folder.
pub(crate) fn list(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).into_iter().flatten() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                found.push(entry.path().strip_prefix(folder).unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

/// Every folder below a folder that has nothing in it.
pub(crate) fn empty_folders(folder: &Path) -> Vec<PathBuf> {
    let mut empty = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        let entries: Vec<_> = fs::read_dir(&next).into_iter().flatten().map(Result::unwrap).collect();
        if entries.is_empty() {
            empty.push(next);
        }
        folders.extend(entries.iter().filter(|e| e.file_type().unwrap().is_dir()).map(fs::DirEntry::path));
    }
    empty
}

/// Writes a script that everybody may run.
pub(crate) fn program(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}
