//! The values of the expression language and how they turn into each other.
//!
//! A value is cheap to clone: strings, arrays and objects are shared. Arrays and objects are equal
//! to the language (`==`) only when they are the same one.

use super::number::{format_number, parse_number};
use super::object::Object;
use super::text::{cmp_ignore_case, eq_ignore_case};
use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::Arc;

/// A value. Rust's `==` compares structure; the language's is [`Value::loose_eq`].
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    /// `null`, and everything that is not there.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, NaN and infinities included.
    Number(f64),
    /// Text.
    String(Arc<str>),
    /// A list.
    Array(Array),
    /// Keys and values in order.
    Object(Arc<Object>),
}

/// A list of values. One that `.*` made is *filtered*: an index applies to each of its items.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    items: Arc<Vec<Value>>,
    filtered: bool,
}

impl Array {
    /// An ordinary array.
    pub fn new(items: Vec<Value>) -> Self {
        Self { items: Arc::new(items), filtered: false }
    }

    /// What `.*` and `[*]` give.
    pub(super) fn filtered(items: Vec<Value>) -> Self {
        Self { items: Arc::new(items), filtered: true }
    }

    /// The items in order.
    pub fn items(&self) -> &[Value] {
        &self.items
    }

    /// Whether an index applies to each item instead of the list.
    pub fn is_filtered(&self) -> bool {
        self.filtered
    }

    fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.items, &other.items)
    }
}

impl Value {
    /// A string value.
    pub fn string(text: impl Into<Arc<str>>) -> Self {
        Self::String(text.into())
    }

    /// An array of the items.
    pub fn array(items: Vec<Value>) -> Self {
        Self::Array(Array::new(items))
    }

    /// An object with case-insensitive keys; of keys that differ in case only, the first stays.
    pub fn object<K: Into<Arc<str>>>(entries: impl IntoIterator<Item = (K, Value)>) -> Self {
        entries.into_iter().collect::<Object>().into()
    }

    /// The property `key` of an object; null where there is none, or this is no object.
    pub fn get(&self, key: &str) -> Value {
        match self {
            Self::Object(object) => object.get(key).cloned().unwrap_or_default(),
            _ => Self::Null,
        }
    }

    /// The text of a string value.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The object of an object value.
    pub fn as_object(&self) -> Option<&Object> {
        match self {
            Self::Object(object) => Some(object),
            _ => None,
        }
    }

    /// The items of an array value.
    pub fn as_array(&self) -> Option<&[Value]> {
        match self {
            Self::Array(array) => Some(array.items()),
            _ => None,
        }
    }

    /// The name of the value's type, as GitHub writes it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "Null",
            Self::Bool(_) => "Boolean",
            Self::Number(_) => "Number",
            Self::String(_) => "String",
            Self::Array(_) => "Array",
            Self::Object(_) => "Object",
        }
    }

    /// Whether the value is neither an array nor an object.
    pub(super) fn is_primitive(&self) -> bool {
        !matches!(self, Self::Array(_) | Self::Object(_))
    }

    /// Whether a condition holds: all but null, false, 0, NaN and the empty string.
    pub fn is_truthy(&self) -> bool {
        match self {
            Self::Null => false,
            Self::Bool(value) => *value,
            Self::Number(number) => *number != 0.0 && !number.is_nan(),
            Self::String(text) => !text.is_empty(),
            Self::Array(_) | Self::Object(_) => true,
        }
    }

    /// The value as text: null is empty, an array is `Array` and an object `Object`.
    pub fn to_text(&self) -> Cow<'_, str> {
        match self {
            Self::Null => Cow::Borrowed(""),
            Self::Bool(true) => Cow::Borrowed("true"),
            Self::Bool(false) => Cow::Borrowed("false"),
            Self::Number(number) => Cow::Owned(format_number(*number)),
            Self::String(text) => Cow::Borrowed(text),
            Self::Array(_) | Self::Object(_) => Cow::Borrowed(self.kind()),
        }
    }

    /// The value as a number: null is 0, true is 1, a string is parsed, the rest is NaN.
    pub fn to_number(&self) -> f64 {
        match self {
            Self::Null => 0.0,
            Self::Bool(value) => f64::from(u8::from(*value)),
            Self::Number(number) => *number,
            Self::String(text) => parse_number(text),
            Self::Array(_) | Self::Object(_) => f64::NAN,
        }
    }

    /// The language's `==`: strings without case, mixed types as numbers, collections by identity.
    pub fn loose_eq(&self, other: &Value) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(left), Self::Bool(right)) => left == right,
            (Self::String(left), Self::String(right)) => eq_ignore_case(left, right),
            (Self::Array(left), Self::Array(right)) => left.same(right),
            (Self::Object(left), Self::Object(right)) => Arc::ptr_eq(left, right),
            (left, right) if left.is_primitive() && right.is_primitive() => left.to_number() == right.to_number(),
            _ => false,
        }
    }

    /// The language's order; none between values that do not compare (NaN, collections).
    pub(super) fn loose_cmp(&self, other: &Value) -> Option<Ordering> {
        match (self, other) {
            // Null equals null (`<=` holds by `==`), but has no order with itself.
            (Self::Null, Self::Null) => None,
            (Self::Bool(left), Self::Bool(right)) => Some(left.cmp(right)),
            (Self::String(left), Self::String(right)) => Some(cmp_ignore_case(left, right)),
            (left, right) if left.is_primitive() && right.is_primitive() => {
                left.to_number().partial_cmp(&right.to_number())
            }
            _ => None,
        }
    }
}

impl From<Object> for Value {
    fn from(object: Object) -> Self {
        Self::Object(Arc::new(object))
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::string(text)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::string(text)
    }
}

#[cfg(test)]
mod tests {
    use super::Value;

    #[test]
    fn collections_equal_themselves_only() {
        let list = Value::array(vec![]);
        assert!(list.loose_eq(&list.clone()));
        assert!(!list.loose_eq(&Value::array(vec![])));
        assert!(!list.loose_eq(&"Array".into()));
        let object = Value::object([("a", Value::Null)]);
        assert!(object.loose_eq(&object.clone()));
        assert!(!object.loose_eq(&Value::Null));
    }

    #[test]
    fn mixed_types_compare_as_numbers() {
        assert!(Value::Null.loose_eq(&"".into()));
        assert!(Value::Bool(true).loose_eq(&" 1.0 ".into()));
        assert!(!Value::Bool(true).loose_eq(&"true".into()));
        assert!(!Value::Number(f64::NAN).loose_eq(&Value::Number(f64::NAN)));
    }
}
