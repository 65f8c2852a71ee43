//! The globs of GitHub's toolkit, as `hashFiles` and the artifact actions use them: one pattern a line,
//! `#` comments, `!` excludes what earlier lines found, a folder means all beneath it, hidden files count.
//! The order of what is found is defined: depth first, names by bytes.

mod pattern;
mod segment;
mod walk;

pub(crate) use segment::Segment;
pub use walk::Options;

use pattern::Pattern;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why a glob cannot be used or followed.
#[derive(Debug, Error)]
pub enum GlobError {
    /// `.` or `..` inside a pattern.
    #[error("invalid pattern `{0}`: `.` and `..` are not allowed in it")]
    RelativePath(String),
    /// A pattern starts with `~` and there is no home folder.
    #[error("invalid pattern `{0}`: there is no home folder for `~`")]
    NoHome(String),
    /// A file or folder could not be looked at.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// Which one.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

/// A set of patterns, ready to search with.
#[derive(Debug)]
pub struct Globber {
    /// As written, each followed by the one for its descendants.
    patterns: Vec<Pattern>,
    search_paths: Vec<PathBuf>,
}

impl Globber {
    /// Reads patterns, one a line. Relative ones start at `folder`, `~` at `home`; both are absolute.
    pub fn new(text: &str, folder: &Path, home: Option<&Path>) -> Result<Self, GlobError> {
        let mut patterns = Vec::new();
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let pattern = Pattern::parse(line, folder, home)?;
            let descendants = pattern.descendants();
            patterns.push(pattern);
            patterns.extend(descendants);
        }
        let search_paths = search_paths(&patterns);
        Ok(Self { patterns, search_paths })
    }

    /// The longest literal path of each pattern that includes, without those beneath another one.
    pub fn search_paths(&self) -> &[PathBuf] {
        &self.search_paths
    }

    /// Everything found that is not a folder, and with [`Options::folders`] the folders too.
    pub fn find(&self, options: Options) -> Result<Vec<PathBuf>, GlobError> {
        walk::walk(self, options)
    }

    /// The verdict on a path: whether it is found as a file, and as a folder.
    fn matches(&self, path: &[String]) -> Found {
        let mut found = Found::default();
        for pattern in &self.patterns {
            if pattern.matches(path) {
                found.folder = !pattern.negated;
                if !pattern.folders_only {
                    found.file = !pattern.negated;
                }
            }
        }
        found
    }

    /// Whether something beneath the path could be found.
    fn leads_on(&self, path: &[String]) -> bool {
        self.patterns.iter().any(|pattern| !pattern.negated && pattern.leads_on(path))
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Found {
    file: bool,
    folder: bool,
}

fn search_paths(patterns: &[Pattern]) -> Vec<PathBuf> {
    let candidates: Vec<&Path> =
        patterns.iter().filter(|pattern| !pattern.negated).map(|pattern| pattern.search_path.as_path()).collect();
    let mut included: Vec<PathBuf> = Vec::new();
    for path in &candidates {
        let covered = path.ancestors().skip(1).any(|above| candidates.contains(&above));
        if !covered && !included.iter().any(|one| one == path) {
            included.push(path.to_path_buf());
        }
    }
    included
}
