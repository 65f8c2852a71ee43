//! Evaluation of a tree against an [`Environment`].
//!
//! `&&`, `||` and `case` evaluate only what decides them. The text an evaluation may make is bounded
//! ([`MAX_BYTES`]), so that a short expression cannot fill the memory.

use super::ast::{Comparison, Expr, ExprKind};
use super::builtin;
use super::error::EvalError;
use super::function::Function;
use super::object::Object;
use super::value::{Array, Value};
use std::cmp::Ordering;

/// What an expression sees: its contexts, and the functions that need more than their arguments.
pub trait Environment {
    /// The context of that name, in lower case; `None` where the place has no such context, which is an
    /// error. A context asked for twice must be the same one, or `github == github` does not hold.
    fn context(&self, name: &str) -> Option<Value>;

    /// The result of `success`, `failure`, `always`, `cancelled` or `hashFiles`, named as in
    /// [`Function::name`]; `None` where the place has no such function, which is an error.
    fn call(&self, function: Function, arguments: &[Value]) -> Option<Result<Value, EvalError>>;
}

/// Bytes of text that functions may read and write in one evaluation.
pub const MAX_BYTES: usize = 64 * 1024 * 1024;

/// The value of an expression.
pub fn evaluate(expr: &Expr, environment: &dyn Environment) -> Result<Value, EvalError> {
    Evaluator::new(environment).value(expr)
}

/// One evaluation, with the text it has made so far.
pub(super) struct Evaluator<'e> {
    environment: &'e dyn Environment,
    pub(super) budget: Budget,
}

/// The bytes of text an evaluation may still make.
pub(super) struct Budget(usize);

impl Budget {
    /// Takes `bytes`, or says that there is too much.
    pub(super) fn take(&mut self, bytes: usize) -> Result<(), EvalError> {
        let left = self.0.checked_sub(bytes).ok_or_else(Self::exceeded)?;
        self.0 = left;
        Ok(())
    }

    pub(super) fn left(&self) -> usize {
        self.0
    }

    pub(super) fn exceeded() -> EvalError {
        let limit = MAX_BYTES / 1024 / 1024;
        EvalError::new(format!("the expression makes more than {limit} MiB of text"))
    }
}

impl<'e> Evaluator<'e> {
    pub(super) fn new(environment: &'e dyn Environment) -> Self {
        Self { environment, budget: Budget(MAX_BYTES) }
    }

    pub(super) fn value(&mut self, expr: &Expr) -> Result<Value, EvalError> {
        match &expr.kind {
            ExprKind::Literal(value) => Ok(value.clone()),
            ExprKind::Context(name) => self.context(name).map_err(|error| error.at(expr.start, expr.end)),
            ExprKind::Index(object, index) => {
                let object = self.value(object)?;
                let index = self.value(index)?;
                Ok(take(&object, &index))
            }
            ExprKind::Star(object) => Ok(Value::Array(star(&self.value(object)?))),
            ExprKind::Not(operand) => Ok(Value::Bool(!self.value(operand)?.is_truthy())),
            ExprKind::Compare(comparison, left, right) => {
                let (left, right) = (self.value(left)?, self.value(right)?);
                Ok(Value::Bool(compare(*comparison, &left, &right)))
            }
            ExprKind::And(operands) => self.first(operands, |value| !value.is_truthy()),
            ExprKind::Or(operands) => self.first(operands, Value::is_truthy),
            ExprKind::Call(function, arguments) => {
                self.call(*function, arguments).map_err(|error| error.at(expr.start, expr.end))
            }
        }
    }

    fn context(&self, name: &str) -> Result<Value, EvalError> {
        self.environment
            .context(&name.to_ascii_lowercase())
            .ok_or_else(|| EvalError::new(format!("there is no context `{name}` here")))
    }

    /// The first operand that decides, else the last.
    fn first(&mut self, operands: &[Expr], decides: fn(&Value) -> bool) -> Result<Value, EvalError> {
        let mut value = Value::Null;
        for operand in operands {
            value = self.value(operand)?;
            if decides(&value) {
                break;
            }
        }
        Ok(value)
    }

    fn call(&mut self, function: Function, arguments: &[Expr]) -> Result<Value, EvalError> {
        if function == Function::Case {
            return self.case(arguments);
        }
        let values = arguments.iter().map(|argument| self.value(argument)).collect::<Result<Vec<_>, _>>()?;
        if function.is_special() {
            let missing = || Err(EvalError::new(format!("`{}` cannot be called here", function.name())));
            return self.environment.call(function, &values).unwrap_or_else(missing);
        }
        builtin::call(function, &values, &mut self.budget)
    }

    fn case(&mut self, arguments: &[Expr]) -> Result<Value, EvalError> {
        let (otherwise, pairs) = arguments.split_last().expect("the parser requires three arguments");
        for pair in pairs.chunks_exact(2) {
            match self.value(&pair[0])? {
                Value::Bool(true) => return self.value(&pair[1]),
                Value::Bool(false) => {}
                other => {
                    let message = format!("a condition of `case` must be true or false, not {}", other.kind());
                    return Err(EvalError::new(message).at(pair[0].start, pair[0].end));
                }
            }
        }
        self.value(otherwise)
    }
}

fn compare(comparison: Comparison, left: &Value, right: &Value) -> bool {
    let is = |ordering| left.loose_cmp(right) == Some(ordering);
    match comparison {
        Comparison::Equal => left.loose_eq(right),
        Comparison::NotEqual => !left.loose_eq(right),
        Comparison::Less => is(Ordering::Less),
        Comparison::Greater => is(Ordering::Greater),
        Comparison::LessEqual => left.loose_eq(right) || is(Ordering::Less),
        Comparison::GreaterEqual => left.loose_eq(right) || is(Ordering::Greater),
    }
}

/// `object[index]`; of a filtered array the items that have the index.
fn take(object: &Value, index: &Value) -> Value {
    match object {
        Value::Array(array) if array.is_filtered() => {
            let found = array.items().iter().filter_map(|item| item_at(item, index));
            Value::Array(Array::filtered(found.cloned().collect()))
        }
        other => item_at(other, index).cloned().unwrap_or_default(),
    }
}

/// What is at `index`: by key in an object, by number in an array.
fn item_at<'v>(collection: &'v Value, index: &Value) -> Option<&'v Value> {
    match collection {
        Value::Object(object) => object_item(object, index),
        Value::Array(array) => array.items().get(position(index.to_number())?),
        _ => None,
    }
}

fn object_item<'v>(object: &'v Object, index: &Value) -> Option<&'v Value> {
    index.is_primitive().then(|| object.get(&index.to_text()))?
}

/// 1.9 is 1; NaN and negative numbers are no position.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked to be positive, and the cast saturates"
)]
fn position(number: f64) -> Option<usize> {
    (number >= 0.0).then_some(number as usize)
}

/// `.*`: the items of an array, the values of an object; of a filtered array those of each item.
fn star(value: &Value) -> Array {
    let mut items = Vec::new();
    match value {
        Value::Array(array) if array.is_filtered() => {
            array.items().iter().for_each(|item| append_items(item, &mut items));
        }
        other => append_items(other, &mut items),
    }
    Array::filtered(items)
}

fn append_items(value: &Value, items: &mut Vec<Value>) {
    match value {
        Value::Array(array) => items.extend_from_slice(array.items()),
        Value::Object(object) => items.extend(object.values().cloned()),
        _ => {}
    }
}
