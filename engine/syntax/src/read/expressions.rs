//! Checking `${{ }}` and `if:` of a scalar against what its key offers.
//!
//! The primary place of an error is the whole `${{ }}`, where GitHub puts it; a second label marks the very token.

use super::locate::locate;
use super::{Reader, coerce};
use crate::diagnostic::Diagnostic;
use crate::expression::{Availability, Expr, ExprError, ExprKind, Function, PartKind, Template, check, convert_if};
use crate::tree::{Node, Scalar};
use crate::workflow::Text;

/// Most errors told of one scalar: finding each place walks over the whole of it.
const MAX_ERRORS: usize = 20;

impl Reader<'_> {
    /// Checks every `${{ }}` of a scalar; none may be there without a `place`.
    pub(crate) fn expressions(&mut self, node: Node<'_>, scalar: &Scalar, place: Option<&Availability>) {
        if !scalar.value.contains("${{") {
            return;
        }
        let Some(place) = place else {
            self.error("expression-not-allowed", node.span(), "an expression is not allowed here");
            return;
        };
        if let Some(template) = self.template(node, scalar) {
            for part in template.parts() {
                if let PartKind::Expression(expr) = &part.kind {
                    if matches!(&expr.kind, ExprKind::Context(name) if name == "insert") {
                        let message = "`${{ insert }}` is a key of its own, not part of a text";
                        self.error("expression", node.span(), message);
                        continue;
                    }
                    for error in check(expr, place).into_iter().chain(formats(expr)).take(MAX_ERRORS) {
                        self.expression_error(node, scalar, &error, Some((part.start, part.end)));
                    }
                }
            }
        }
    }

    fn template(&mut self, node: Node<'_>, scalar: &Scalar) -> Option<Template> {
        match Template::parse(&scalar.value) {
            Ok(template) => Some(template),
            Err(errors) => {
                for error in errors.errors.iter().take(MAX_ERRORS) {
                    let part = enclosing(&scalar.value, error);
                    self.expression_error(node, scalar, error, part);
                }
                None
            }
        }
    }

    /// The text of an `if:`, checked.
    pub(crate) fn condition_text(&mut self, node: Node<'_>, place: &Availability) -> Option<Text> {
        let scalar = self.scalar(node, "a condition")?;
        self.condition(node, scalar, place);
        Some(Text { text: coerce(scalar), at: self.position(node) })
    }

    /// Checks a condition, which is an expression with or without `${{ }}`.
    fn condition(&mut self, node: Node<'_>, scalar: &Scalar, place: &Availability) {
        match convert_if(&coerce(scalar)) {
            Ok(condition) => {
                if condition.text_around_expression || formats_text(&condition.expression) {
                    let message = "text stands around the expression, so the condition always holds";
                    let help = "put the whole condition inside one `${{ }}`, or leave the `${{ }}` away";
                    self.report(Diagnostic::error("text-in-if", node.span(), message).help(help));
                }
                // The `success()` that nobody wrote has no place, and needs no leave.
                let written = |error: &ExprError| error.end > error.start;
                let errors = check(&condition.expression, place).into_iter().chain(formats(&condition.expression));
                for error in errors.filter(written).take(MAX_ERRORS) {
                    self.expression_error(node, scalar, &error, None);
                }
            }
            Err(errors) => {
                for error in errors.errors.iter().take(MAX_ERRORS) {
                    self.expression_error(node, scalar, error, None);
                }
            }
        }
    }

    /// Reports an expression's error: at its `${{ }}` where that is known, else at the scalar.
    fn expression_error(&mut self, node: Node<'_>, scalar: &Scalar, error: &ExprError, part: Option<(usize, usize)>) {
        let exact = locate(self.source, node, scalar, error.start, error.end.max(error.start + 1));
        let primary = match part {
            Some((start, end)) => locate(self.source, node, scalar, start, end),
            None => node.span(),
        };
        let mut report = Diagnostic::error("expression", primary, error.message.clone());
        if exact != primary {
            report = report.label(exact, "here");
        }
        self.report(report);
    }
}

/// Whether a condition is a `format(…)` with text of its own, which is never empty and so always holds.
fn formats_text(expr: &Expr) -> bool {
    match &expr.kind {
        // `success() && …`, of which nobody wrote the first.
        ExprKind::And(operands) if operands[0].end == 0 => operands.get(1).is_some_and(formats_text),
        ExprKind::Call(Function::Format, arguments) => match arguments.first().map(|first| &first.kind) {
            Some(ExprKind::Literal(text)) => has_text(&text.to_text()),
            _ => false,
        },
        _ => false,
    }
}

/// Calls of `format` whose literal format names an argument that is not there.
fn formats(expr: &Expr) -> Vec<ExprError> {
    let mut errors = Vec::new();
    expr.walk(&mut |node| {
        let ExprKind::Call(Function::Format, arguments) = &node.kind else { return };
        let Some(ExprKind::Literal(format)) = arguments.first().map(|first| &first.kind) else { return };
        let given = arguments.len() - 1;
        // Escaped braces go first, so that `{{0}}` is no argument.
        let format = format.to_text().replace("{{", "").replace("}}", "");
        let numbers = format.split('{').skip(1).filter_map(|rest| rest.split_once('}')?.0.parse::<usize>().ok());
        if let Some(number) = numbers.filter(|number| *number >= given).max() {
            let message = format!("the format names the argument {{{number}}}, and there are {given}");
            errors.push(ExprError::new(message, node.start, node.end));
        }
    });
    errors
}

/// Whether a format has text besides its `{0}`.
fn has_text(format: &str) -> bool {
    let mut rest = format;
    while let Some(inner) = rest.strip_prefix('{') {
        let digits = inner.len() - inner.trim_start_matches(|digit: char| digit.is_ascii_digit()).len();
        match inner[digits..].strip_prefix('}') {
            Some(after) if digits > 0 => rest = after,
            _ => return true,
        }
    }
    !rest.is_empty()
}

/// The `${{ }}` around an error; nothing where it is not closed or the whole scalar is meant.
fn enclosing(value: &str, error: &ExprError) -> Option<(usize, usize)> {
    let open = value.get(..error.start)?.rfind("${{")?;
    let end = value[error.end.min(value.len())..].find("}}").map_or(value.len(), |at| error.end + at + 2);
    Some((open, end))
}
