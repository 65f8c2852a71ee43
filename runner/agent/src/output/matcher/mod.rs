//! Problem matchers: patterns that find errors and warnings of compilers in a step's output (`::add-matcher::FILE`).
//!
//! Semantics of GitHub's runner: the newest matcher is asked first; the first match counts and breaks off what the
//! others had begun; one that is added again replaces the older, names compared ignoring case. A matcher is known from
//! the step that adds it to the end of the job; lines already begun do not go over from a step to the next.
//!
//! Invariant: matching takes time linear in the line, so no output can hold a job up. Patterns that need more than a
//! linear engine has (look-around, references back) are refused when they are added.

mod config;
mod dialect;
mod pattern;

use std::path::{Component, Path, PathBuf};

use indexmap::IndexMap;
use tagline_protocol::AnnotationLevel;

pub use config::{MatcherError, parse};
pub use pattern::{Field, Match, Matcher};

/// The matchers of a job.
#[derive(Debug)]
pub struct Matchers {
    workspace: PathBuf,
    /// The newest first.
    known: Vec<Matcher>,
}

/// What a matcher found, as an annotation.
#[derive(Debug, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub level: AnnotationLevel,
    /// What it says.
    pub message: String,
    /// `file` (below the workspace), `line`, `col` and `code`, as far as they were found.
    pub properties: IndexMap<String, String>,
}

impl Matchers {
    /// None yet; files are named below the workspace.
    pub fn new(workspace: impl Into<PathBuf>) -> Self {
        Self { workspace: workspace.into(), known: Vec::new() }
    }

    /// The folder that paths of files begin at.
    pub fn workspace(&self) -> &Path {
        &self.workspace
    }

    /// Adds matchers, each in place of one of the same name.
    pub fn add(&mut self, matchers: Vec<Matcher>) {
        for matcher in matchers {
            self.remove(&matcher.owner);
            self.known.insert(0, matcher);
        }
    }

    /// Forgets the matcher of that name.
    pub fn remove(&mut self, owner: &str) {
        self.known.retain(|matcher| !matcher.owner.eq_ignore_ascii_case(owner));
    }

    /// Whether there is nothing to ask.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Forgets lines that were begun: a new step speaks.
    pub fn begin_step(&mut self) {
        self.known.iter_mut().for_each(Matcher::reset);
    }

    /// What a line of output is, if a matcher knows it.
    pub fn look(&mut self, line: &str) -> Option<Problem> {
        let line = without_colours(line);
        for index in 0..self.known.len() {
            let Some(found) = self.known[index].look(&line) else { continue };
            let others = self.known.iter_mut().enumerate().filter(|(other, _)| *other != index);
            others.for_each(|(_, matcher)| matcher.reset());
            if let Some(problem) = self.problem(&found) {
                return Some(problem);
            }
        }
        None
    }

    /// A match as an annotation; nothing where it has no message or a level that GitHub does not know.
    fn problem(&self, found: &Match) -> Option<Problem> {
        let text = |field| found.get(field).map(str::trim).filter(|text| !text.is_empty());
        let level = match text(Field::Severity).unwrap_or("error").to_ascii_lowercase().as_str() {
            "error" => AnnotationLevel::Error,
            "warning" => AnnotationLevel::Warning,
            "notice" => AnnotationLevel::Notice,
            _ => return None,
        };
        let number = |field| text(field).filter(|text| text.parse::<u32>().is_ok()).map(str::to_owned);
        let properties = [
            ("file", text(Field::File).and_then(|file| self.below_workspace(file, text(Field::FromPath)))),
            ("line", number(Field::Line)),
            ("col", number(Field::Column)),
            ("code", text(Field::Code).map(str::to_owned)),
        ];
        let properties = properties.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
        text(Field::Message).map(|message| Problem { level, message: message.to_owned(), properties })
    }

    /// A file as it is named from the workspace; nothing for one that is elsewhere or not there.
    fn below_workspace(&self, file: &str, from: Option<&str>) -> Option<String> {
        let folder = from.and_then(|from| Path::new(from).parent()).unwrap_or(Path::new(""));
        let path = flat(&self.workspace.join(folder).join(file))?;
        let below = path.strip_prefix(&self.workspace).ok()?.to_str()?.to_owned();
        path.symlink_metadata().is_ok_and(|found| !found.is_dir()).then_some(below)
    }
}

/// A path without `.` and `..`, by its text alone.
fn flat(path: &Path) -> Option<PathBuf> {
    let mut flat = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir if !flat.pop() => return None,
            Component::CurDir | Component::ParentDir => {}
            part => flat.push(part),
        }
    }
    Some(flat)
}

/// A line without the sequences that colour it.
fn without_colours(line: &str) -> String {
    let mut parts = line.split("\u{1b}[");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|sign: char| sign.is_ascii_digit() || sign == ';');
        plain.push_str(rest.strip_prefix('m').unwrap_or(rest));
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    const TSC: &str = r#"{"problemMatcher": [{"owner": "tsc", "pattern": [{
        "regexp": "^([^\\s].*)\\((\\d+),(\\d+)\\):\\s+(error|warning|info)\\s+(TS\\d+)\\s*:\\s*(.*)$",
        "file": 1, "line": 2, "column": 3, "severity": 4, "code": 5, "message": 6}]}]}"#;

    #[test]
    fn a_compilers_line_becomes_an_annotation_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("src")).unwrap();
        std::fs::write(folder.path().join("src/a.ts"), "").unwrap();
        let mut matchers = Matchers::new(folder.path());
        matchers.add(parse(TSC).unwrap());
        let found =
            matchers.look("\u{1b}[31msrc/../src/a.ts(12,5): error TS2304: Cannot find name 'x'.\u{1b}[0m").unwrap();
        assert_eq!((found.level, found.message.as_str()), (AnnotationLevel::Error, "Cannot find name 'x'."));
        let expected = [("file", "src/a.ts"), ("line", "12"), ("col", "5"), ("code", "TS2304")];
        assert_eq!(found.properties.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect::<Vec<_>>(), expected);
        for elsewhere in ["../etc/passwd", "/etc/passwd", "src/missing.ts", "src"] {
            let found = matchers.look(&format!("{elsewhere}(1,1): warning TS1: x")).unwrap();
            assert_eq!(found.level, AnnotationLevel::Warning);
            assert!(!found.properties.contains_key("file"), "{elsewhere}");
        }
        assert_eq!(matchers.look("src/a.ts(1,1): info TS1: x"), None, "GitHub knows no such level");
    }

    #[test]
    fn a_step_does_not_go_on_with_what_another_began() {
        let two = r#"{"problemMatcher": [{"owner": "two", "pattern": [
            {"regexp": "^file (.+)$", "file": 1}, {"regexp": "^error (.+)$", "message": 1}]}]}"#;
        let mut matchers = Matchers::new("/");
        matchers.add(parse(two).unwrap());
        assert_eq!(matchers.look("file a"), None);
        assert!(matchers.look("error b").is_some());
        assert_eq!(matchers.look("file a"), None);
        matchers.begin_step();
        assert_eq!(matchers.look("error b"), None);
        matchers.remove("TWO");
        assert!(matchers.is_empty());
    }
}
