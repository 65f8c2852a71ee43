//! The operations in force: what each changed comes back when it is undone.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::Object;
use crate::operate::{Note, Place};

/// One operation in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OperationStatus {
    /// `scale Deployment/shop`.
    pub what: String,
    /// Since when, RFC 3339.
    pub since: String,
    /// When it ends by itself, RFC 3339; None: when somebody undoes it.
    pub until: Option<String>,
    /// Why, and which run did it.
    pub facts: BTreeMap<String, String>,
}

pub(super) fn operation((note, there): &(Note, Object)) -> OperationStatus {
    OperationStatus {
        what: note.what.clone(),
        since: there.text("/metadata/creationTimestamp").to_owned(),
        until: note.due.map(|due| due.to_string()),
        facts: note.facts.clone(),
    }
}

/// The operation by which this workload has no pods.
pub(super) fn stopped_by<'n>(workload: &Object, notes: &'n [(Note, Object)]) -> Option<&'n Note> {
    let replicas = Place::At("/spec/replicas".to_owned());
    let none = workload.number("/spec/replicas") == Some(0);
    let mut notes = notes.iter().map(|(note, _)| note).filter(|_| none);
    notes.find(|note| {
        let own = note.before.iter().filter(|change| change.uid == workload.uid());
        let some = |value: &Option<Value>| value.as_ref().and_then(Value::as_i64) != Some(0);
        own.flat_map(|change| &change.fields).any(|field| field.place == replicas && some(&field.value))
    })
}
