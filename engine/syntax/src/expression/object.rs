//! Objects: keys in order, looked up without case unless the object says otherwise.

use super::text::fold;
use super::value::Value;
use indexmap::IndexMap;
use std::borrow::Cow;
use std::sync::Arc;

/// An ordered map. Keys differing in case only are one key, except in a case-sensitive object (the `env` context).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Object {
    /// By folded key (the key itself where case counts): the key as written, and its value.
    entries: IndexMap<Box<str>, (Arc<str>, Value)>,
    case_sensitive: bool,
}

impl Object {
    /// An empty object with case-insensitive keys.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty object whose keys are told apart by case, as environment variables are.
    pub fn case_sensitive() -> Self {
        Self { case_sensitive: true, ..Self::default() }
    }

    fn lookup<'k>(&self, key: &'k str) -> Cow<'k, str> {
        if self.case_sensitive { Cow::Borrowed(key) } else { Cow::Owned(fold(key)) }
    }

    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.entries.get(self.lookup(key).as_ref()).map(|(_, value)| value)
    }

    /// Sets `key`. A key that is there keeps its place and its spelling.
    pub fn insert(&mut self, key: impl Into<Arc<str>>, value: Value) {
        let key = key.into();
        let lookup = self.lookup(&key).into();
        match self.entries.get_mut::<Box<str>>(&lookup) {
            Some((_, old)) => *old = value,
            None => {
                self.entries.insert(lookup, (key, value));
            }
        }
    }

    /// Adds what a document says: of equal keys the last counts, of keys that differ in case the first.
    pub(super) fn insert_parsed(&mut self, key: Arc<str>, value: Value) {
        let lookup: Box<str> = self.lookup(&key).into();
        match self.entries.get_mut(&lookup) {
            Some((written, old)) if **written == *key => *old = value,
            Some(_) => {}
            None => {
                self.entries.insert(lookup, (key, value));
            }
        }
    }

    /// Keys as written, and values, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> {
        self.entries.values().map(|(key, value)| (key.as_ref(), value))
    }

    /// The values in order.
    pub fn values(&self) -> impl ExactSizeIterator<Item = &Value> {
        self.entries.values().map(|(_, value)| value)
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl<K: Into<Arc<str>>> FromIterator<(K, Value)> for Object {
    fn from_iter<I: IntoIterator<Item = (K, Value)>>(entries: I) -> Self {
        let mut object = Self::new();
        for (key, value) in entries {
            object.insert_parsed(key.into(), value);
        }
        object
    }
}

#[cfg(test)]
mod tests {
    use super::Object;
    use crate::expression::Value;

    #[test]
    fn case_counts_only_where_asked() {
        let mut plain = Object::new();
        plain.insert("Key", Value::from("a"));
        plain.insert("KEY", Value::from("b"));
        assert_eq!(plain.get("key"), Some(&Value::from("b")));
        assert_eq!(plain.iter().next().map(|(key, _)| key), Some("Key"));

        let mut env = Object::case_sensitive();
        env.insert("Key", Value::from("a"));
        env.insert("KEY", Value::from("b"));
        assert_eq!(env.len(), 2);
        assert_eq!(env.get("key"), None);
        assert_eq!(env.get("KEY"), Some(&Value::from("b")));
    }
}
