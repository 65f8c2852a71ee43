//! One pattern: its syntax, and why it is refused.
//!
//! What could never match, or reads otherwise than it works (`[x]`, a regular expression), is refused as well.

use super::matcher::{Node, Set, matches};
use std::iter::Peekable;
use std::str::CharIndices;

/// What a pattern is matched against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The name of a branch or tag, without `refs/heads/` or `refs/tags/`.
    Ref,
    /// The path of a file, from the root of the repository.
    Path,
}

/// A pattern that parsed.
#[derive(Clone, Debug, PartialEq)]
pub struct Pattern {
    text: String,
    negated: bool,
    nodes: Vec<Node>,
}

/// Why a text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the pattern `{pattern}` is not valid: {message}")]
pub struct PatternError {
    /// The pattern as written.
    pub pattern: String,
    /// What is wrong with it.
    pub message: String,
    /// The byte of the pattern where it is wrong.
    pub offset: usize,
}

impl Pattern {
    /// Reads a pattern, the `!` of a negative one included.
    pub fn parse(text: &str, subject: Subject) -> Result<Self, PatternError> {
        let negated = text.starts_with('!');
        let mut reader =
            Reader { text, chars: text.char_indices().peekable(), subject, nodes: Vec::new(), repeatable: None };
        if negated {
            reader.chars.next();
        }
        reader.check_ends(&text[usize::from(negated)..])?;
        while let Some((at, c)) = reader.chars.next() {
            reader.read(at, c)?;
        }
        Ok(Self { text: text.to_owned(), negated, nodes: reader.nodes })
    }

    /// The pattern as written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it begins with `!`.
    pub fn is_negated(&self) -> bool {
        self.negated
    }

    /// Whether the whole of `name` matches what stands after the `!`, if there is one.
    pub fn matches(&self, name: &str) -> bool {
        matches(&self.nodes, name)
    }
}

struct Reader<'t> {
    text: &'t str,
    chars: Peekable<CharIndices<'t>>,
    subject: Subject,
    nodes: Vec<Node>,
    /// What a `?` or `+` here would repeat.
    repeatable: Option<Set>,
}

impl Reader<'_> {
    fn error(&self, offset: usize, message: impl Into<String>) -> PatternError {
        PatternError { pattern: self.text.to_owned(), message: message.into(), offset }
    }

    fn check_ends(&self, body: &str) -> Result<(), PatternError> {
        let start = self.text.len() - body.len();
        let message = match self.subject {
            _ if body.is_empty() => "there must be something to match",
            Subject::Ref if body.starts_with('/') => "the name of a branch or tag does not start with `/`",
            Subject::Ref if body.ends_with(['/', '.']) => "the name of a branch or tag does not end with `/` or `.`",
            Subject::Path if body.trim() != body => "a path pattern neither starts nor ends with a space",
            Subject::Path if body.split('/').any(|part| part == "." || part == "..") => {
                "paths count from the root of the repository, without `.` and `..`"
            }
            _ => return Ok(()),
        };
        Err(self.error(start, message))
    }

    fn next_is(&mut self, wanted: char) -> bool {
        self.chars.next_if(|(_, c)| *c == wanted).is_some()
    }

    fn push(&mut self, set: Set) {
        self.repeatable = Some(set.clone());
        self.nodes.push(Node::One(set));
    }

    fn read(&mut self, at: usize, c: char) -> Result<(), PatternError> {
        match c {
            '*' => self.star(),
            '?' | '+' => self.repeat(at, c)?,
            '[' => self.class(at)?,
            '\\' => self.escape(at)?,
            '\n' | '\r' => return Err(self.error(at, "a name has no line breaks")),
            ' ' | '\t' | '~' | '^' | ':' if self.subject == Subject::Ref => {
                let message = format!("the name of a branch or tag has no `{c}`; a pattern is no regular expression");
                return Err(self.error(at, message));
            }
            _ => self.push(Set::single(c)),
        }
        Ok(())
    }

    /// `*`, `**`, and `**/`, which may stand for nothing.
    fn star(&mut self) {
        self.repeatable = None;
        if !self.next_is('*') {
            self.nodes.push(Node::Many(Set::NotSlash));
        } else if self.next_is('/') {
            let slash = Node::One(Set::single('/'));
            self.nodes.extend([Node::Optional(2), Node::Many(Set::Any), slash]);
        } else {
            self.nodes.push(Node::Many(Set::Any));
        }
    }

    /// `?` makes the character before it optional, `+` lets it come again.
    fn repeat(&mut self, at: usize, c: char) -> Result<(), PatternError> {
        let Some(set) = self.repeatable.take() else {
            let message =
                format!("`{c}` repeats the character before it, and there is none; `\\{c}` is the sign itself");
            return Err(self.error(at, message));
        };
        if c == '+' {
            self.nodes.push(Node::Many(set));
        } else {
            let last = self.nodes.len() - 1;
            self.nodes.insert(last, Node::Optional(1));
        }
        Ok(())
    }

    fn escape(&mut self, at: usize) -> Result<(), PatternError> {
        let escaped = self.chars.next_if(|(_, c)| matches!(c, '[' | '?' | '*' | '+' | '\\' | '!'));
        match (escaped, self.subject) {
            (Some((_, c @ ('[' | '?' | '*' | '\\'))), Subject::Ref) => {
                Err(self.error(at, format!("the name of a branch or tag has no `{c}`")))
            }
            (Some((_, c)), _) => {
                self.push(Set::single(c));
                Ok(())
            }
            (None, Subject::Path) => {
                self.push(Set::single('\\'));
                Ok(())
            }
            (None, Subject::Ref) => Err(self.error(at, "only `[`, `?`, `*`, `+`, `\\` and `!` are escaped with `\\`")),
        }
    }

    fn class(&mut self, at: usize) -> Result<(), PatternError> {
        let mut ranges = Vec::new();
        loop {
            let Some((from, first)) = self.chars.next() else {
                return Err(self.error(at, "a `]` is missing"));
            };
            if first == ']' {
                break;
            }
            let last = if self.next_is('-') { self.range_end(at, from, first)? } else { first };
            ranges.push((first, last));
        }
        match ranges.as_slice() {
            [] => Err(self.error(at, "`[]` holds no character")),
            [(first, last)] if first == last => {
                Err(self.error(at, format!("`[{first}]` is the same as `{first}`: write that")))
            }
            _ => {
                self.push(Set::Ranges(ranges));
                Ok(())
            }
        }
    }

    fn range_end(&mut self, class: usize, from: usize, first: char) -> Result<char, PatternError> {
        match self.chars.next() {
            None => Err(self.error(class, "a `]` is missing")),
            Some((_, ']')) => Err(self.error(from, format!("the range `{first}-` has no end"))),
            Some((_, last)) if last < first => {
                Err(self.error(from, format!("the range `{first}-{last}` runs backwards")))
            }
            Some((_, last)) => Ok(last),
        }
    }
}
