//! Who owns which field: read from `metadata.managedFields`. Pure.
//!
//! Invariant: a field of `spec` or `data` that neither a delivery nor a controller of the cluster set last is somebody else's. An
//! operation is somebody else, too: what it set stays until it is undone.

use serde_json::{Map, Value, json};

use crate::cluster::FieldConflict;
use crate::operate::OPERATE;
use crate::unit::value_at;
use crate::{Failure, Object, ObjectId};

/// What a failure is called that somebody else's change is the cause of: of an object that the release had written.
pub(crate) const HAND: &str = "somebody else changed the release while it went out";

/// The same, of an object that the release has not written yet.
pub(crate) const DRIFT: &str = "somebody else changed what the release is to change";

/// The managers of Tagline's own writes begin so.
const OWN: &str = "tagline";

/// Marks that Tagline sets among an object's annotations: none of the release's content, whoever of Tagline set them.
const MARKS: &str = ".annotations.tagline.dev/";

/// Managers that do what the objects ask for.
const CONTROLLERS: [&str; 3] = ["kube-controller-manager", "kube-scheduler", "kubelet"];

/// The fields that somebody else owns, by manager. The number of pods is left out: autoscalers and people move it in the
/// course of things.
pub(crate) fn foreign(object: &Object) -> Vec<FieldConflict> {
    let mut found = Vec::new();
    for entry in object.list("/metadata/managedFields") {
        if !is_foreign(entry) {
            continue;
        }
        let manager = entry["manager"].as_str().unwrap_or_default();
        for root in ["spec", "data", "stringData", "binaryData"] {
            if let Some(fields) = entry["fieldsV1"].get(format!("f:{root}")) {
                leaves(fields, &format!(".{root}"), &mut |field| {
                    found.push(FieldConflict { manager: manager.to_owned(), field });
                });
            }
        }
    }
    found.retain(|each| each.field != ".spec.replicas" && !each.field.contains(MARKS));
    found.sort();
    found.dedup();
    found
}

/// An entry of `managedFields` that people, other tools or an operation own.
fn is_foreign(entry: &Value) -> bool {
    let manager = entry["manager"].as_str().unwrap_or_default();
    let own = manager.starts_with(OWN) && manager != OPERATE;
    !own && !CONTROLLERS.contains(&manager) && entry["subresource"].as_str().is_none_or(str::is_empty)
}

/// The fields at the ends of a `fieldsV1` tree, as conflicts name them.
fn leaves(fields: &Value, path: &str, found: &mut impl FnMut(String)) {
    let children = fields.as_object().into_iter().flatten().filter(|(key, _)| *key != ".");
    let mut any = false;
    for (key, child) in children {
        any = true;
        let step = match key.split_once(':') {
            Some(("f", name)) => format!("{path}.{name}"),
            Some(("k", names)) => format!("{path}[{}]", keys(names)),
            Some(("v", value)) => format!("{path}[={value}]"),
            _ => format!("{path}[{}]", key.trim_start_matches("i:")),
        };
        leaves(child, &step, found);
    }
    if !any {
        found(path.to_owned());
    }
}

/// `{"name":"app"}` as `name="app"`.
fn keys(text: &str) -> String {
    let map: Map<String, Value> = serde_json::from_str(text).unwrap_or_default();
    map.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}

/// A field that somebody else set to another value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Drifted {
    /// Of which object.
    pub(crate) id: ObjectId,
    /// Who.
    pub(crate) manager: String,
    /// `drift: Deployment/a spec.template.spec.containers[name="app"].image changed by kubectl-set: a (the release has b)`
    pub(crate) line: String,
}

/// The drift of a live object. `released`: as the last release has it, where that is known; `wanted`: as the next one has it.
/// A field that either of them sets to the same value is no drift.
pub(crate) fn drift(live: &Object, released: Option<&Object>, wanted: Option<&Object>) -> Vec<Drifted> {
    let shown = |value: Option<&Value>| match value {
        _ if live.kind() == "Secret" => "(hidden)".to_owned(),
        None => "nothing".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    };
    let found = foreign(live).into_iter().filter_map(|each| {
        let now = value_at(live, &each.field);
        let of = |object: Option<&'_ Object>| object.and_then(|object| value_at(object, &each.field).cloned());
        let (then, next) = (of(released.or(wanted)), of(wanted));
        if now.is_some() && (now == then.as_ref() || now == next.as_ref()) {
            return None;
        }
        let (field, id) = (each.field.trim_start_matches('.'), live.id());
        let (now, then) = (shown(now), shown(then.as_ref()));
        let line = format!("drift: {id} {field} changed by {}: {now} (the release has {then})", each.manager);
        Some(Drifted { id, manager: each.manager, line })
    });
    found.collect()
}

