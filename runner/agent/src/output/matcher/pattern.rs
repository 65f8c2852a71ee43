//! One matcher: its patterns, and how far along them the last lines have come.

use regex_automata::nfa::thompson::pikevm::{Cache, PikeVM};

/// What a pattern may find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// `file`
    File,
    /// `line`
    Line,
    /// `column`
    Column,
    /// `severity`
    Severity,
    /// `code`
    Code,
    /// `message`
    Message,
    /// `fromPath`: the file whose folder `file` is named from.
    FromPath,
}

impl Field {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::File, Self::Line, Self::Column, Self::Severity, Self::Code, Self::Message, Self::FromPath];
}

/// What was found, by field. A group that took no part in the match is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Match([Option<String>; 7]);

impl Match {
    /// What was found of a field.
    pub fn get(&self, field: Field) -> Option<&str> {
        self.0[field as usize].as_deref()
    }

    fn fill(&mut self, field: Field, default: Option<&String>) {
        let value = &mut self.0[field as usize];
        if value.as_ref().is_none_or(String::is_empty) {
            *value = default.cloned().or(value.take());
        }
    }
}

/// One pattern with the group of each field.
#[derive(Debug)]
pub(super) struct Pattern {
    pub(super) regex: PikeVM,
    pub(super) cache: Cache,
    pub(super) groups: [Option<usize>; 7],
    /// `loop`: it may match line after line.
    pub(super) repeats: bool,
}

impl Pattern {
    /// What the pattern finds in a line, besides what the patterns before it found.
    fn look(&mut self, line: &str, before: Option<&Match>) -> Option<Match> {
        let mut captures = self.regex.create_captures();
        self.regex.captures(&mut self.cache, line, &mut captures);
        captures.is_match().then(|| {
            let mut found = before.cloned().unwrap_or_default();
            for field in Field::ALL {
                if let (None, Some(group)) = (found.get(field), self.groups[field as usize]) {
                    let text = captures.get_group(group).map_or("", |span| &line[span.start..span.end]);
                    found.0[field as usize] = Some(text.to_owned());
                }
            }
            found
        })
    }
}

/// A matcher.
#[derive(Debug)]
pub struct Matcher {
    /// Its name.
    pub owner: String,
    pub(super) severity: Option<String>,
    pub(super) from_path: Option<String>,
    pub(super) patterns: Vec<Pattern>,
    /// What each pattern but the last found in the line before.
    pub(super) running: Vec<Option<Match>>,
}

impl Matcher {
    /// Forgets lines that were begun.
    pub fn reset(&mut self) {
        self.running.fill(None);
    }

    /// Looks at the next line; a match where the last pattern is reached.
    pub fn look(&mut self, line: &str) -> Option<Match> {
        let last = self.patterns.len() - 1;
        // Backwards, so that a pattern sees what the one before it found in the line before.
        for index in (0..=last).rev() {
            let before = index.checked_sub(1).and_then(|before| self.running[before].clone());
            if index > 0 && before.is_none() {
                continue;
            }
            let found = self.patterns[index].look(line, before.as_ref());
            if index < last {
                self.running[index] = found;
            } else if let Some(mut found) = found {
                self.reset();
                if self.patterns[last].repeats {
                    self.running[last - 1] = before;
                }
                found.fill(Field::Severity, self.severity.as_ref());
                found.fill(Field::FromPath, self.from_path.as_ref());
                return Some(found);
            } else if last > 0 {
                self.running[last - 1] = None;
            }
        }
        None
    }
}
