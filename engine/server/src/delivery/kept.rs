//! Plans of deliveries in the content store, and the milestones that are the engine's own.

use std::sync::Arc;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tagline_plan::digest::canonical;
use tagline_store::Store;

use crate::services::{blocking, chain};

/// The engine's milestone before a delivery begins: which plan it follows.
pub(crate) use tagline_store::PLANNED;
/// The engine's milestone at its end: outputs, and what is to be removed later.
pub(crate) const DELIVERED: &str = "delivered";

/// A plan with what it was made from. Its digest covers all of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kept {
    /// The action, as written.
    pub(crate) uses: String,
    /// Its inputs, evaluated.
    pub(crate) with: IndexMap<String, String>,
    /// The deliverer's plan.
    pub(crate) plan: Value,
}

impl Kept {
    /// Stores it; the digest of its bytes.
    pub(crate) async fn put(&self, store: &Arc<Store>) -> Result<String, String> {
        let value = serde_json::to_value(self).map_err(|error| error.to_string())?;
        let store = store.clone();
        let put = move || store.blobs().put(canonical(&value).as_slice()).map_err(std::io::Error::other);
        blocking(put).await.map(|(digest, _)| digest)
    }

    /// Reads it back; its bytes are checked against the digest.
    pub(crate) async fn get(store: &Arc<Store>, digest: &str) -> Result<Self, String> {
        let (store, digest) = (store.clone(), digest.to_owned());
        let read = move || Self::read(&store, &digest);
        blocking(read).await
    }

    /// The same where waiting for a disk holds nobody up.
    pub(crate) fn read(store: &Store, digest: &str) -> std::io::Result<Self> {
        let mut bytes = Vec::new();
        store.blobs().copy_to(digest, &mut bytes).map_err(std::io::Error::other)?;
        serde_json::from_slice(&bytes)
            .map_err(|error| std::io::Error::other(format!("the plan cannot be read: {}", chain(&error))))
    }

    /// The first thing that is asked for now and was planned otherwise.
    pub(crate) fn difference(&self, uses: &str, with: &IndexMap<String, String>) -> Option<String> {
        if self.uses != uses {
            return Some(format!("the action is {uses}, planned was {}", self.uses));
        }
        let names = self.with.keys().chain(with.keys().filter(|name| !self.with.contains_key(*name)));
        let shown = |value: Option<&String>| value.map_or_else(|| "nothing".to_owned(), |value| format!("`{value}`"));
        for name in names {
            let (planned, now) = (self.with.get(name), with.get(name));
            if planned != now {
                return Some(format!("`{name}` is {} now, planned was {}", shown(now), shown(planned)));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_named() {
        let with = |pairs: &[(&str, &str)]| -> IndexMap<String, String> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let kept = Kept { uses: "a@v1".into(), with: with(&[("x", "1"), ("y", "2")]), plan: Value::Null };
        assert_eq!(kept.difference("a@v1", &with(&[("y", "2"), ("x", "1")])), None);
        let differs = |with: &IndexMap<String, String>| kept.difference("a@v1", with).unwrap();
        assert_eq!(differs(&with(&[("x", "1")])), "`y` is nothing now, planned was `2`");
        assert_eq!(differs(&with(&[("x", "1"), ("y", "2"), ("z", "")])), "`z` is `` now, planned was nothing");
        assert!(kept.difference("b@v1", &kept.with).unwrap().contains("planned was a@v1"));
    }
}