/// The failure of a change that came in while a release went out; `was` is the object as the release left it.
pub(crate) fn intruder(now: &Object, was: &Object) -> Option<Failure> {
    let differs = |each: &FieldConflict| {
        let value = value_at(now, &each.field);
        value.is_none() || value != value_at(was, &each.field)
    };
    let new: Vec<FieldConflict> = foreign(now).into_iter().filter(differs).collect();
    let first = new.first()?;
    let field = first.field.trim_start_matches('.');
    let why = format!("{}: {field} was changed by {}", now.id(), first.manager);
    let evidence = new.iter().map(|each| format!("{} by {}", each.field, each.manager)).collect();
    let failure = Failure::new(HAND, why).next(format!("ask who ran {}; then run the release again", first.manager));
    Some(Failure { evidence, ..failure })
}

/// `managedFields` in which everything that people and other tools own is ours: what we then leave out of an apply goes
/// away. None where nobody else owns anything.
pub(crate) fn taken_over(object: &Object, manager: &str) -> Option<Value> {
    let entries = object.list("/metadata/managedFields");
    let ours = |entry: &Value| entry["manager"] == manager && entry["operation"] == "Apply";
    if !entries.iter().any(is_foreign) {
        return None;
    }
    let mut fields = Value::Object(Map::new());
    let mut kept = Vec::new();
    let mut version = Value::Null;
    for entry in entries {
        if is_foreign(entry) || ours(entry) {
            union(&mut fields, &entry["fieldsV1"]);
            version = entry["apiVersion"].clone();
        } else {
            kept.push(entry.clone());
        }
    }
    kept.push(json!({"manager": manager, "operation": "Apply", "apiVersion": version, "fieldsType": "FieldsV1",
        "fieldsV1": fields}));
    Some(Value::Array(kept))
}

fn union(into: &mut Value, from: &Value) {
    let (Some(into), Some(from)) = (into.as_object_mut(), from.as_object()) else { return };
    for (key, value) in from {
        let place = into.entry(key.clone()).or_insert_with(|| Value::Object(Map::new()));
        union(place, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(manager: &str, part: Option<&str>, image: &str) -> Object {
        let mut entry = json!({"manager": manager, "operation": "Update", "apiVersion": "apps/v1", "fieldsV1": {
            "f:metadata": {"f:labels": {"f:x": {}}},
            "f:spec": {"f:replicas": {}, "f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"app\"}": {".": {}, "f:image": {}}}}}}}});
        if let Some(part) = part {
            entry["subresource"] = json!(part);
        }
        Object(json!({"kind": "Deployment", "metadata": {"name": "a", "managedFields": [
            {"manager": "tagline", "operation": "Apply", "apiVersion": "apps/v1", "fieldsV1": {"f:spec": {"f:paused": {}}}}, entry]},
            "spec": {"template": {"spec": {"containers": [{"name": "app", "image": image}]}}}}))
    }

    #[test]
    fn drift_names_manager_field_and_both_values() {
        let (live, ours) = (object("kubectl-set", None, "bad"), object("kubectl-set", None, "good"));
        let found = drift(&live, Some(&ours), None);
        assert_eq!(found.len(), 1);
        assert_eq!(
            found[0].line,
            "drift: Deployment/a spec.template.spec.containers[name=\"app\"].image changed by kubectl-set: bad (the release has good)"
        );
        assert_eq!(drift(&live, Some(&live), None), [], "the same value");
        assert_eq!(drift(&live, Some(&ours), Some(&live)), [], "the next release has the same value");
        for (manager, part) in
            [("kube-controller-manager", None), ("kubectl", Some("scale")), ("tagline-traffic", None)]
        {
            assert_eq!(drift(&object(manager, part, "x"), None, None), [], "{manager}");
        }
    }

    #[test]
    fn what_an_operation_set_is_drift_and_its_marks_are_none() {
        let live = object(OPERATE, None, "x");
        let found = drift(&live, None, Some(&object("tagline", None, "good")));
        assert_eq!(found.iter().map(|each| each.manager.as_str()).collect::<Vec<_>>(), [OPERATE]);
        let mut restarted = live;
        let mark = json!({"f:template": {"f:metadata": {"f:annotations": {"f:tagline.dev/restarted-by": {}}}}});
        *restarted.0.pointer_mut("/metadata/managedFields/1/fieldsV1/f:spec").unwrap() = mark;
        assert_eq!(foreign(&restarted), []);
    }

    #[test]
    fn only_what_is_new_is_an_intruder() {
        let live = object("kubectl-set", None, "bad");
        assert!(intruder(&live, &live).is_none());
        let failure = intruder(&live, &object("tagline", None, "good")).unwrap();
        assert_eq!(
            failure.why,
            "Deployment/a: spec.template.spec.containers[name=\"app\"].image was changed by kubectl-set"
        );
    }

    #[test]
    fn what_others_own_is_taken_over_once() {
        let live = object("kubectl-client-side-apply", None, "x");
        let fields = taken_over(&live, "tagline").unwrap();
        let entries = fields.as_array().unwrap();
        assert_eq!(entries.len(), 1);
        assert!(entries[0]["fieldsV1"]["f:spec"]["f:paused"].is_object());
        assert!(entries[0]["fieldsV1"]["f:spec"]["f:template"].is_object());
        assert_eq!(taken_over(&object("kube-controller-manager", None, "x"), "tagline"), None);
    }
}
