//! What differs between two states of an object, field by field.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Object;

/// One field that differs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// `spec.template.spec.containers[app].image`
    pub field: String,
    /// What it was; None where it was not there.
    pub before: Option<String>,
    /// What it becomes; None where it goes.
    pub after: Option<String>,
}

/// What happens to one object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChangeSet {
    /// `Deployment/shop`
    pub object: String,
    /// It is made anew.
    pub created: bool,
    /// What differs, in the order of fields.
    pub changes: Vec<Change>,
}

/// Longest value that is shown.
const LONGEST: usize = 100;

/// What differs from `before` in `after`. Values of Secrets are hidden; so are those of lists that have no keys, beyond their
/// length.
pub fn changes(before: Option<&Object>, after: &Object) -> ChangeSet {
    let object = after.id().to_string();
    let Some(before) = before else { return ChangeSet { object, created: true, changes: Vec::new() } };
    let mut changes = Vec::new();
    compare(&mut String::new(), Some(&before.0), Some(&after.0), &mut changes);
    if after.kind() == "Secret" {
        for change in changes.iter_mut().filter(|change| change.field.to_lowercase().contains("data")) {
            change.before = change.before.as_ref().map(|_| "(hidden)".to_owned());
            change.after = change.after.as_ref().map(|_| "(hidden)".to_owned());
        }
    }
    ChangeSet { object, created: false, changes }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let none = "(none)";
        let before = self.before.as_deref().unwrap_or(none);
        write!(f, "{}: {before} → {}", self.field, self.after.as_deref().unwrap_or(none))
    }
}

fn compare(path: &mut String, before: Option<&Value>, after: Option<&Value>, found: &mut Vec<Change>) {
    if before == after {
        return;
    }
    match (before, after) {
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            let mut keys: Vec<&String> = old.keys().chain(new.keys()).collect();
            keys.sort();
            keys.dedup();
            for key in keys {
                let length = path.len();
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(key);
                compare(path, old.get(key), new.get(key), found);
                path.truncate(length);
            }
        }
        (Some(Value::Array(old)), Some(Value::Array(new))) if keyed(old) && keyed(new) => {
            let mut names: Vec<&str> = old.iter().chain(new).filter_map(item_key).collect();
            names.sort_unstable();
            names.dedup();
            for name in names {
                let length = path.len();
                path.extend(["[", name, "]"]);
                let item = |list: &'_ [Value]| list.iter().position(|item| item_key(item) == Some(name));
                compare(path, item(old).map(|at| &old[at]), item(new).map(|at| &new[at]), found);
                path.truncate(length);
            }
        }
        _ => found.push(Change { field: path.clone(), before: before.map(shown), after: after.map(shown) }),
    }
}

/// What names an item of a list of the API: `name`, or a mount's path.
fn item_key(item: &Value) -> Option<&str> {
    ["name", "mountPath"].into_iter().find_map(|key| item.get(key)?.as_str())
}

fn keyed(list: &[Value]) -> bool {
    let mut names: Vec<_> = list.iter().map(item_key).collect();
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    names.len() == count && names.iter().all(Option::is_some)
}

fn shown(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

/// The value at a field as server-side apply names it: `.spec.template.spec.containers[name="app"].image`.
pub fn value_at<'a>(object: &'a Object, field: &str) -> Option<&'a Value> {
    let mut place = &object.0;
    let mut rest = field;
    while !rest.is_empty() {
        if let Some(key) = rest.strip_prefix('[') {
            let end = key.find(']')?;
            place = item(place.as_array()?, &key[..end])?;
            rest = &key[end + 1..];
        } else {
            rest = rest.strip_prefix('.').unwrap_or(rest);
            // A key may hold points (`tagline.dev/release`): the longest that is there wins.
            let map = place.as_object()?;
            let fits = |key: &&String| {
                rest.strip_prefix(key.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
            };
            let key = map.keys().filter(fits).max_by_key(|key| key.len())?;
            place = &map[key];
            rest = &rest[key.len()..];
        }
    }
    Some(place)
}

/// `name="app"`, `containerPort=8080,protocol="TCP"`, `0`.
fn item<'a>(list: &'a [Value], key: &str) -> Option<&'a Value> {
    if let Ok(number) = key.parse::<usize>() {
        return list.get(number);
    }
    list.iter().find(|item| {
        key.split(',').all(|pair| {
            let Some((name, value)) = pair.split_once('=') else { return false };
            serde_json::from_str::<Value>(value).is_ok_and(|value| item.get(name) == Some(&value))
        })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn changes_name_the_container_and_both_values() {
        let of = |image: &str, env: Value| {
            Object(json!({"kind": "Deployment", "metadata": {"name": "a"},
            "spec": {"containers": [{"name": "side"}, {"name": "app", "image": image, "env": env}]}}))
        };
        let before = of("a", json!([{"name": "A", "value": "1"}]));
        let set = changes(Some(&before), &of("b", json!([{"name": "B", "value": "2"}])));
        let lines: Vec<_> = set.changes.iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "spec.containers[app].env[A]: {\"name\":\"A\",\"value\":\"1\"} → (none)",
                "spec.containers[app].env[B]: (none) → {\"name\":\"B\",\"value\":\"2\"}",
                "spec.containers[app].image: a → b"
            ]
        );
    }

    #[test]
    fn a_secret_s_values_are_hidden() {
        let of = |value| Object(json!({"kind": "Secret", "metadata": {"name": "s"}, "data": {"key": value}}));
        let set = changes(Some(&of("b2xk")), &of("bmV3"));
        assert_eq!(set.changes[0].to_string(), "data.key: (hidden) → (hidden)");
    }

    #[test]
    fn a_field_is_found_as_server_side_apply_names_it() {
        let object = Object(json!({"metadata": {"labels": {"tagline.dev/release": "r"}},
            "spec": {"containers": [{"name": "a", "image": "x", "ports": [{"containerPort": 80, "protocol": "TCP", "name": "h"}]}]}}));
        for (field, expected) in [
            (".spec.containers[name=\"a\"].image", Some(json!("x"))),
            (".spec.containers[name=\"a\"].ports[containerPort=80,protocol=\"TCP\"].name", Some(json!("h"))),
            (".metadata.labels.tagline.dev/release", Some(json!("r"))),
            (".spec.containers[name=\"b\"].image", None),
            (".spec.none", None),
        ] {
            assert_eq!(value_at(&object, field), expected.as_ref(), "{field}");
        }
    }

    proptest! {
        #[test]
        fn no_field_panics(field in ".{0,40}") {
            let _ = value_at(&Object(json!({"a": [{"b": 1}]})), &field);
        }
    }
}
