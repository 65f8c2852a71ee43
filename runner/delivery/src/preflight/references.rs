//! The ConfigMaps and Secrets that pods cannot start without: there, and with the keys that they name.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Problem;
use crate::cluster::{Cluster, ClusterError};
use crate::{Object, ObjectId};

/// A ConfigMap or Secret that pods refer to, or one key of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Needed {
    /// `ConfigMap` or `Secret`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// The key; None: the object itself.
    pub key: Option<String>,
    /// Who needs it: `Deployment/shop`.
    pub by: String,
    /// Pods are made without it and may run: the password of a registry, for an image that is there already.
    pub may_lack: bool,
}

/// All that an object's pods cannot start without; what is marked optional is left out.
pub fn needed(object: &Object) -> Vec<Needed> {
    let at = object.template_pointer().unwrap_or("/none");
    let Some(spec) = object.0.pointer(&format!("{at}/spec")) else { return Vec::new() };
    let by = format!("{}/{}", object.kind(), object.name());
    let mut found = Vec::new();
    let mut push = |kind: &'static str, reference: &Value, name: &str, key: Option<&str>, may_lack: bool| {
        if let Some(name) = reference[name].as_str().filter(|_| reference["optional"] != true) {
            let (name, key) = (name.to_owned(), key.map(str::to_owned));
            found.push(Needed { kind, name, key, by: by.clone(), may_lack });
        }
    };
    for container in ["initContainers", "containers"].iter().flat_map(|list| items(spec, list)) {
        for variable in items(container, "env") {
            for (kind, of) in [("ConfigMap", "configMapKeyRef"), ("Secret", "secretKeyRef")] {
                let reference = &variable["valueFrom"][of];
                push(kind, reference, "name", reference["key"].as_str(), false);
            }
        }
        for source in items(container, "envFrom") {
            push("ConfigMap", &source["configMapRef"], "name", None, false);
            push("Secret", &source["secretRef"], "name", None, false);
        }
    }
    for secret in items(spec, "imagePullSecrets") {
        push("Secret", secret, "name", None, true);
    }
    let mut mounted = |kind: &'static str, source: &Value, name: &str| {
        push(kind, source, name, None, false);
        items(source, "items").for_each(|item| push(kind, source, name, item["key"].as_str(), false));
    };
    for volume in items(spec, "volumes") {
        mounted("ConfigMap", &volume["configMap"], "name");
        mounted("Secret", &volume["secret"], "secretName");
        for source in items(&volume["projected"], "sources") {
            mounted("ConfigMap", &source["configMap"], "name");
            mounted("Secret", &source["secret"], "name");
        }
    }
    found.sort();
    found.dedup();
    found
}

fn items<'v>(value: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> {
    value[key].as_array().into_iter().flatten()
}

/// What the objects' pods need, by kind and name. Templates that nobody starts by themselves (suspended CronJobs) need nothing.
fn wanted(objects: &[Object]) -> BTreeMap<(&'static str, String), Vec<Needed>> {
    let started = objects.iter().filter(|object| object.0.pointer("/spec/suspend") != Some(&Value::Bool(true)));
    let mut wanted: BTreeMap<_, Vec<Needed>> = BTreeMap::new();
    for need in started.flat_map(needed) {
        wanted.entry((need.kind, need.name.clone())).or_default().push(need);
    }
    wanted
}

/// What is missing in the namespace. What the objects bring themselves is not looked for, nor what may not be looked at.
pub(super) async fn problems(cluster: &Cluster, objects: &[Object]) -> Result<Vec<Problem>, ClusterError> {
    let mut problems = Vec::new();
    for ((kind, name), needs) in wanted(objects) {
        let own = objects.iter().find(|object| object.kind() == kind && object.name() == name).cloned();
        if own.is_none() && objects.iter().any(|object| makes(object, kind, &name)) {
            continue;
        }
        let id = cluster.id("v1", kind, &name);
        let found = match own {
            Some(own) => Some(own),
            None => match cluster.get(&id).await {
                Err(ClusterError::Forbidden { .. }) => continue,
                found => found?,
            },
        };
        problems.extend(missing(found.as_ref(), &id, &needs));
    }
    Ok(problems)
}

