//! ConfigMaps and Secrets named by their content: a release owns the bytes that its pods read, so that the way back finds them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::Object;

/// An object that got a name of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renamed {
    /// `ConfigMap` or `Secret`.
    pub kind: String,
    /// As the manifests name it.
    pub from: String,
    /// `NAME-HASH`.
    pub to: String,
}

/// Keeps the name of an object as it is: `tagline.dev/config: shared`.
const ANNOTATION: &str = "tagline.dev/config";

/// What kustomize makes names of content with.
const KUSTOMIZE: &str = "2456789bcdfghkmt";

/// Names every ConfigMap and Secret that pod templates refer to after its content, makes it immutable, and rewrites the references.
///
/// Left under their own names: what is annotated `tagline.dev/config: shared`, what kustomize has named by content already, and
/// what something else than a pod template refers to as well (the certificate of an Ingress, say).
pub fn name_by_content(objects: &mut [Object]) -> Vec<Renamed> {
    let referred: BTreeSet<(String, String)> = objects.iter().flat_map(references).collect();
    let elsewhere: BTreeSet<(String, String)> = objects.iter().flat_map(other_references).collect();
    let mut renamed = Vec::new();
    for object in objects.iter_mut().filter(|object| matches!(object.kind(), "ConfigMap" | "Secret")) {
        let key = (object.kind().to_owned(), object.name().to_owned());
        let shared = object.annotations().get(ANNOTATION).is_some_and(|owner| owner == "shared");
        if shared || !referred.contains(&key) || elsewhere.contains(&key) || is_named_by_content(object.name()) {
            continue;
        }
        let to = format!("{}-{}", object.name(), content_hash(object));
        object.set("/metadata/name", to.clone().into());
        object.set("/immutable", true.into());
        renamed.push(Renamed { kind: key.0, from: key.1, to });
    }
    let names: BTreeMap<(&str, &str), &str> =
        renamed.iter().map(|one| ((one.kind.as_str(), one.from.as_str()), one.to.as_str())).collect();
    for object in objects.iter_mut() {
        rewrite(object, |kind, name| names.get(&(kind, name)).map(|to| (*to).to_owned()));
    }
    renamed
}

/// ConfigMaps and Secrets that an object's pods refer to, as kind and name.
pub fn references(object: &Object) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut copy = object.clone();
    rewrite(&mut copy, |kind, name| {
        found.push((kind.to_owned(), name.to_owned()));
        None
    });
    found
}

/// ConfigMaps and Secrets that anything of an object refers to: its pods, the certificates of an Ingress, what an account
/// brings along.
pub fn uses(object: &Object) -> Vec<(String, String)> {
    references(object).into_iter().chain(other_references(object)).collect()
}

/// Ten hex digits over what pods can see of it.
fn content_hash(object: &Object) -> String {
    let mut hasher = Sha256::new();
    for part in ["kind", "type", "data", "binaryData", "stringData"] {
        // Sorted: the order in a file means nothing.
        hasher.update(format!("{part}={}\n", sorted(&object.0[part])));
    }
    hex::encode(hasher.finalize())[..10].to_owned()
}

fn sorted(value: &Value) -> String {
    match value.as_object() {
        Some(map) => {
            let pairs: BTreeMap<&String, &Value> = map.iter().collect();
            serde_json::to_string(&pairs).unwrap_or_default()
        }
        None => value.to_string(),
    }
}

fn is_named_by_content(name: &str) -> bool {
    let hash = name.rsplit_once('-').map_or("", |(_, hash)| hash);
    hash.len() == 10 && hash.chars().all(|c| KUSTOMIZE.contains(c))
}

/// References of anything that is no pod template.
fn other_references(object: &Object) -> Vec<(String, String)> {
    let secrets: Vec<&Value> = match object.kind() {
        "Ingress" => object.list("/spec/tls").iter().map(|tls| &tls["secretName"]).collect(),
        "ServiceAccount" => {
            let lists = ["/secrets", "/imagePullSecrets"].map(|list| object.list(list));
            lists.into_iter().flatten().map(|secret| &secret["name"]).collect()
        }
        _ => Vec::new(),
    };
    secrets.into_iter().filter_map(|name| Some(("Secret".to_owned(), name.as_str()?.to_owned()))).collect()
}

