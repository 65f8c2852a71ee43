//! The file of `::add-matcher::`: read and checked, so that a matcher that can never be right is told of at once.

use std::collections::HashSet;

use regex_automata::nfa::thompson::{self, pikevm};
use serde::Deserialize;
use thiserror::Error;

use super::dialect::translated;
use super::pattern::{Field, Matcher, Pattern};

/// Bytes a compiled pattern may take.
const MOST_BYTES: usize = 1024 * 1024;

/// Why matchers cannot be used. No message quotes the file: whoever names it may not be allowed to read it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MatcherError {
    /// Not JSON of the right shape.
    #[error("it is no file of problem matchers (line {0}, column {1})")]
    Unreadable(usize, usize),
    /// A matcher without a name.
    #[error("matcher {0} has no `owner`")]
    NoOwner(usize),
    /// Two of a name.
    #[error("matcher {0} has the `owner` of another")]
    SameOwner(usize),
    /// A severity that GitHub does not know.
    #[error("the `severity` of matcher {0} is none of error, warning and notice")]
    Severity(usize),
    /// Nothing to match.
    #[error("matcher {0} has no `pattern`")]
    NoPattern(usize),
    /// Nothing to say.
    #[error("no pattern of matcher {0} sets `message`")]
    NoMessage(usize),
    /// A repeated pattern that is not the last of several, or says nothing.
    #[error("`loop` of matcher {0} is not on the last of several patterns, or that pattern sets no `message`")]
    Loop(usize),
    /// A field that two patterns set.
    #[error("matcher {0} sets `{1}` twice")]
    Twice(usize, &'static str),
    /// A group that the expression does not have.
    #[error("`{1}` of matcher {0} names a group that its `regexp` does not have")]
    NoGroup(usize, &'static str),
    /// An expression that is wrong, too large, or needs look-around or references back.
    #[error("a `regexp` of matcher {0} cannot be used; look-around and references back are not carried out")]
    Regexp(usize),
}

#[derive(Deserialize)]
struct RawFile {
    #[serde(default, rename = "problemMatcher")]
    matchers: Option<Vec<RawMatcher>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawMatcher {
    owner: Option<String>,
    severity: Option<String>,
    from_path: Option<String>,
    pattern: Option<Vec<RawPattern>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawPattern {
    regexp: Option<String>,
    file: Option<i64>,
    line: Option<i64>,
    column: Option<i64>,
    severity: Option<i64>,
    code: Option<i64>,
    message: Option<i64>,
    from_path: Option<i64>,
    #[serde(default, rename = "loop")]
    repeats: bool,
}

impl RawPattern {
    /// The groups by field, each with its key.
    fn groups(&self) -> [(Field, &'static str, Option<i64>); 7] {
        [
            (Field::File, "file", self.file),
            (Field::Line, "line", self.line),
            (Field::Column, "column", self.column),
            (Field::Severity, "severity", self.severity),
            (Field::Code, "code", self.code),
            (Field::Message, "message", self.message),
            (Field::FromPath, "fromPath", self.from_path),
        ]
    }
}

/// Reads the text of a file of matchers.
///
/// # Errors
/// As [`MatcherError`] lists; none of the file's matchers is to be used then.
pub fn parse(text: &str) -> Result<Vec<Matcher>, MatcherError> {
    let text = text.trim_start_matches('\u{feff}');
    let raw: RawFile =
        serde_json::from_str(text).map_err(|error| MatcherError::Unreadable(error.line(), error.column()))?;
    let mut owners = HashSet::new();
    let mut matchers = Vec::new();
    for (index, raw) in raw.matchers.unwrap_or_default().into_iter().enumerate() {
        let matcher = matcher(raw, index + 1)?;
        if !owners.insert(matcher.owner.to_lowercase()) {
            return Err(MatcherError::SameOwner(index + 1));
        }
        matchers.push(matcher);
    }
    Ok(matchers)
}

fn matcher(raw: RawMatcher, number: usize) -> Result<Matcher, MatcherError> {
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    let owner = given(raw.owner).ok_or(MatcherError::NoOwner(number))?;
    let severity = given(raw.severity);
    let levels = ["error", "warning", "notice"];
    if severity.as_ref().is_some_and(|severity| !levels.iter().any(|level| level.eq_ignore_ascii_case(severity))) {
        return Err(MatcherError::Severity(number));
    }
    let raw_patterns = raw.pattern.filter(|patterns| !patterns.is_empty()).ok_or(MatcherError::NoPattern(number))?;
    let last = raw_patterns.len() - 1;
    let mut set = [false; 7];
    let mut patterns = Vec::with_capacity(raw_patterns.len());
    for (index, raw) in raw_patterns.into_iter().enumerate() {
        if raw.repeats && (index == 0 || index != last || raw.message.is_none()) {
            return Err(MatcherError::Loop(number));
        }
        patterns.push(pattern(&raw, number, &mut set)?);
    }
    if !set[Field::Message as usize] {
        return Err(MatcherError::NoMessage(number));
    }
    Ok(Matcher { owner, severity, from_path: given(raw.from_path), running: vec![None; last], patterns })
}

fn pattern(raw: &RawPattern, number: usize, set: &mut [bool; 7]) -> Result<Pattern, MatcherError> {
    let text = translated(raw.regexp.as_deref().unwrap_or_default());
    let regex = pikevm::Builder::new()
        .thompson(thompson::Config::new().nfa_size_limit(Some(MOST_BYTES)))
        .build(&text)
        .map_err(|_| MatcherError::Regexp(number))?;
    let count = regex.get_nfa().group_info().group_len(regex_automata::PatternID::ZERO);
    let mut groups = [None; 7];
    for (field, key, group) in raw.groups() {
        let Some(group) = group else { continue };
        if std::mem::replace(&mut set[field as usize], true) {
            return Err(MatcherError::Twice(number, key));
        }
        let group = usize::try_from(group).ok().filter(|group| *group < count);
        groups[field as usize] = Some(group.ok_or(MatcherError::NoGroup(number, key))?);
    }
    let cache = regex.create_cache();
    Ok(Pattern { regex, cache, groups, repeats: raw.repeats })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(matchers: &str) -> MatcherError {
        parse(&format!(r#"{{"problemMatcher": [{matchers}]}}"#)).unwrap_err()
    }

    #[test]
    fn what_can_never_be_right_is_refused() {
        assert_eq!(parse("[").unwrap_err(), MatcherError::Unreadable(1, 1));
        assert_eq!(error(r#"{"pattern": []}"#), MatcherError::NoOwner(1));
        assert_eq!(error(r#"{"owner": "a", "severity": "info"}"#), MatcherError::Severity(1));
        assert_eq!(error(r#"{"owner": "a"}"#), MatcherError::NoPattern(1));
        assert_eq!(error(r#"{"owner": "a", "pattern": [{"regexp": "x"}]}"#), MatcherError::NoMessage(1));
        let twice = r#"{"owner": "a", "pattern": [{"regexp": "(x)", "code": 1}, {"regexp": "(y)", "code": 1}]}"#;
        assert_eq!(error(twice), MatcherError::Twice(1, "code"));
        for regexp in ["(?=x)(y)", "(x)\\\\1", "(x", "(x{1000}{1000})"] {
            let text = format!(r#"{{"owner": "a", "pattern": [{{"regexp": "{regexp}", "message": 1}}]}}"#);
            assert_eq!(error(&text), MatcherError::Regexp(1), "{regexp}");
        }
    }
}
