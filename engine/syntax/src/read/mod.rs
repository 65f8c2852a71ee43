//! Reading typed values from a tree, with every error kept and its place.
//!
//! What all readers of files share: [`Reader`] collects diagnostics and reads scalars, [`Fields`] takes a mapping key
//! by key and reports what nobody took. Invariant: a value that could not be read was reported, exactly once, so a
//! reader may use any stand-in for it.

mod expressions;
mod fields;
mod locate;

use indexmap::IndexMap;

use crate::diagnostic::{Diagnostic, SourceFile, Span};
use crate::expression::{Availability, format_number, nearest};
use crate::tree::{Kind, Node, Scalar, Typed};
use crate::workflow::{Position, Text};

pub(crate) use fields::{Entry, Fields};
pub(crate) use locate::locate;

/// Names compared for a "did you mean": a file of ten thousand wrong names must not take minutes.
pub(crate) const MAX_CANDIDATES: usize = 200;

/// Reads values of one file and keeps what is wrong with them.
pub(crate) struct Reader<'s> {
    source: &'s SourceFile,
    found: Vec<Diagnostic>,
    /// What is valid and read, but has no place in the model because the engine does not carry it out.
    pub(crate) beyond: Vec<(Position, String)>,
}

impl<'s> Reader<'s> {
    pub(crate) fn new(source: &'s SourceFile, found: Vec<Diagnostic>) -> Self {
        Self { source, found, beyond: Vec::new() }
    }

    /// All that was found.
    pub(crate) fn into_found(self) -> Vec<Diagnostic> {
        self.found
    }

    pub(crate) fn report(&mut self, diagnostic: Diagnostic) {
        self.found.push(diagnostic);
    }

    pub(crate) fn error(&mut self, code: &'static str, span: Span, message: impl Into<String>) {
        self.report(Diagnostic::error(code, span, message));
    }

    /// Notes something valid that the engine does not carry out.
    pub(crate) fn beyond(&mut self, span: Span, what: impl Into<String>) {
        let at = self.source.position(span.start);
        self.beyond.push((at, what.into()));
    }

    /// Where a node starts.
    pub(crate) fn position(&self, node: Node<'_>) -> Position {
        self.source.position(node.span().start)
    }

    /// Reports that a node is of the wrong kind, unless it was reported before.
    pub(crate) fn wrong_type(&mut self, node: Node<'_>, expected: &str) {
        if !matches!(node.kind(), Kind::Broken) {
            let message = format!("expected {expected}, found {}", node.describe());
            self.error("wrong-type", node.span(), message);
        }
    }

    /// Reports a value outside a closed list, with the nearest of the list.
    pub(crate) fn unknown_value(&mut self, node: Node<'_>, value: &str, what: &str, known: &[&str]) {
        let guess = nearest(value, known.iter().copied());
        let list = known.join("`, `");
        let message = format!("`{value}` is not {what}; known are `{list}`");
        self.report(Diagnostic::error("unknown-value", node.span(), message).suggest(node.span(), guess));
    }

