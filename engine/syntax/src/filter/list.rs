//! Patterns in a row: the last that matches decides.

use super::pattern::{Pattern, PatternError, Subject};

/// The patterns of one filter, in their order.
#[derive(Clone, Debug, PartialEq)]
pub struct PatternList {
    patterns: Vec<Pattern>,
}

impl PatternList {
    /// Reads the patterns of an including filter (`branches`, `tags`, `paths`). A list of `!` patterns
    /// alone is refused: it could include nothing.
    pub fn parse<S: AsRef<str>>(patterns: &[S], subject: Subject) -> Result<Self, Vec<PatternError>> {
        let list = Self::parse_ignore(patterns, subject)?;
        match list.patterns.last() {
            Some(last) if list.patterns.iter().all(Pattern::is_negated) => Err(vec![PatternError {
                pattern: last.text().to_owned(),
                message: "there are only `!` patterns, so nothing could match; put a positive one first, such as `**`"
                    .to_owned(),
                offset: 0,
            }]),
            _ => Ok(list),
        }
    }

    /// Reads the patterns of an `-ignore` filter.
    pub fn parse_ignore<S: AsRef<str>>(patterns: &[S], subject: Subject) -> Result<Self, Vec<PatternError>> {
        let mut list = Self { patterns: Vec::new() };
        let mut errors = Vec::new();
        for pattern in patterns {
            match Pattern::parse(pattern.as_ref(), subject) {
                Ok(pattern) => list.patterns.push(pattern),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(list) } else { Err(errors) }
    }

    /// The patterns in their order.
    pub fn patterns(&self) -> &[Pattern] {
        &self.patterns
    }

    /// The last pattern that matches, which decides; its `!` takes the name out.
    pub fn deciding(&self, name: &str) -> Option<&Pattern> {
        self.patterns.iter().rev().find(|pattern| pattern.matches(name))
    }

    /// Whether an including filter lets the name in.
    pub fn included(&self, name: &str) -> bool {
        self.deciding(name).is_some_and(|pattern| !pattern.is_negated())
    }

    /// The pattern by which an `-ignore` filter ignores the name: any that matches. Here `!x` stands for
    /// all that is not `x`, whatever the order.
    pub fn ignoring(&self, name: &str) -> Option<&Pattern> {
        self.patterns.iter().find(|pattern| pattern.matches(name) != pattern.is_negated())
    }
}
