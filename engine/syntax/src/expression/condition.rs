//! `if:`, which needs no `${{ }}` and has a `success() &&` nobody writes.

use super::ast::{Expr, ExprKind};
use super::error::{EvalError, ExprError, TemplateError};
use super::eval::{Environment, evaluate};
use super::function::{Function, MAX_ARGUMENTS};
use super::parser::parse;
use super::template::{Part, PartKind, Template};
use super::value::Value;

/// The condition of a job or step.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// What is evaluated; offsets are those of the `if:` text, the implicit `success()` has none of its own.
    pub expression: Expr,
    /// Whether `success() &&` was put in front, because no status function is called.
    pub implicit_success: bool,
    /// Whether text stands around `${{ }}`: the condition is then a text that is never empty, so it always
    /// holds. A mistake, for a lint to report.
    pub text_around_expression: bool,
}

impl Condition {
    /// Whether the condition holds.
    pub fn evaluate(&self, environment: &dyn Environment) -> Result<bool, EvalError> {
        Ok(evaluate(&self.expression, environment)?.is_truthy())
    }
}

/// The condition an `if:` text stands for; blank, or no `if:` at all, is `success()`.
pub fn convert_if(text: &str) -> Result<Condition, TemplateError> {
    let template = Template::parse(text)?;
    if template.is_literal() {
        return Ok(if text.trim().is_empty() { condition(None, false) } else { condition(Some(parse(text)?), false) });
    }
    if let [Part { kind: PartKind::Expression(expr), .. }] = template.parts() {
        return Ok(condition(Some(expr.clone()), false));
    }
    Ok(condition(Some(as_format(&template, text.len())?), true))
}

fn condition(written: Option<Expr>, text_around_expression: bool) -> Condition {
    let success = || Expr::new(ExprKind::Call(Function::Success, Vec::new()), 0, 0);
    let Some(written) = written else {
        return Condition { expression: success(), implicit_success: true, text_around_expression };
    };
    let implicit_success = !written.calls_status_function();
    let expression = if implicit_success {
        let (start, end) = (written.start, written.end);
        Expr::new(ExprKind::And(vec![success(), written]), start, end)
    } else {
        written
    };
    Condition { expression, implicit_success, text_around_expression }
}

/// The `format(…)` that GitHub makes of text and expressions.
fn as_format(template: &Template, length: usize) -> Result<Expr, ExprError> {
    let mut text = String::new();
    let mut arguments = Vec::new();
    for part in template.parts() {
        match &part.kind {
            PartKind::Literal(literal) => {
                text.push_str(&literal.replace('{', "{{").replace('}', "}}"));
            }
            PartKind::Expression(expr) => {
                text.extend(["{", &arguments.len().to_string(), "}"]);
                arguments.push(expr.clone());
            }
        }
    }
    arguments.insert(0, Expr::new(ExprKind::Literal(Value::from(text)), 0, length));
    if arguments.len() > MAX_ARGUMENTS {
        return Err(ExprError::new("there are too many expressions in one text", 0, length));
    }
    Ok(Expr::new(ExprKind::Call(Function::Format, arguments), 0, length))
}
