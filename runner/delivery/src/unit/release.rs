//! What names a release.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::Object;

/// `v1-2-3-1a2b3c4d`: the version and the first 8 hex digits of the digest of the unit's rendered objects. A DNS label and a
/// label's value, at most 40 characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReleaseId(pub String);

/// Longest part of a version in a release's id.
const VERSION_PART: usize = 30;

impl ReleaseId {
    /// Of a version and the unit's rendered objects. The same objects in another order are another release: order is the
    /// order in which they are applied.
    pub fn of(version: &str, objects: &[Object]) -> Self {
        let mut hash = Sha256::new();
        for object in objects {
            hash.update(digest_of(object));
        }
        let digest = hex::encode(hash.finalize());
        Self(format!("v{}-{}", slug(version, VERSION_PART), &digest[..8]))
    }

    /// As a text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ReleaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The digest of an object: 64 hex digits. Keys' order does not matter.
pub fn digest_of(object: &Object) -> String {
    let mut sorted = object.0.clone();
    sorted.sort_all_objects();
    hex::encode(Sha256::digest(sorted.to_string()))
}

/// What of a text may stand in a DNS label, at most so long; `0` where nothing may.
pub fn slug(text: &str, longest: usize) -> String {
    let mut slug = String::new();
    for letter in text.chars().map(|letter| letter.to_ascii_lowercase()) {
        match letter {
            'a'..='z' | '0'..='9' => slug.push(letter),
            _ if slug.is_empty() || slug.ends_with('-') => {}
            _ => slug.push('-'),
        }
    }
    slug.truncate(longest);
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() { "0".to_owned() } else { slug.to_owned() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_release_is_named_by_version_and_content() {
        let object = |tag: &str| Object(json!({"kind": "Deployment", "spec": {"image": tag, "x": 1}}));
        let one = ReleaseId::of("1.2.3", &[object("a")]);
        assert!(one.as_str().starts_with("v1-2-3-") && one.as_str().len() == 15, "{one}");
        let same = Object(json!({"spec": {"x": 1, "image": "a"}, "kind": "Deployment"}));
        assert_eq!(ReleaseId::of("1.2.3", &[same]), one);
        assert_ne!(ReleaseId::of("1.2.3", &[object("b")]), one);
        assert_ne!(ReleaseId::of("1.2.4", &[object("a")]), one);
    }

    proptest! {
        #[test]
        fn a_slug_is_a_label(text in ".{0,80}") {
            let slug = slug(&text, 30);
            prop_assert!(!slug.is_empty() && slug.len() <= 30);
            prop_assert!(slug.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'));
            prop_assert!(!slug.starts_with('-') && !slug.ends_with('-'));
        }
    }
}