/// Gives every reference of an object's pod template a new name, where `to` (kind, name) has one.
pub fn rewrite(object: &mut Object, mut to: impl FnMut(&str, &str) -> Option<String>) {
    let Some(at) = object.template_pointer() else { return };
    let Some(spec) = object.0.pointer_mut(&format!("{at}/spec")) else { return };
    let mut change = |kind: &str, place: Option<&mut Value>| {
        if let Some(place) = place
            && let Some(name) = place.as_str()
            && let Some(new) = to(kind, name)
        {
            *place = new.into();
        }
    };
    for volume in items(spec, "volumes") {
        change("ConfigMap", volume.pointer_mut("/configMap/name"));
        change("Secret", volume.pointer_mut("/secret/secretName"));
        if let Some(projected) = volume.get_mut("projected") {
            for source in items(projected, "sources") {
                change("ConfigMap", source.pointer_mut("/configMap/name"));
                change("Secret", source.pointer_mut("/secret/name"));
            }
        }
    }
    for secret in items(spec, "imagePullSecrets") {
        change("Secret", secret.get_mut("name"));
    }
    for list in ["containers", "initContainers"] {
        for container in items(spec, list) {
            for variable in items(container, "env") {
                change("ConfigMap", variable.pointer_mut("/valueFrom/configMapKeyRef/name"));
                change("Secret", variable.pointer_mut("/valueFrom/secretKeyRef/name"));
            }
            for source in items(container, "envFrom") {
                change("ConfigMap", source.pointer_mut("/configMapRef/name"));
                change("Secret", source.pointer_mut("/secretRef/name"));
            }
        }
    }
}

fn items<'v>(value: &'v mut Value, key: &str) -> impl Iterator<Item = &'v mut Value> {
    value.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn objects(mode: &str) -> Vec<Object> {
        let object = |value| Object(value);
        vec![
            object(json!({"kind": "ConfigMap", "metadata": {"name": "conf"}, "data": {"mode": mode}})),
            object(json!({"kind": "Secret", "metadata": {"name": "tls"}, "stringData": {"k": "v"}})),
            object(json!({"kind": "ConfigMap", "metadata": {"name": "gen-2456789bcd"}, "data": {}})),
            object(json!({"kind": "Ingress", "metadata": {"name": "i"}, "spec": {"tls": [{"secretName": "tls"}]}})),
            object(json!({"kind": "Deployment", "metadata": {"name": "shop"}, "spec": {"template": {"spec": {
                "volumes": [
                    {"configMap": {"name": "conf"}}, {"secret": {"secretName": "tls"}},
                    {"projected": {"sources": [{"configMap": {"name": "conf"}}, {"secret": {"name": "other"}}]}},
                    {"configMap": {"name": "gen-2456789bcd"}}],
                "initContainers": [{"envFrom": [{"configMapRef": {"name": "conf"}}]}],
                "containers": [{"env": [{"valueFrom": {"configMapKeyRef": {"name": "conf", "key": "mode"}}}]}]}}}})),
        ]
    }

    #[test]
    fn names_follow_content_and_references_follow_names() {
        let (mut old, mut new, mut again) = (objects("old"), objects("new"), objects("new"));
        let renamed = name_by_content(&mut old);
        assert_eq!(renamed.len(), 1);
        assert_ne!(renamed, name_by_content(&mut new));
        name_by_content(&mut again);
        assert_eq!(new, again);
        let to = renamed[0].to.clone();
        assert_eq!(old[0].name(), to);
        let config = |name: &str| ("ConfigMap".to_owned(), name.to_owned());
        let secret = |name: &str| ("Secret".to_owned(), name.to_owned());
        let expected = [
            config(&to),
            secret("tls"),
            config(&to),
            secret("other"),
            config("gen-2456789bcd"),
            config(&to),
            config(&to),
        ];
        let mut found = references(&old[4]);
        found.sort();
        let mut expected = expected.to_vec();
        expected.sort();
        assert_eq!(found, expected);
    }
}
