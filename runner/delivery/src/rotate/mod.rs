//! `tagline/rotate-secret`: new credentials without a moment in which neither works.
//!
//! Invariants:
//! - The new Secret has all keys that any workload reads, and is there before anything refers to it; the old one stays until
//!   nobody refers to it and its time is over.
//! - A Secret is in force, and known as that to releases and later rotations, when its values were seen to work everywhere,
//!   and not before.
//! - Nobody is sent to the new values before they were logged in with; what does not come up goes back to the old values,
//!   which work all the time, also where it was cancelled.
//! - No value is in a plan, a milestone or a log.

mod apply;
mod back;
mod new;
mod plan;
mod readers;

pub use apply::apply;
pub(crate) use new::values;
pub use plan::{RotatePlan, plan};
pub(crate) use readers::{readers_of, refer};

use std::collections::BTreeMap;

use crate::Object;

/// Label of a Secret that was made to stand for another: that one's name in the manifests.
pub const ROTATES: &str = "tagline.dev/rotates";
/// Label: the rotation that made it.
pub(crate) const ROTATION: &str = "tagline.dev/rotation";
/// Annotation: since when it is in force. Without it, it is one that a rotation has not come to the end with.
pub(crate) const ROTATED: &str = "tagline.dev/rotated-at";

/// The keys of a Secret, as rendered or as read.
fn keys(secret: &Object) -> Vec<String> {
    let maps = ["data", "stringData"].map(|map| secret.0[map].as_object());
    maps.into_iter().flatten().flat_map(|map| map.keys().cloned()).collect()
}

/// By its name in the manifests: the Secret that stands for it now. What a release refers to is to be rewritten by this.
pub fn current(secrets: &[Object]) -> BTreeMap<String, String> {
    let mut newest: BTreeMap<String, (String, String)> = BTreeMap::new();
    for secret in secrets.iter().filter(|secret| !secret.is_terminating()) {
        let (Some(base), Some(since)) = (secret.labels().remove(ROTATES), secret.annotations().remove(ROTATED)) else {
            continue;
        };
        let entry = newest.entry(base).or_default();
        if since > entry.0 {
            *entry = (since, secret.name().to_owned());
        }
    }
    newest.into_iter().map(|(base, (_, name))| (base, name)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_has_not_come_to_its_end_is_not_in_force() {
        let secret = |name: &str, since: Option<&str>| {
            let annotations = since.map(|since| json!({ROTATED: since}));
            Object(
                json!({"kind": "Secret", "metadata": {"name": name, "labels": {ROTATES: "db"}, "annotations": annotations}}),
            )
        };
        let (first, second) = (secret("db-1", Some("2026-01-01T00:00:00Z")), secret("db-2", None));
        let db = |secrets: &[Object]| current(secrets).remove("db");
        assert_eq!(db(&[second.clone(), first.clone()]).as_deref(), Some("db-1"));
        assert_eq!(db(&[second]), None);
        assert_eq!(db(&[secret("db-3", Some("2026-04-01T00:00:00Z")), first]).as_deref(), Some("db-3"));
    }
}