    /// A scalar, else a report.
    pub(crate) fn scalar<'t>(&mut self, node: Node<'t>, expected: &str) -> Option<&'t Scalar> {
        let scalar = node.scalar();
        if scalar.is_none() {
            self.wrong_type(node, expected);
        }
        scalar
    }

    /// Any scalar as text, by GitHub's coercion. Its expressions are checked against `place`; none are allowed without one.
    pub(crate) fn text(&mut self, node: Node<'_>, place: Option<&Availability>) -> Option<Text> {
        let scalar = self.scalar(node, "text")?;
        self.expressions(node, scalar, place);
        Some(Text { text: coerce(scalar), at: self.position(node) })
    }

    /// Text that may not be empty.
    pub(crate) fn word(&mut self, node: Node<'_>, place: Option<&Availability>) -> Option<Text> {
        let text = self.text(node, place)?;
        if text.text.is_empty() {
            self.error("empty-value", node.span(), "a value is missing here");
            return None;
        }
        Some(text)
    }

    /// Text without expressions that may not be empty.
    pub(crate) fn literal(&mut self, node: Node<'_>) -> Option<String> {
        self.word(node, None).map(|text| text.text)
    }

    /// One of a closed list of words.
    pub(crate) fn choice(&mut self, node: Node<'_>, what: &str, known: &[&'static str]) -> Option<&'static str> {
        let scalar = self.scalar(node, what)?;
        let is_text = scalar.typed == Typed::String;
        let found = known.iter().find(|word| is_text && **word == scalar.value);
        if found.is_none() {
            self.unknown_value(node, &scalar.value, what, known);
        }
        found.copied()
    }

    /// A word or a list of words.
    pub(crate) fn words(&mut self, node: Node<'_>, place: Option<&Availability>) -> Vec<Text> {
        match node.kind() {
            Kind::Sequence => node.items().filter_map(|item| self.word(item, place)).collect(),
            Kind::Scalar(_) => self.word(node, place).into_iter().collect(),
            _ => {
                self.wrong_type(node, "text or a list of texts");
                Vec::new()
            }
        }
    }

    /// A list of words.
    pub(crate) fn list(&mut self, node: Node<'_>, place: Option<&Availability>) -> Vec<Text> {
        if !matches!(node.kind(), Kind::Sequence) {
            self.whole_expression_or(node, "a list", place);
            return Vec::new();
        }
        node.items().filter_map(|item| self.word(item, place)).collect()
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&mut self, node: Node<'_>) -> Option<bool> {
        if let Some(Typed::Bool(value)) = node.scalar().map(|scalar| scalar.typed) {
            return Some(value);
        }
        self.wrong_type(node, "`true` or `false`");
        None
    }

    /// `true`, `false` or one expression.
    pub(crate) fn boolean_text(&mut self, node: Node<'_>, place: Option<&Availability>) -> Option<Text> {
        self.typed_text(node, place, "`true`, `false` or one expression", |typed| matches!(typed, Typed::Bool(_)))
    }

    /// A number or one expression.
    pub(crate) fn number_text(&mut self, node: Node<'_>, place: Option<&Availability>) -> Option<Text> {
        self.typed_text(node, place, "a number or one expression", |typed| matches!(typed, Typed::Number(_)))
    }

    fn typed_text(
        &mut self,
        node: Node<'_>,
        place: Option<&Availability>,
        expected: &str,
        fits: impl Fn(Typed) -> bool,
    ) -> Option<Text> {
        let scalar = self.scalar(node, expected)?;
        if fits(scalar.typed) || (scalar.typed == Typed::String && is_whole_expression(&scalar.value)) {
            return self.text(node, place);
        }
        self.wrong_type(node, expected);
        None
    }

    /// A mapping of names to texts; where `whole`, one expression for it all is valid too.
    ///
    /// The model has no place for names known only at run time: they are checked, and noted as beyond it.
    pub(crate) fn texts(
        &mut self,
        node: Node<'_>,
        what: &'static str,
        place: Option<&Availability>,
        whole: bool,
    ) -> IndexMap<String, Text> {
        if node.scalar().is_some_and(|scalar| whole && is_whole_expression(&scalar.value)) {
            self.text(node, place);
            self.beyond(node.span(), format!("{what} as one expression"));
            return IndexMap::new();
        }
        let Some(fields) = self.fields(node, what) else { return IndexMap::new() };
        let mut texts = IndexMap::new();
        for Entry { key, node, value } in fields.rest() {
            let text = self.text(value, place);
            if let Some(scalar) = node.scalar().filter(|_| place.is_some() && key.contains("${{")) {
                if !is_insert(&key) {
                    self.expressions(node, scalar, place);
                }
                self.beyond(node.span(), format!("an expression as a name of {what}"));
                continue;
            }
            self.name(node, &key);
            if let Some(text) = text {
                texts.insert(key, text);
            }
        }
        texts
    }

    /// Checks a key that people choose: not empty, no expression.
    pub(crate) fn name(&mut self, node: Node<'_>, key: &str) {
        if key.is_empty() {
            self.error("empty-value", node.span(), "a name is missing here");
        } else if key.contains("${{") {
            self.error("expression-not-allowed", node.span(), "a name cannot hold an expression");
        }
    }

    /// A node that is neither list nor mapping: fine where it is one expression, else reported.
    pub(crate) fn whole_expression_or(
        &mut self,
        node: Node<'_>,
        expected: &str,
        place: Option<&Availability>,
    ) -> Option<Text> {
        match node.scalar() {
            Some(scalar) if place.is_some() && is_whole_expression(&scalar.value) => self.text(node, place),
            _ => {
                self.wrong_type(node, expected);
                None
            }
        }
    }
}

/// A scalar as GitHub turns it into text: nothing is empty, numbers have 15 digits.
pub(crate) fn coerce(scalar: &Scalar) -> String {
    match scalar.typed {
        Typed::Null => String::new(),
        Typed::Bool(value) => value.to_string(),
        Typed::Number(number) => format_number(number),
        Typed::String => scalar.value.clone(),
    }
}

/// Whether a scalar is one `${{ }}` and nothing else, white space aside.
pub(crate) fn is_whole_expression(text: &str) -> bool {
    let text = text.trim();
    text.starts_with("${{") && text.ends_with("}}") && text.matches("${{").count() == 1
}

/// Whether a key is the directive `${{ insert }}`, which puts all keys of a mapping in its place.
pub fn is_insert(key: &str) -> bool {
    key.trim()
        .strip_prefix("${{")
        .and_then(|rest| rest.strip_suffix("}}"))
        .is_some_and(|inner| inner.trim() == "insert")
}
