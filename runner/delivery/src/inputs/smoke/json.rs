//! Places in JSON documents, and when a value is what is expected.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Names and indexes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JsonPath {
    text: String,
    steps: Vec<JsonStep>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum JsonStep {
    Name(String),
    Index(usize),
}

impl JsonPath {
    /// Reads `checks[0].status`; `.` is the whole document. A leading `$` or `.` may be there.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("\"{text}\" is not a JSON path; write checks[0].status, or . for the whole");
        let inner = text.strip_prefix('$').unwrap_or(text);
        let mut steps = Vec::new();
        let mut rest = inner.strip_prefix('.').unwrap_or(inner);
        if text.is_empty() {
            return Err(wrong());
        }
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix('[') {
                let (index, after) = after.split_once(']').ok_or_else(wrong)?;
                steps.push(JsonStep::Index(index.parse().map_err(|_| wrong())?));
                rest = after;
            } else {
                let name = rest.strip_prefix('.').filter(|_| !steps.is_empty()).unwrap_or(rest);
                let end = name.find(['.', '[']).unwrap_or(name.len());
                if end == 0 || name[..end].contains(']') {
                    return Err(wrong());
                }
                steps.push(JsonStep::Name(name[..end].to_owned()));
                rest = &name[end..];
                if rest == "." {
                    return Err(wrong());
                }
            }
        }
        Ok(Self { text: text.to_owned(), steps })
    }

    /// The value there.
    pub fn find<'v>(&self, document: &'v Value) -> Option<&'v Value> {
        self.steps.iter().try_fold(document, |value, step| match step {
            JsonStep::Name(name) => value.get(name),
            JsonStep::Index(index) => value.get(index),
        })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl TryFrom<String> for JsonPath {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl From<JsonPath> for String {
    fn from(path: JsonPath) -> Self {
        path.text
    }
}

/// Whether a JSON value is what a check expects: a text equal to it, where two versions are equal with or without a leading
/// `v`; anything else equal to the expectation read as JSON.
pub fn same_value(actual: &Value, expected: &str) -> bool {
    let plain = |text: &'_ str| {
        let number = text.strip_prefix('v').filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        number.unwrap_or(text).to_owned()
    };
    match actual {
        Value::String(text) => {
            text == expected
                || plain(text) == plain(expected)
                || serde_json::from_str(expected).ok().as_ref() == Some(actual)
        }
        _ => serde_json::from_str::<Value>(expected).is_ok_and(|expected| same_json(actual, &expected)),
    }
}

/// Equal, and 1 equals 1.0.
fn same_json(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_json(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same_json(a, b)))
        }
        _ => a == b,
    }
}
