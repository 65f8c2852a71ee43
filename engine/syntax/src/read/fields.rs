//! A mapping, taken key by key; what nobody takes is an unknown key.

use super::Reader;
use crate::diagnostic::{Diagnostic, Span};
use crate::expression::nearest;
use crate::tree::{Kind, Node, Style, Typed};

/// One key of a mapping with its value.
pub(crate) struct Entry<'t> {
    pub(crate) key: String,
    /// The key's node.
    pub(crate) node: Node<'t>,
    pub(crate) value: Node<'t>,
}

/// The keys of a mapping that are still to be taken.
pub(crate) struct Fields<'t> {
    /// What the mapping is, for messages: `a step`.
    what: &'static str,
    span: Span,
    entries: Vec<Entry<'t>>,
    /// Every key that was asked for.
    known: Vec<&'static str>,
}

impl Reader<'_> {
    /// The keys of a mapping; a report where it is none or where a key is no text.
    pub(crate) fn fields<'t>(&mut self, node: Node<'t>, what: &'static str) -> Option<Fields<'t>> {
        if !matches!(node.kind(), Kind::Mapping) {
            self.wrong_type(node, &format!("{what} as a mapping"));
            return None;
        }
        let mut entries = Vec::with_capacity(node.entries().len());
        for (key, value) in node.entries() {
            match key.kind() {
                Kind::Scalar(scalar) if scalar.typed == Typed::Null && scalar.style == Style::Plain => {
                    self.error("wrong-type", key.span(), "a key cannot be nothing");
                }
                Kind::Scalar(scalar) => entries.push(Entry { key: scalar.value.clone(), node: key, value }),
                Kind::Broken => {}
                _ => self.wrong_type(key, "a text as key"),
            }
        }
        Some(Fields { what, span: node.span(), entries, known: Vec::new() })
    }
}

impl<'t> Fields<'t> {
    /// The value of a key, once.
    pub(crate) fn take(&mut self, key: &'static str) -> Option<Node<'t>> {
        self.entry(key).map(|entry| entry.value)
    }

    /// Key and value, once.
    pub(crate) fn entry(&mut self, key: &'static str) -> Option<Entry<'t>> {
        self.known.push(key);
        let at = self.entries.iter().position(|entry| entry.key == key)?;
        Some(self.entries.remove(at))
    }

    /// The value of a key that must be there.
    pub(crate) fn require(&mut self, reader: &mut Reader<'_>, key: &'static str) -> Option<Node<'t>> {
        let value = self.take(key);
        if value.is_none() {
            self.missing(reader, key);
        }
        value
    }

    /// Reports that a key is missing.
    pub(crate) fn missing(&self, reader: &mut Reader<'_>, key: &str) {
        let at = Span::new(self.span.start, self.span.start);
        reader.error("missing-key", at, format!("{} needs the key `{key}`", self.what));
    }

    /// Says more exactly what the mapping is.
    pub(crate) fn describe(&mut self, what: &'static str) {
        self.what = what;
    }

    /// The keys not yet taken, in the file's order.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.key.as_str())
    }

    /// Whether a key is there and not yet taken.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|entry| entry.key == key)
    }

    /// Where the mapping stands.
    pub(crate) fn span(&self) -> Span {
        self.span
    }

    /// All keys not taken, for mappings whose keys people choose.
    pub(crate) fn rest(self) -> Vec<Entry<'t>> {
        self.entries
    }

    /// Reports every key that nobody took, with the nearest that exists.
    pub(crate) fn finish(self, reader: &mut Reader<'_>) {
        for entry in &self.entries {
            let span = entry.node.span();
            let guess = nearest(&entry.key, self.known.iter().copied());
            let message = format!("{} has no key `{}`", self.what, entry.key);
            let mut known = self.known.clone();
            known.sort_unstable();
            let report = Diagnostic::error("unknown-key", span, message);
            let report = match guess {
                Some(_) => report.suggest(span, guess),
                None => report.help(format!("its keys are {}", known.join(", "))),
            };
            reader.report(report);
        }
    }
}
