//! Scalars with `${{ }}` in them.
//!
//! `}}` inside a quoted string does not close an expression. A scalar that is nothing but one
//! expression keeps the type of its value; any other becomes a string.

use super::ast::{Expr, Reference};
use super::error::{EvalError, ExprError, TemplateError};
use super::eval::{Environment, Evaluator};
use super::parser::{MAX_LENGTH, parse};
use super::value::Value;

/// A scalar taken apart.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    parts: Vec<Part>,
}

/// A stretch of a template, by byte offsets into its text.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// What stands there.
    pub kind: PartKind,
    /// Where it begins; for an expression at its `${{`.
    pub start: usize,
    /// Where it ends; for an expression after its `}}`.
    pub end: usize,
}

/// What a part of a template is.
#[derive(Clone, Debug, PartialEq)]
pub enum PartKind {
    /// Text to take as it is.
    Literal(String),
    /// What stood in `${{ }}`, with offsets into the template's text.
    Expression(Expr),
}

impl Template {
    /// Takes a scalar apart; reports every bad expression in it.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut errors = Vec::new();
        let mut at = 0;
        while let Some(found) = text[at..].find("${{") {
            let open = at + found;
            push_literal(&mut parts, text, at, open);
            let inside = open + 3;
            let Some(length) = closing(&text[inside..]) else {
                let message = "the expression is not closed: `}}` is missing";
                errors.push(ExprError::new(message, open, text.len()));
                return Err(TemplateError { errors });
            };
            at = inside + length + 2;
            match expression(text, inside, inside + length) {
                Ok(expr) => parts.push(Part { kind: PartKind::Expression(expr), start: open, end: at }),
                Err(error) => errors.push(error),
            }
        }
        push_literal(&mut parts, text, at, text.len());
        let template = Self { parts };
        errors.extend(template.too_long(text));
        if errors.is_empty() { Ok(template) } else { Err(TemplateError { errors }) }
    }

    /// The parts in order.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The expressions in order.
    pub fn expressions(&self) -> impl Iterator<Item = &Expr> {
        self.parts.iter().filter_map(|part| match &part.kind {
            PartKind::Expression(expr) => Some(expr),
            PartKind::Literal(_) => None,
        })
    }

    /// Whether there is no expression in it.
    pub fn is_literal(&self) -> bool {
        self.expressions().next().is_none()
    }

    /// The text of a template without expressions.
    pub fn as_literal(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part { kind: PartKind::Literal(text), .. }] => Some(text),
            _ => None,
        }
    }

    /// Every use of a context, in the order of the text.
    pub fn references(&self) -> Vec<Reference> {
        self.expressions().flat_map(Expr::references).collect()
    }

    /// The value: of the one expression where there is nothing else, else a string.
    pub fn evaluate(&self, environment: &dyn Environment) -> Result<Value, EvalError> {
        let mut evaluator = Evaluator::new(environment);
        if let [Part { kind: PartKind::Expression(expr), .. }] = self.parts.as_slice() {
            return evaluator.value(expr);
        }
        let mut text = String::new();
        for part in &self.parts {
            match &part.kind {
                PartKind::Literal(literal) => text.push_str(literal),
                PartKind::Expression(expr) => {
                    let value = evaluator.value(expr)?;
                    let value = value.to_text();
                    evaluator.budget.take(value.len())?;
                    text.push_str(&value);
                }
            }
        }
        Ok(Value::from(text))
    }

    /// The value as text, as `run:`, `env:` and `with:` take it.
    pub fn evaluate_text(&self, environment: &dyn Environment) -> Result<String, EvalError> {
        Ok(self.evaluate(environment)?.to_text().into_owned())
    }

    /// GitHub turns text around expressions into one `format(…)`, which has the limit of any expression.
    fn too_long(&self, text: &str) -> Option<ExprError> {
        if self.is_literal() || self.format_length(text) <= MAX_LENGTH {
            return None;
        }
        let message = format!(
            "text with an expression in it may have {MAX_LENGTH} characters at most; move the text into a file or use `env:` instead of the expression"
        );
        Some(ExprError::new(message, 0, text.len()))
    }

    fn format_length(&self, text: &str) -> usize {
        let units = |text: &str| text.encode_utf16().count();
        let part_length = |part: &Part| match &part.kind {
            PartKind::Literal(literal) => {
                units(literal) + literal.bytes().filter(|byte| matches!(byte, b'\'' | b'{' | b'}')).count()
            }
            // `, expression` and `{0}` instead of the `${{` and `}}` around it.
            PartKind::Expression(_) => units(&text[part.start + 3..part.end - 2]) + 5,
        };
        "format('')".len() + self.parts.iter().map(part_length).sum::<usize>()
    }
}

fn push_literal(parts: &mut Vec<Part>, text: &str, start: usize, end: usize) {
    if start < end {
        parts.push(Part { kind: PartKind::Literal(text[start..end].to_owned()), start, end });
    }
}

/// How far it is to the `}}` that closes an expression.
fn closing(inside: &str) -> Option<usize> {
    let mut quoted = false;
    let bytes = inside.as_bytes();
    (0..bytes.len()).find(|&at| {
        quoted ^= bytes[at] == b'\'';
        !quoted && bytes[at..].starts_with(b"}}")
    })
}

fn expression(text: &str, start: usize, end: usize) -> Result<Expr, ExprError> {
    let source = &text[start..end];
    if source.trim().is_empty() {
        return Err(ExprError::new("an expression is expected in `${{ }}`", start, end));
    }
    let place = |error: ExprError| ExprError::new(error.message, start + error.start, start + error.end);
    let mut expr = parse(source).map_err(place)?;
    expr.shift(start);
    Ok(expr)
}
