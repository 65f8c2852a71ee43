//! What pods need of Secrets before they can start: looked up before anything is started.

use std::collections::BTreeMap;

use serde_json::Value;

use super::current;
use crate::Object;
use crate::cluster::{Cluster, ClusterError, Labels};

/// A Secret that a workload needs, or one key of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Needed {
    /// The Secret.
    pub secret: String,
    /// The key; None: the Secret itself.
    pub key: Option<String>,
    /// Who needs it: `Deployment/shop`.
    pub by: String,
}

/// All that an object's pods cannot start without; what is marked optional is left out.
pub fn needed(object: &Object) -> Vec<Needed> {
    let Some(at) = object.template_pointer() else { return Vec::new() };
    let by = object.id().to_string();
    let mut found = Vec::new();
    let mut push = |reference: &Value, name: &str, key: Option<&str>| {
        if let Some(secret) = reference[name].as_str().filter(|_| reference["optional"] != true) {
            found.push(Needed { secret: secret.to_owned(), key: key.map(str::to_owned), by: by.clone() });
        }
    };
    for list in ["containers", "initContainers"] {
        for container in object.list(&format!("{at}/spec/{list}")) {
            for variable in items(container, "env") {
                let reference = &variable["valueFrom"]["secretKeyRef"];
                push(reference, "name", reference["key"].as_str());
            }
            for source in items(container, "envFrom") {
                push(&source["secretRef"], "name", None);
            }
        }
    }
    let mut mounted = |source: &Value, name: &str| {
        push(source, name, None);
        items(source, "items").for_each(|item| push(source, name, item["key"].as_str()));
    };
    for volume in object.list(&format!("{at}/spec/volumes")) {
        mounted(&volume["secret"], "secretName");
        items(&volume["projected"], "sources").for_each(|source| mounted(&source["secret"], "name"));
    }
    found.sort();
    found.dedup();
    found
}

fn items<'v>(value: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> {
    value[key].as_array().into_iter().flatten()
}

/// The keys of a Secret, as rendered or as read.
pub(super) fn keys(secret: &Object) -> Vec<String> {
    let maps = ["data", "stringData"].map(|map| secret.0[map].as_object());
    maps.into_iter().flatten().flat_map(|map| map.keys().cloned()).collect()
}

/// What the workloads among these objects need of Secrets and what neither the objects nor the cluster have, a line each:
/// `Secret db lacks key password that Deployment/shop reads`. Secrets that an operator makes from an object among these
/// (ExternalSecret, SealedSecret) count as there.
///
/// # Errors
/// Those of reaching the cluster.
pub async fn required_secrets(objects: &[Object], cluster: &Cluster) -> Result<Vec<String>, ClusterError> {
    let wanted: Vec<Needed> = objects.iter().flat_map(needed).collect();
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let live = cluster.list("v1", "Secret", &Labels::new()).await?;
    Ok(missing(&wanted, objects, &live))
}

fn missing(wanted: &[Needed], objects: &[Object], live: &[Object]) -> Vec<String> {
    let mut there: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for secret in live.iter().chain(objects.iter().filter(|object| object.kind() == "Secret")) {
        there.entry(secret.name()).or_default().extend(keys(secret));
    }
    let made: Vec<&str> = objects.iter().filter_map(made_by_an_operator).collect();
    let rendered = |name: &str| objects.iter().any(|object| object.kind() == "Secret" && object.name() == name);
    let mut stands_for = current(live);
    stands_for.retain(|name, _| !rendered(name));
    let mut lines = Vec::new();
    for need in wanted.iter().filter(|need| !made.contains(&need.secret.as_str())) {
        let name = stands_for.get(&need.secret).map_or(need.secret.as_str(), String::as_str);
        let line = match (there.get(name), &need.key) {
            (None, _) => format!("there is no Secret {} that {} reads", need.secret, need.by),
            (Some(keys), Some(key)) if !keys.contains(key) => {
                format!("Secret {name} lacks key {key} that {} reads", need.by)
            }
            _ => continue,
        };
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines
}

fn made_by_an_operator(object: &Object) -> Option<&str> {
    match object.kind() {
        "ExternalSecret" if !object.text("/spec/target/name").is_empty() => Some(object.text("/spec/target/name")),
        "ExternalSecret" | "SealedSecret" => Some(object.name()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::ROTATES;
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_key_and_reader() {
        let workload = Object(
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "orders"}, "spec": {"template": {"spec": {
            "volumes": [{"secret": {"secretName": "tls", "items": [{"key": "tls.crt"}]}}, {"projected": {"sources": [{"secret": {"name": "sealed"}}]}}],
            "containers": [{"env": [
                {"valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}},
                {"valueFrom": {"secretKeyRef": {"name": "db", "key": "jwt-secret"}}},
                {"valueFrom": {"secretKeyRef": {"name": "may", "key": "x", "optional": true}}}],
                "envFrom": [{"secretRef": {"name": "all"}}]}]}}}}),
        );
        let sealed = Object(json!({"kind": "SealedSecret", "metadata": {"name": "sealed"}}));
        let live = [
            Object(json!({"kind": "Secret", "metadata": {"name": "db"}, "data": {"password": "", "jwt-secret": ""}})),
            Object(
                json!({"kind": "Secret", "metadata": {"name": "db-2", "labels": {ROTATES: "db"}, "annotations": {"tagline.dev/rotated-at": "2026"}}, "data": {"password": ""}}),
            ),
        ];
        let wanted = needed(&workload);
        assert_eq!(
            missing(&wanted, &[workload, sealed], &live),
            [
                "there is no Secret all that Deployment/orders reads",
                "Secret db-2 lacks key jwt-secret that Deployment/orders reads",
                "there is no Secret tls that Deployment/orders reads",
            ]
        );
    }
}
