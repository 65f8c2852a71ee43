//! What can go wrong with an expression: before it runs (`ExprError`) and while it runs (`EvalError`).

use std::fmt;

/// An expression that does not parse, or uses a name its place does not offer.
///
/// `start` and `end` are byte offsets into the text that was parsed: the expression alone for
/// [`parse`](super::parse), the whole scalar for [`Template`](super::Template).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExprError {
    /// What is wrong, and where known the nearest right form.
    pub message: String,
    /// Where the trouble begins.
    pub start: usize,
    /// Where it ends; equal to `start` at the end of the text.
    pub end: usize,
}

impl ExprError {
    /// An error about the bytes `start..end`.
    pub fn new(message: impl Into<String>, start: usize, end: usize) -> Self {
        Self { message: message.into(), start, end }
    }
}

/// Every error of one template, in the order of the text; never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct TemplateError {
    /// The errors, with offsets into the template's text.
    pub errors: Vec<ExprError>,
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.errors.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{error}")?;
        }
        Ok(())
    }
}

impl From<ExprError> for TemplateError {
    fn from(error: ExprError) -> Self {
        Self { errors: vec![error] }
    }
}

/// An expression that parsed and failed on its values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct EvalError {
    /// What went wrong.
    pub message: String,
    /// The part of the expression that failed, as byte offsets, where it is known.
    pub span: Option<(usize, usize)>,
}

impl EvalError {
    /// An error without a place; the evaluator adds the place of the call.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), span: None }
    }

    /// The same error, placed at `start..end` unless it has a place already.
    pub(super) fn at(mut self, start: usize, end: usize) -> Self {
        self.span.get_or_insert((start, end));
        self
    }
}
