//! The functions that need nothing but their arguments.

use super::error::EvalError;
use super::eval::Budget;
use super::function::Function;
use super::json::pretty;
use super::text::fold;
use super::value::Value;
use std::borrow::Cow;

/// Calls a function that is neither special nor lazy, with as many arguments as the parser let through.
pub(super) fn call(function: Function, arguments: &[Value], budget: &mut Budget) -> Result<Value, EvalError> {
    match (function, arguments) {
        (Function::Contains, [search, item]) => contains(search, item, budget).map(Value::Bool),
        (Function::StartsWith, [text, start]) => affix(text, start, budget, |text, start| text.starts_with(start)),
        (Function::EndsWith, [text, end]) => affix(text, end, budget, |text, end| text.ends_with(end)),
        (Function::Format, [text, values @ ..]) => format(&text.to_text(), values, budget),
        (Function::Join, [items, separator]) if separator.is_primitive() => join(items, &separator.to_text(), budget),
        (Function::Join, [items, ..]) => join(items, ",", budget),
        (Function::ToJson, [value]) => to_json(value, budget),
        (Function::FromJson, [text]) => from_json(&text.to_text(), budget),
        _ => Err(EvalError::new(format!("`{}` cannot be called here", function.name()))),
    }
}

/// In an array an item that is `==`, in a string a part without regard to case.
fn contains(search: &Value, item: &Value, budget: &mut Budget) -> Result<bool, EvalError> {
    match search {
        Value::Array(array) => Ok(array.items().iter().any(|other| other.loose_eq(item))),
        Value::Object(_) => Ok(false),
        _ if !item.is_primitive() => Ok(false),
        _ => {
            let (search, item) = (search.to_text(), item.to_text());
            budget.take(search.len() + item.len())?;
            Ok(fold(&search).contains(&fold(&item)))
        }
    }
}

fn affix(text: &Value, part: &Value, budget: &mut Budget, test: fn(&str, &str) -> bool) -> Result<Value, EvalError> {
    if !text.is_primitive() || !part.is_primitive() {
        return Ok(Value::Bool(false));
    }
    let (text, part) = (text.to_text(), part.to_text());
    budget.take(text.len() + part.len())?;
    Ok(Value::Bool(test(&fold(&text), &fold(&part))))
}

fn join(items: &Value, separator: &str, budget: &mut Budget) -> Result<Value, EvalError> {
    let array = match items {
        Value::Array(array) => array,
        Value::Object(_) => return Ok(Value::from("")),
        single => return Ok(Value::string(single.to_text())),
    };
    let mut joined = String::new();
    for (index, item) in array.items().iter().enumerate() {
        let (gap, text) = (if index == 0 { "" } else { separator }, item.to_text());
        budget.take(gap.len() + text.len())?;
        joined.push_str(gap);
        joined.push_str(&text);
    }
    Ok(Value::from(joined))
}

fn to_json(value: &Value, budget: &mut Budget) -> Result<Value, EvalError> {
    let text = pretty(value, budget.left()).ok_or_else(Budget::exceeded)?;
    budget.take(text.len())?;
    Ok(Value::from(text))
}

fn from_json(text: &str, budget: &mut Budget) -> Result<Value, EvalError> {
    budget.take(text.len())?;
    if text.trim().is_empty() {
        return Err(EvalError::new("`fromJSON` got an empty text, which is not JSON"));
    }
    serde_json::from_str(text).map_err(|error| EvalError::new(format!("`fromJSON` got no valid JSON: {error}")))
}

/// `{0}` is the first value, `{{` and `}}` are braces; values are not looked into again.
fn format(text: &str, values: &[Value], budget: &mut Budget) -> Result<Value, EvalError> {
    let pieces = format_pieces(text, values.len()).map_err(EvalError::new)?;
    let mut result = String::new();
    for piece in pieces {
        let piece = match piece {
            FormatPiece::Text(text) => Cow::Borrowed(text),
            FormatPiece::Value(index) => values[index].to_text(),
        };
        budget.take(piece.len())?;
        result.push_str(&piece);
    }
    Ok(Value::from(result))
}

/// A stretch of a format text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FormatPiece<'t> {
    /// Text to take as it is.
    Text(&'t str),
    /// The value of that number.
    Value(usize),
}

/// Takes a format text apart that has `count` values to name, or says why it cannot be used.
pub(super) fn format_pieces(text: &str, count: usize) -> Result<Vec<FormatPiece<'_>>, String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, brace, after) = (&rest[..at], &rest[at..=at], &rest[at + 1..]);
        pieces.push(FormatPiece::Text(before));
        if let Some(next) = after.strip_prefix(brace) {
            pieces.push(FormatPiece::Text(brace));
            rest = next;
        } else if let Some((index, next)) = placeholder(brace, after).filter(|(index, _)| *index < count) {
            pieces.push(FormatPiece::Value(index));
            rest = next;
        } else {
            return Err(format!(
                "`format` cannot use `{}`: `{{N}}` must name one of the {count} values after it, from 0 on, and other braces are doubled",
                shortened(text)
            ));
        }
    }
    pieces.push(FormatPiece::Text(rest));
    Ok(pieces)
}

/// The number of the value that `{N}` names, and what follows; `after` is what stands after the brace.
fn placeholder<'t>(brace: &str, after: &'t str) -> Option<(usize, &'t str)> {
    let (index, next) = (brace == "{").then(|| after.split_once('}'))??;
    let digits = index.bytes().all(|byte| byte.is_ascii_digit());
    let index: u8 = digits.then(|| index.parse().ok())??;
    Some((usize::from(index), next))
}

fn shortened(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(100) {
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        None => Cow::Borrowed(text),
    }
}
