//! Diagnostics: what is wrong in a file, where, and what to do about it, as data.
//!
//! Rendering with carets belongs to the command line; the same value becomes JSON ([`json`]) and SARIF ([`sarif`]).
//! Invariant: a diagnostic has at least one label, and the first label is the place that line and column report.

pub mod fix;
pub mod json;
pub mod sarif;
mod source;

use serde::Serialize;

pub use source::{SourceFile, Span};

/// How bad it is. Only errors change an exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file cannot be used as it stands.
    Error,
    /// The file can be used; what it says is probably not what is meant.
    Warning,
}

impl Severity {
    /// `error` or `warning`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// A place and what is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Label {
    /// The place.
    pub span: Span,
    /// What is there; may be empty for the primary label, whose text is the message.
    pub text: String,
}

/// A change that mends the file: the bytes of `span` become `replacement`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Edit {
    /// What is replaced.
    pub span: Span,
    /// What stands there afterwards.
    pub replacement: String,
}

/// One finding about one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// A stable name in words: `unknown-job`.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What is so, in one sentence without a full stop.
    pub message: String,
    /// The places, the primary one first.
    pub labels: Vec<Label>,
    /// What to do.
    pub help: Option<String>,
    /// A change that does it.
    pub fix: Option<Edit>,
}

impl Diagnostic {
    /// An error at `span`.
    pub fn error(code: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, span, message.into())
    }

    /// A warning at `span`.
    pub fn warning(code: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, span, message.into())
    }

    fn new(severity: Severity, code: &'static str, span: Span, message: String) -> Self {
        let primary = Label { span, text: String::new() };
        Self { code, severity, message, labels: vec![primary], help: None, fix: None }
    }

    /// Says what stands at the primary place.
    #[must_use]
    pub fn here(mut self, text: impl Into<String>) -> Self {
        self.labels[0].text = text.into();
        self
    }

    /// Adds a second place.
    #[must_use]
    pub fn label(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label { span, text: text.into() });
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Proposes the nearest known name in place of what stands at `span`, where there is one.
    #[must_use]
    pub fn suggest(mut self, span: Span, nearest: Option<&str>) -> Self {
        if let Some(name) = nearest {
            self.help = Some(format!("did you mean `{name}`?"));
            self.fix = Some(Edit { span, replacement: name.to_owned() });
        }
        self
    }

    /// The primary place.
    pub fn span(&self) -> Span {
        self.labels[0].span
    }

    /// Whether it is an error.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// Puts diagnostics in the order of the file and drops those said twice (an anchor's node is read once an alias).
pub fn tidy(diagnostics: &mut Vec<Diagnostic>) {
    diagnostics
        .sort_by(|a, b| (a.span(), a.severity, a.code, &a.message).cmp(&(b.span(), b.severity, b.code, &b.message)));
    diagnostics.dedup_by(|a, b| a.code == b.code && a.span() == b.span() && a.message == b.message);
}
