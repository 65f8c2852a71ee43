//! Values from JSON and to JSON.
//!
//! Text is read straight into values, so that a large `fromJSON` is held once.

use super::number::format_number;
use super::object::Object;
use super::value::{Array, Value};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value as Json;
use std::fmt;
use std::sync::Arc;

impl Value {
    /// The value a JSON value stands for; objects get case-insensitive keys.
    pub fn from_json(json: &Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Bool(*value),
            Json::Number(number) => Self::Number(number.as_f64().unwrap_or(f64::NAN)),
            Json::String(text) => Self::string(text.as_str()),
            Json::Array(items) => Self::array(items.iter().map(Self::from_json).collect()),
            Json::Object(map) => Self::object(map.iter().map(|(key, value)| (key.as_str(), Self::from_json(value)))),
        }
    }

    /// The value as JSON. What JSON has no number for is `{"$num": "NaN"}` and the like;
    /// whole numbers have no fraction.
    pub fn to_json(&self) -> Json {
        match self {
            Self::Null => Json::Null,
            Self::Bool(value) => Json::Bool(*value),
            Self::Number(number) => number_to_json(*number),
            Self::String(text) => Json::String(text.to_string()),
            Self::Array(array) => Json::Array(array.items().iter().map(Self::to_json).collect()),
            Self::Object(object) => {
                let entries = object.iter();
                Json::Object(entries.map(|(key, value)| (key.to_owned(), value.to_json())).collect())
            }
        }
    }
}

/// Integers up to this size are exact in an `f64`.
const EXACT: f64 = 9_007_199_254_740_992.0;

fn number_to_json(number: f64) -> Json {
    if number.fract() == 0.0 && number.abs() <= EXACT {
        #[expect(clippy::cast_possible_truncation, reason = "whole and within 2^53")]
        return Json::from(number as i64);
    }
    match serde_json::Number::from_f64(number) {
        Some(number) => Json::Number(number),
        None => serde_json::json!({ "$num": format_number(number) }),
    }
}

/// What `toJSON` prints: two spaces of indent, keys in order, `[]` and `{}` where empty.
/// `None` once the text grows past `limit` bytes.
pub(super) fn pretty(value: &Value, limit: usize) -> Option<String> {
    let mut out = String::new();
    write_pretty(&mut out, value, 0, limit).then_some(out)
}

fn write_pretty(out: &mut String, value: &Value, depth: usize, limit: usize) -> bool {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(_) | Value::Number(_) => out.push_str(&value.to_text()),
        Value::String(text) => write_string(out, text),
        Value::Array(array) => return write_array(out, array, depth, limit),
        Value::Object(object) => return write_object(out, object, depth, limit),
    }
    out.len() <= limit
}

fn write_array(out: &mut String, array: &Array, depth: usize, limit: usize) -> bool {
    if array.items().is_empty() {
        out.push_str("[]");
        return out.len() <= limit;
    }
    for (index, item) in array.items().iter().enumerate() {
        out.push_str(if index == 0 { "[\n" } else { ",\n" });
        indent(out, depth + 1);
        if !write_pretty(out, item, depth + 1, limit) {
            return false;
        }
    }
    close(out, depth, ']');
    out.len() <= limit
}

fn write_object(out: &mut String, object: &Object, depth: usize, limit: usize) -> bool {
    if object.is_empty() {
        out.push_str("{}");
        return out.len() <= limit;
    }
    for (index, (key, item)) in object.iter().enumerate() {
        out.push_str(if index == 0 { "{\n" } else { ",\n" });
        indent(out, depth + 1);
        write_string(out, key);
        out.push_str(": ");
        if !write_pretty(out, item, depth + 1, limit) {
            return false;
        }
    }
    close(out, depth, '}');
    out.len() <= limit
}

fn write_string(out: &mut String, text: &str) {
    out.push_str(&Json::from(text).to_string());
}

fn indent(out: &mut String, depth: usize) {
    out.extend(std::iter::repeat_n("  ", depth));
}

fn close(out: &mut String, depth: usize, bracket: char) {
    out.push('\n');
    indent(out, depth);
    out.push(bracket);
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    #[expect(clippy::cast_precision_loss, reason = "the language has no other number than f64")]
    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Number(number as f64))
    }

    #[expect(clippy::cast_precision_loss, reason = "the language has no other number than f64")]
    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Number(number as f64))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Number(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::string(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Value::array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut object = Object::new();
        while let Some((key, value)) = map.next_entry::<String, Value>()? {
            object.insert_parsed(Arc::from(key), value);
        }
        Ok(object.into())
    }
}

#[cfg(test)]
mod tests {
    use super::{Value, pretty};

    #[test]
    fn json_prints_as_to_json_does() {
        let value: Value = serde_json::from_str(r#"{"b":[1,[],{}],"a":"x\"\n","n":1.5}"#).unwrap();
        let text = "{\n  \"b\": [\n    1,\n    [],\n    {}\n  ],\n  \"a\": \"x\\\"\\n\",\n  \"n\": 1.5\n}";
        assert_eq!(pretty(&value, 1000).as_deref(), Some(text));
        assert_eq!(pretty(&value, 10), None);
    }

    #[test]
    fn numbers_json_lacks_are_marked() {
        let json = Value::array(vec![f64::NAN.into(), f64::NEG_INFINITY.into(), 2.0.into(), 0.5.into()]).to_json();
        assert_eq!(json.to_string(), r#"[{"$num":"NaN"},{"$num":"-Infinity"},2,0.5]"#);
    }

    #[test]
    fn the_last_of_equal_keys_counts_and_the_first_of_spellings() {
        let value: Value = serde_json::from_str(r#"{"a":1,"a":2,"A":3}"#).unwrap();
        assert_eq!(value.to_json().to_string(), r#"{"a":2}"#);
    }

    #[test]
    fn nesting_is_bounded() {
        let deep = "[".repeat(100_000);
        assert!(serde_json::from_str::<Value>(&deep).is_err());
    }
}
