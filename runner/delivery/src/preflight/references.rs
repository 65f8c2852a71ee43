//! The ConfigMaps and Secrets that pods cannot start without: there, and with the keys that they name.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Problem;
use crate::cluster::{Cluster, ClusterError};
use crate::{Object, ObjectId};

/// Kind and name, with the keys that are asked for and who asks.
type Wanted = BTreeMap<(&'static str, String), (BTreeSet<String>, String)>;

/// What is missing in the namespace. What the objects bring themselves is not looked for, nor what may not be looked at.
pub(super) async fn problems(cluster: &Cluster, objects: &[Object]) -> Result<Vec<Problem>, ClusterError> {
    let mut problems = Vec::new();
    for ((kind, name), (keys, who)) in wanted(objects) {
        let own = objects.iter().find(|object| object.kind() == kind && object.name() == name).cloned();
        if own.is_none() && objects.iter().any(|object| makes(object, kind, &name)) {
            continue;
        }
        let id = ObjectId {
            api_version: "v1".to_owned(),
            kind: kind.to_owned(),
            namespace: Some(cluster.namespace().to_owned()),
            name,
        };
        let found = match own {
            Some(own) => Some(own),
            None => match cluster.get(&id).await {
                Err(ClusterError::Forbidden { .. }) => continue,
                found => found?,
            },
        };
        problems.extend(missing(found.as_ref(), &id, &keys, &who));
    }
    Ok(problems)
}

/// What is wrong with one of them.
fn missing(found: Option<&Object>, id: &ObjectId, keys: &BTreeSet<String>, who: &str) -> Option<Problem> {
    let namespace = id.namespace.as_deref().unwrap_or_default();
    let Some(found) = found else {
        let next = format!("make it in namespace {namespace}, or correct the reference in the manifests");
        return Some(Problem::new(format!("{id} does not exist, and {who} reads it"), next));
    };
    let has =
        |key: &&String| ["data", "binaryData", "stringData"].iter().any(|part| !found.0[part][key.as_str()].is_null());
    let lacks: Vec<String> = keys.iter().filter(|key| !has(key)).map(|key| format!("`{key}`")).collect();
    (!lacks.is_empty()).then(|| {
        let (word, list) = (if lacks.len() == 1 { "key" } else { "keys" }, lacks.join(", "));
        Problem::new(
            format!("{id} lacks the {word} {list} that {who} reads"),
            "add it, or correct the reference in the manifests",
        )
    })
}

/// Whether a controller makes it from an object: `SealedSecret`, `ExternalSecret`, cert-manager's `Certificate`.
fn makes(object: &Object, kind: &str, name: &str) -> bool {
    let made = match object.kind() {
        "SealedSecret" => vec![object.name(), object.text("/spec/template/metadata/name")],
        "ExternalSecret" => vec![object.name(), object.text("/spec/target/name")],
        "Certificate" => vec![object.text("/spec/secretName")],
        _ => return false,
    };
    kind == "Secret" && made.contains(&name)
}

/// Everything that pods cannot start without. Templates that nobody starts by themselves (suspended CronJobs) want nothing.
fn wanted(objects: &[Object]) -> Wanted {
    let mut wanted = Wanted::new();
    for object in objects {
        let Some(template) = object.template_pointer() else { continue };
        if object.0.pointer("/spec/suspend") == Some(&Value::Bool(true)) {
            continue;
        }
        let Some(spec) = object.0.pointer(&format!("{template}/spec")) else { continue };
        let who = format!("{}/{}", object.kind(), object.name());
        let mut want = |kind: &'static str, reference: &Value, name: &str, keys: &[&Value]| {
            let Some(name) = reference[name].as_str().filter(|_| reference["optional"] != true) else { return };
            let entry = wanted.entry((kind, name.to_owned())).or_insert_with(|| (BTreeSet::new(), who.clone()));
            entry.0.extend(keys.iter().filter_map(|key| key.as_str().map(str::to_owned)));
        };
        let list = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
        for volume in list(spec, "volumes") {
            for (kind, source, name) in
                [("ConfigMap", &volume["configMap"], "name"), ("Secret", &volume["secret"], "secretName")]
            {
                let items = list(source, "items");
                want(kind, source, name, &items.iter().map(|item| &item["key"]).collect::<Vec<_>>());
            }
        }
        for container in ["initContainers", "containers"].iter().flat_map(|key| list(spec, key)) {
            for variable in list(&container, "env") {
                for (kind, source) in [
                    ("ConfigMap", &variable["valueFrom"]["configMapKeyRef"]),
                    ("Secret", &variable["valueFrom"]["secretKeyRef"]),
                ] {
                    want(kind, source, "name", &[&source["key"]]);
                }
            }
            for from in list(&container, "envFrom") {
                want("ConfigMap", &from["configMapRef"], "name", &[]);
                want("Secret", &from["secretRef"], "name", &[]);
            }
        }
    }
    wanted
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn workload() -> Object {
        Object(json!({"kind": "Deployment", "metadata": {"name": "shop"}, "spec": {"template": {"spec": {
            "volumes": [
                {"name": "a", "configMap": {"name": "files", "items": [{"key": "one", "path": "1"}]}},
                {"name": "b", "secret": {"secretName": "maybe", "optional": true}},
            ],
            "containers": [{
                "env": [
                    {"name": "U", "valueFrom": {"secretKeyRef": {"name": "db", "key": "user"}}},
                    {"name": "P", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}},
                    {"name": "O", "valueFrom": {"secretKeyRef": {"name": "db", "key": "other", "optional": true}}},
                ],
                "envFrom": [{"configMapRef": {"name": "settings"}}],
            }],
        }}}}))
    }

    #[test]
    fn what_pods_cannot_start_without_is_found() {
        let found: Vec<String> = wanted(&[workload()])
            .into_iter()
            .map(|((kind, name), (keys, who))| format!("{kind}/{name} {keys:?} {who}"))
            .collect();
        assert_eq!(
            found,
            [
                r#"ConfigMap/files {"one"} Deployment/shop"#,
                "ConfigMap/settings {} Deployment/shop",
                r#"Secret/db {"password", "user"} Deployment/shop"#,
            ]
        );
        let mut template = workload();
        template.set("/spec/suspend", true.into());
        assert!(wanted(&[template]).is_empty());
    }

    #[test]
    fn a_missing_key_is_named() {
        let id = ObjectId {
            api_version: "v1".into(),
            kind: "Secret".into(),
            namespace: Some("prod".into()),
            name: "db".into(),
        };
        let keys = BTreeSet::from(["user".to_owned(), "password".to_owned()]);
        let has = |data: Value| Object(json!({"kind": "Secret", "metadata": {"name": "db"}, "data": data}));
        let said =
            |found: Option<&Object>| missing(found, &id, &keys, "Deployment/shop").map(|problem| problem.message);
        assert_eq!(said(Some(&has(json!({"user": "dQ==", "password": "cA=="})))), None);
        let lacks = said(Some(&has(json!({"user": "dQ=="})))).unwrap();
        assert!(lacks.contains("lacks the key `password` that Deployment/shop reads"), "{lacks}");
        assert!(said(None).unwrap().contains("does not exist"));
    }

    #[test]
    fn what_a_controller_makes_is_not_looked_for() {
        let sealed = Object(json!({"kind": "SealedSecret", "metadata": {"name": "db"}}));
        let external =
            Object(json!({"kind": "ExternalSecret", "metadata": {"name": "x"}, "spec": {"target": {"name": "db"}}}));
        assert!(makes(&sealed, "Secret", "db") && makes(&external, "Secret", "db"));
        assert!(!makes(&sealed, "Secret", "other") && !makes(&sealed, "ConfigMap", "db"));
    }
}
