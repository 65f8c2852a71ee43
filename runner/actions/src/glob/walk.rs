//! The search itself: depth first from each search path, names by bytes, into folders that can lead on.

use super::pattern::components;
use super::{GlobError, Globber};
use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};

/// How to search.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Whether links are followed: into folders, and to the file they mean. Links that lead nowhere or
    /// round in a circle are then left out.
    pub follow_links: bool,
    /// Whether names that begin with a dot, and all beneath them, are left out.
    pub skip_hidden: bool,
    /// Whether folders are found as well.
    pub folders: bool,
}

pub(super) fn walk(globber: &Globber, options: Options) -> Result<Vec<PathBuf>, GlobError> {
    let mut found = Vec::new();
    for start in globber.search_paths() {
        if exists(start)? {
            let mut search = Search { globber, options, found: &mut found, chain: Vec::new() };
            search.run(start)?;
        }
    }
    Ok(found)
}

struct Search<'a> {
    globber: &'a Globber,
    options: Options,
    found: &'a mut Vec<PathBuf>,
    /// Real paths of the folders above the current one, to notice links that lead round in a circle.
    chain: Vec<PathBuf>,
}

impl Search<'_> {
    fn run(&mut self, start: &Path) -> Result<(), GlobError> {
        let mut stack = vec![(start.to_path_buf(), 1)];
        while let Some((path, level)) = stack.pop() {
            let parts: Vec<String> = components(&path).collect();
            let verdict = self.globber.matches(&parts);
            let leads_on = self.globber.leads_on(&parts);
            if !(verdict.file || verdict.folder || leads_on) || self.hidden(&path) {
                continue;
            }
            let Some(metadata) = self.look(&path, level)? else {
                continue;
            };
            if !metadata.is_dir() {
                if verdict.file {
                    self.found.push(path);
                }
                continue;
            }
            if verdict.folder && self.options.folders {
                self.found.push(path.clone());
            }
            if leads_on {
                let names = names(&path)?;
                stack.extend(names.into_iter().rev().map(|name| (path.join(name), level + 1)));
            }
        }
        Ok(())
    }

    fn hidden(&self, path: &Path) -> bool {
        self.options.skip_hidden && path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
    }

    /// What the path is; `None` for a link that leads nowhere or into a folder it lies in.
    fn look(&mut self, path: &Path, level: usize) -> Result<Option<Metadata>, GlobError> {
        if !self.options.follow_links {
            return fs::symlink_metadata(path).map(Some).map_err(failed(path));
        }
        let metadata = match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(failed(path))?,
        };
        if metadata.is_dir() {
            let real = fs::canonicalize(path).map_err(failed(path))?;
            self.chain.truncate(level - 1);
            if self.chain.contains(&real) {
                return Ok(None);
            }
            self.chain.push(real);
        }
        Ok(Some(metadata))
    }
}

fn exists(path: &Path) -> Result<bool, GlobError> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(failed(path)(error)),
    }
}

fn names(folder: &Path) -> Result<Vec<std::ffi::OsString>, GlobError> {
    let mut names = fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.file_name())).collect::<io::Result<Vec<_>>>())
        .map_err(failed(folder))?;
    names.sort();
    Ok(names)
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> GlobError {
    let path = path.to_owned();
    move |source| GlobError::Io { path, source }
}
