//! A Kubernetes object as JSON, with the questions that delivery asks of it.
//!
//! No typed models: a rendered manifest is applied as it is, whatever fields this build knows of.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An object: rendered, planned, or read from a cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Object(pub Value);

/// What names an object in a cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectId {
    /// `apps/v1`.
    pub api_version: String,
    /// `Deployment`.
    pub kind: String,
    /// None for kinds that have none.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

impl ObjectId {
    /// A namespaced object.
    pub fn new(api_version: &str, kind: &str, namespace: &str, name: &str) -> Self {
        Self {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            namespace: Some(namespace.to_owned()),
            name: name.to_owned(),
        }
    }
}

impl Object {
    /// What names it.
    pub fn id(&self) -> ObjectId {
        ObjectId {
            api_version: self.api_version().to_owned(),
            kind: self.kind().to_owned(),
            namespace: self.namespace().map(str::to_owned),
            name: self.name().to_owned(),
        }
    }

    /// A text at a JSON pointer, or empty.
    pub fn text(&self, pointer: &str) -> &str {
        self.0.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    /// A whole number at a JSON pointer.
    pub fn number(&self, pointer: &str) -> Option<i64> {
        self.0.pointer(pointer).and_then(Value::as_i64)
    }

    /// A list at a JSON pointer, or empty.
    pub fn list(&self, pointer: &str) -> &[Value] {
        self.0.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
    }

    /// A map of texts at a JSON pointer, or empty; values that are no texts are left out.
    pub fn texts(&self, pointer: &str) -> BTreeMap<String, String> {
        let map = self.0.pointer(pointer).and_then(Value::as_object);
        let pairs = map.into_iter().flatten();
        pairs.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
    }

    /// `apiVersion`.
    pub fn api_version(&self) -> &str {
        self.text("/apiVersion")
    }

    /// `kind`.
    pub fn kind(&self) -> &str {
        self.text("/kind")
    }

    /// `metadata.name`.
    pub fn name(&self) -> &str {
        self.text("/metadata/name")
    }

    /// `metadata.namespace`.
    pub fn namespace(&self) -> Option<&str> {
        self.0.pointer("/metadata/namespace").and_then(Value::as_str)
    }

    /// `metadata.uid`, empty where it was not read from a cluster.
    pub fn uid(&self) -> &str {
        self.text("/metadata/uid")
    }

    /// `metadata.resourceVersion`, empty where it was not read from a cluster.
    pub fn resource_version(&self) -> &str {
        self.text("/metadata/resourceVersion")
    }

    /// `metadata.labels`.
    pub fn labels(&self) -> BTreeMap<String, String> {
        self.texts("/metadata/labels")
    }

    /// `metadata.annotations`.
    pub fn annotations(&self) -> BTreeMap<String, String> {
        self.texts("/metadata/annotations")
    }

    /// It is being deleted.
    pub fn is_terminating(&self) -> bool {
        self.0.pointer("/metadata/deletionTimestamp").is_some_and(|value| !value.is_null())
    }

    /// Where its pod template is, as a JSON pointer: `/spec/template` of a Deployment, `/spec/jobTemplate/spec/template` of a
    /// CronJob; a Pod is its own.
    pub fn template_pointer(&self) -> Option<&'static str> {
        match self.kind() {
            "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "Job" => Some("/spec/template"),
            "CronJob" => Some("/spec/jobTemplate/spec/template"),
            "Pod" => Some(""),
            _ => None,
        }
    }

    /// The labels its pods get.
    pub fn pod_labels(&self) -> BTreeMap<String, String> {
        let template = self.template_pointer().unwrap_or("/none");
        self.texts(&format!("{template}/metadata/labels"))
    }

    /// Sets a value, making the maps on the way. Pointers of keys only.
    pub fn set(&mut self, pointer: &str, value: Value) {
        let mut place = &mut self.0;
        for key in pointer.split('/').skip(1) {
            let key = key.replace("~1", "/").replace("~0", "~");
            if !place.is_object() {
                *place = Value::Object(serde_json::Map::new());
            }
            place = &mut place[&key];
        }
        *place = value;
    }

    /// Removes a value; nothing happens where there is none.
    pub fn remove(&mut self, pointer: &str) {
        let Some((parent, key)) = pointer.rsplit_once('/') else { return };
        let key = key.replace("~1", "/").replace("~0", "~");
        if let Some(Value::Object(map)) = self.0.pointer_mut(parent) {
            map.shift_remove(&key);
        }
    }
}

/// Whether labels match every pair of a selector. An empty selector matches nothing here: an empty Service selector selects
/// no pods, and nothing else may be done to everything.
pub fn selects(selector: &BTreeMap<String, String>, labels: &BTreeMap<String, String>) -> bool {
    !selector.is_empty() && selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_set_and_removed_where_there_were_none() {
        let mut object = Object(json!({"kind": "Deployment"}));
        object.set("/metadata/labels/tagline.dev~1release", json!("v1"));
        assert_eq!(object.labels(), BTreeMap::from([("tagline.dev/release".to_owned(), "v1".to_owned())]));
        object.remove("/metadata/labels/tagline.dev~1release");
        object.remove("/metadata/annotations/none");
        assert_eq!(object.labels(), BTreeMap::new());
    }

    #[test]
    fn an_empty_selector_selects_nothing() {
        let labels = BTreeMap::from([("app".to_owned(), "shop".to_owned())]);
        assert!(!selects(&BTreeMap::new(), &labels));
        assert!(selects(&labels, &labels));
    }
}