/// What is wrong with one of them.
fn missing(found: Option<&Object>, id: &ObjectId, needs: &[Needed]) -> Option<Problem> {
    let namespace = id.namespace.as_deref().unwrap_or_default();
    let who = needs.first().map_or("", |need| need.by.as_str());
    let advice = needs.iter().all(|need| need.may_lack);
    let problem = |message: String, next: String| Problem { message, next, advice, of_input: true };
    let Some(found) = found else {
        let next = format!("make it in namespace {namespace}, or correct the reference in the manifests");
        return Some(problem(format!("{id} does not exist, and {who} reads it"), next));
    };
    let has = |key: &&String| {
        let parts = ["data", "binaryData", "stringData"];
        parts.iter().any(|part| found.0[*part].get(key.as_str()).is_some_and(|value| !value.is_null()))
    };
    let keys: BTreeSet<&String> = needs.iter().filter_map(|need| need.key.as_ref()).collect();
    let lacks: Vec<String> = keys.into_iter().filter(|key| !has(key)).map(|key| format!("`{key}`")).collect();
    (!lacks.is_empty()).then(|| {
        let (word, list) = (if lacks.len() == 1 { "key" } else { "keys" }, lacks.join(", "));
        let message = format!("{id} lacks the {word} {list} that {who} reads");
        problem(message, "add it, or correct the reference in the manifests".to_owned())
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn workload() -> Object {
        Object(json!({"kind": "Deployment", "metadata": {"name": "shop"}, "spec": {"template": {"spec": {
            "volumes": [
                {"name": "a", "configMap": {"name": "files", "items": [{"key": "one", "path": "1"}]}},
                {"name": "b", "secret": {"secretName": "maybe", "optional": true}},
                {"name": "c", "projected": {"sources": [
                    {"configMap": {"name": "projected"}},
                    {"secret": {"name": "certificate", "items": [{"key": "tls.crt", "path": "c"}]}}]}},
            ],
            "imagePullSecrets": [{"name": "registry"}],
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
        let said = |objects: &[Object]| -> Vec<String> {
            let keys = |needs: &[Needed]| needs.iter().filter_map(|need| need.key.clone()).collect::<Vec<_>>();
            wanted(objects).iter().map(|((kind, name), needs)| format!("{kind}/{name} {:?}", keys(needs))).collect()
        };
        let expected = [
            r#"ConfigMap/files ["one"]"#,
            "ConfigMap/projected []",
            "ConfigMap/settings []",
            r#"Secret/certificate ["tls.crt"]"#,
            r#"Secret/db ["password", "user"]"#,
            "Secret/registry []",
        ];
        assert_eq!(said(&[workload()]), expected);
        let mut template = workload();
        template.set("/spec/suspend", true.into());
        assert!(said(&[template]).is_empty());
    }

    #[test]
    fn a_registrys_password_is_advice() {
        let registry: Vec<Needed> = needed(&workload()).into_iter().filter(|need| need.name == "registry").collect();
        let id = ObjectId::new("v1", "Secret", "prod", "registry");
        let problem = missing(None, &id, &registry).unwrap();
        assert!(problem.advice && problem.message.contains("Secret/registry does not exist"), "{problem:?}");
        let (mut both, other) = (registry.clone(), Needed { may_lack: false, ..registry[0].clone() });
        both.push(other);
        assert!(!missing(None, &id, &both).unwrap().advice);
    }

    #[test]
    fn a_missing_key_is_named() {
        let id = ObjectId {
            api_version: "v1".into(),
            kind: "Secret".into(),
            namespace: Some("prod".into()),
            name: "db".into(),
        };
        let db: Vec<Needed> = needed(&workload()).into_iter().filter(|need| need.name == "db").collect();
        let has = |data: Value| Object(json!({"kind": "Secret", "metadata": {"name": "db"}, "data": data}));
        let said = |found: Option<&Object>| missing(found, &id, &db).map(|problem| problem.message);
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
