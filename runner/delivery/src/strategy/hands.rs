//! Who owns which field: read from `metadata.managedFields`. Pure.
//!
//! Invariant: a field of `spec` or `data` that neither Tagline nor a controller of the cluster set last is somebody else's.

use serde_json::{Map, Value, json};

use crate::cluster::FieldConflict;
use crate::unit::value_at;
use crate::{Failure, Object};

/// What a failure is called that somebody else's change is the cause of.
pub(crate) const HAND: &str = "somebody else changed the release while it went out";

/// The managers of Tagline's own writes begin so.
const OWN: &str = "tagline";

/// Managers that do what the objects ask for.
const CONTROLLERS: [&str; 3] = ["kube-controller-manager", "kube-scheduler", "kubelet"];

/// The fields that somebody else owns, by manager. The number of pods is left out: autoscalers and people move it in the
/// course of things.
pub(crate) fn foreign(object: &Object) -> Vec<FieldConflict> {
    let mut found = Vec::new();
    for entry in object.list("/metadata/managedFields") {
        let manager = entry["manager"].as_str().unwrap_or_default();
        let part = entry["subresource"].as_str().unwrap_or_default();
        if manager.starts_with(OWN) || CONTROLLERS.contains(&manager) || !part.is_empty() {
            continue;
        }
        for root in ["spec", "data", "stringData", "binaryData"] {
            if let Some(fields) = entry["fieldsV1"].get(format!("f:{root}")) {
                leaves(fields, &format!(".{root}"), &mut |field| {
                    found.push(FieldConflict { manager: manager.to_owned(), field });
                });
            }
        }
    }
    found.retain(|each| each.field != ".spec.replicas");
    found.sort();
    found.dedup();
    found
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

/// Drift, one line a field: `drift: spec.template.spec.containers[name="app"].image changed by kubectl-set: a (the release
/// has b)`. `ours` is the object as the release has it; a field that somebody else set to the same value is no drift.
pub(crate) fn drift(live: &Object, ours: Option<&Object>) -> Vec<String> {
    let shown = |value: Option<&Value>| match value {
        _ if live.kind() == "Secret" => "(hidden)".to_owned(),
        None => "nothing".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    };
    let lines = foreign(live).into_iter().filter_map(|each| {
        let now = value_at(live, &each.field);
        let then = ours.and_then(|ours| value_at(ours, &each.field));
        let (field, id) = (each.field.trim_start_matches('.'), live.id());
        let differs = now.is_none() || now != then;
        let (now, then) = (shown(now), shown(then));
        differs.then(|| format!("drift: {id} {field} changed by {}: {now} (the release has {then})", each.manager))
    });
    lines.collect()
}

/// The failure of a change that came in while a release went out; `before` are the foreign fields of the time before.
pub(crate) fn intruder(now: &Object, before: &[FieldConflict]) -> Option<Failure> {
    let new: Vec<FieldConflict> = foreign(now).into_iter().filter(|each| !before.contains(each)).collect();
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
    let theirs = |entry: &Value| {
        let name = entry["manager"].as_str().unwrap_or_default();
        !name.starts_with(OWN)
            && !CONTROLLERS.contains(&name)
            && entry["subresource"].as_str().is_none_or(str::is_empty)
    };
    let ours = |entry: &Value| entry["manager"] == manager && entry["operation"] == "Apply";
    if !entries.iter().any(theirs) {
        return None;
    }
    let mut fields = Value::Object(Map::new());
    let mut kept = Vec::new();
    let mut version = Value::Null;
    for entry in entries {
        if theirs(entry) || ours(entry) {
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
        assert_eq!(
            drift(&live, Some(&ours)),
            [
                "drift: Deployment/a spec.template.spec.containers[name=\"app\"].image changed by kubectl-set: bad (the release has good)"
            ]
        );
        assert_eq!(drift(&live, Some(&live)), [""; 0], "the same value");
        assert!(drift(&object("kube-controller-manager", None, "x"), None).is_empty());
        assert!(drift(&object("kubectl", Some("scale"), "x"), None).is_empty());
        assert!(drift(&object("tagline-operate", None, "x"), None).is_empty());
    }

    #[test]
    fn only_what_is_new_is_an_intruder() {
        let live = object("kubectl-set", None, "bad");
        assert!(intruder(&live, &foreign(&live)).is_none());
        let failure = intruder(&live, &[]).unwrap();
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
