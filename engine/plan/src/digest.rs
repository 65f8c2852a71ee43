//! Digests: SHA-256 over canonical JSON.
//!
//! Canonical here: no white space, object keys sorted by their bytes, strings and numbers as `serde_json` writes them.
//! Two values that compare equal have the same bytes, so a digest computed on another machine agrees.

use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// The canonical bytes of a value.
pub fn canonical(value: &Value) -> Vec<u8> {
    serde_json::to_vec(&sorted(value)).expect("a JSON value with string keys always serialises")
}

/// `sha256:` and 64 hex digits of the canonical bytes.
///
/// # Panics
/// Never for the plain data types of this crate: they all serialise to JSON.
pub fn digest_of<T: Serialize>(value: &T) -> String {
    let value = serde_json::to_value(value).expect("plain data always serialises");
    digest_bytes(&canonical(&value))
}

/// `sha256:` and 64 hex digits of some bytes.
pub fn digest_bytes(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// The first twelve hex digits: how people read a digest.
pub fn short(digest: &str) -> &str {
    let hex = digest.strip_prefix("sha256:").unwrap_or(digest);
    hex.get(..12).unwrap_or(hex)
}

/// Whether what a person typed names this digest: all of it, or at least 12 of its hex digits from the start.
pub fn names(typed: &str, digest: &str) -> bool {
    let typed = typed.strip_prefix("sha256:").unwrap_or(typed).to_ascii_lowercase();
    let hex = digest.strip_prefix("sha256:").unwrap_or(digest);
    typed.len() >= 12 && hex.starts_with(&typed)
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by(|a, b| a.0.as_bytes().cmp(b.0.as_bytes()));
            Value::Object(entries.into_iter().map(|(k, v)| (k.clone(), sorted(v))).collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn key_order_does_not_matter_but_list_order_does() {
        let a = json!({"b": 1, "a": {"d": [1, 2], "c": null}});
        let b = json!({"a": {"c": null, "d": [1, 2]}, "b": 1});
        assert_eq!(digest_of(&a), digest_of(&b));
        assert_ne!(digest_of(&a), digest_of(&json!({"a": {"c": null, "d": [2, 1]}, "b": 1})));
    }

    #[test]
    fn the_format_is_pinned() {
        assert_eq!(canonical(&json!({"z": "é\n", "a": [true, 1.5]})), "{\"a\":[true,1.5],\"z\":\"é\\n\"}".as_bytes());
    }

    #[test]
    fn a_prefix_of_twelve_names_a_digest() {
        let digest = digest_bytes(b"x");
        assert!(names(short(&digest), &digest));
        assert!(names(&digest, &digest));
        assert!(!names(&short(&digest)[..11], &digest));
        assert!(!names("000000000000", &digest));
    }
}
