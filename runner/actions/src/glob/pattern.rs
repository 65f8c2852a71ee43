//! One pattern, made absolute and cut into segments.

use super::{GlobError, Segment};
use std::path::{Path, PathBuf};

/// A pattern and how it takes part.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    /// Starts with `!`: takes away what it matches.
    pub(super) negated: bool,
    /// Ends with `/`: matches folders only.
    pub(super) folders_only: bool,
    /// The literal path before the first wildcard.
    pub(super) search_path: PathBuf,
    segments: Vec<Segment>,
    /// Made by `descendants`, so that its last `**` needs at least one component.
    implicit: bool,
}

impl Pattern {
    pub(super) fn parse(line: &str, folder: &Path, home: Option<&Path>) -> Result<Self, GlobError> {
        let mut negated = false;
        let mut text = line;
        while let Some(rest) = text.strip_prefix('!') {
            negated = !negated;
            text = rest.trim();
        }
        let mut parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty()).collect();
        let mut segments = match parts.first() {
            _ if text.starts_with('/') => Vec::new(),
            Some(&"~") => {
                parts.remove(0);
                literals(home.ok_or_else(|| GlobError::NoHome(line.to_owned()))?)
            }
            Some(&".") => {
                parts.remove(0);
                literals(folder)
            }
            _ => literals(folder),
        };
        for part in parts {
            let segment = Segment::parse(part);
            if matches!(&segment, Segment::Literal(text) if text == "." || text == "..") {
                return Err(GlobError::RelativePath(line.to_owned()));
            }
            segments.push(segment);
        }
        Ok(Self {
            negated,
            folders_only: text.ends_with('/'),
            search_path: search_path(&segments),
            segments,
            implicit: false,
        })
    }

    /// The pattern for all beneath what this one matches; `None` when it ends in `**` already.
    pub(super) fn descendants(&self) -> Option<Self> {
        if !self.folders_only && self.segments.last() == Some(&Segment::Globstar) {
            return None;
        }
        let mut below = self.clone();
        below.segments.push(Segment::Globstar);
        below.folders_only = false;
        below.implicit = true;
        Some(below)
    }

    /// Whether it matches this path, given by its components from the root.
    pub(super) fn matches(&self, path: &[String]) -> bool {
        self.states(path).contains(&self.segments.len())
    }

    /// Whether it could match something beneath this path.
    pub(super) fn leads_on(&self, path: &[String]) -> bool {
        !self.states(path).is_empty()
    }

    /// The positions among the segments that remain possible once `path` is read.
    fn states(&self, path: &[String]) -> Vec<usize> {
        let mut states = Vec::new();
        self.enter(0, &mut states);
        for component in path {
            let mut next = Vec::new();
            for state in states {
                match self.segments.get(state) {
                    Some(Segment::Globstar) => {
                        push(state, &mut next);
                        self.enter(state + 1, &mut next);
                    }
                    Some(segment) if segment.matches(component) => {
                        self.enter(state + 1, &mut next);
                    }
                    _ => {}
                }
            }
            states = next;
        }
        states
    }

    /// Adds a position and those reached by letting `**` stand for nothing.
    fn enter(&self, state: usize, states: &mut Vec<usize>) {
        push(state, states);
        let last = state + 1 == self.segments.len();
        if self.segments.get(state) == Some(&Segment::Globstar) && !(self.implicit && last) {
            self.enter(state + 1, states);
        }
    }
}

fn push(state: usize, states: &mut Vec<usize>) {
    if !states.contains(&state) {
        states.push(state);
    }
}

fn literals(path: &Path) -> Vec<Segment> {
    components(path).map(Segment::Literal).collect()
}

/// The components of an absolute path as text, without the root.
pub(super) fn components(path: &Path) -> impl Iterator<Item = String> {
    path.components().filter_map(|part| match part {
        std::path::Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
        _ => None,
    })
}

fn search_path(segments: &[Segment]) -> PathBuf {
    let mut path = PathBuf::from("/");
    for segment in segments {
        match segment {
            Segment::Literal(text) => path.push(text),
            _ => break,
        }
    }
    path
}
