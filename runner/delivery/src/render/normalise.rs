//! Objects as a person would apply them.

use serde_json::Value;

use crate::Object;

/// Fields that the server sets.
const SERVER_SET: [&str; 10] = [
    "/status",
    "/metadata/uid",
    "/metadata/resourceVersion",
    "/metadata/generation",
    "/metadata/creationTimestamp",
    "/metadata/deletionTimestamp",
    "/metadata/deletionGracePeriodSeconds",
    "/metadata/managedFields",
    "/metadata/selfLink",
    "/metadata/ownerReferences",
];
const SERVER_ANNOTATIONS: [&str; 3] = [
    "kubectl.kubernetes.io~1last-applied-configuration",
    "deployment.kubernetes.io~1revision",
    "autoscaling.alpha.kubernetes.io~1conditions",
];

/// Kinds without a namespace whose names do not begin with `Cluster`.
const CLUSTER_KINDS: [&str; 11] = [
    "Namespace",
    "Node",
    "PersistentVolume",
    "CustomResourceDefinition",
    "PriorityClass",
    "StorageClass",
    "IngressClass",
    "GatewayClass",
    "APIService",
    "ValidatingWebhookConfiguration",
    "MutatingWebhookConfiguration",
];

/// A kind that has no namespace. Of kinds that Kubernetes does not define, those whose names begin with `Cluster`, as custom resources do.
pub fn is_cluster_kind(kind: &str) -> bool {
    kind.starts_with("Cluster") || CLUSTER_KINDS.contains(&kind)
}

/// Drops what the server sets.
pub fn strip(object: &mut Object) {
    for pointer in SERVER_SET {
        object.remove(pointer);
    }
    for annotation in SERVER_ANNOTATIONS {
        object.remove(&format!("/metadata/annotations/{annotation}"));
    }
    let empty =
        object.0.pointer("/metadata/annotations").and_then(Value::as_object).is_some_and(serde_json::Map::is_empty);
    if empty {
        object.remove("/metadata/annotations");
    }
    if let Some(template) = object.template_pointer().filter(|template| !template.is_empty()) {
        object.remove(&format!("{template}/metadata/creationTimestamp"));
    }
}

/// Drops what the server sets, puts objects into the target's namespace, and takes `spec.replicas` from workloads that an
/// autoscaler scales. Gives back what stands against it.
pub fn normalise(objects: &mut [Object], namespace: &str, notes: &mut Vec<String>) -> Vec<String> {
    let mut problems = Vec::new();
    for object in objects.iter_mut() {
        strip(object);
        if is_cluster_kind(object.kind()) {
            object.remove("/metadata/namespace");
            continue;
        }
        match object.namespace() {
            Some(other) if other != namespace => {
                let id = object.id();
                problems.push(format!("{id} is in namespace {other}, the environment's is {namespace}; leave it out"));
            }
            _ => object.set("/metadata/namespace", namespace.into()),
        }
    }
    notes.extend(drop_scaled_replicas(objects));
    problems
}

/// Two managers of one number take it from each other.
fn drop_scaled_replicas(objects: &mut [Object]) -> Vec<String> {
    let scaled: Vec<(String, String)> = objects
        .iter()
        .filter(|object| matches!(object.kind(), "HorizontalPodAutoscaler" | "ScaledObject"))
        .map(|object| {
            let kind = object.text("/spec/scaleTargetRef/kind");
            let kind = if kind.is_empty() { "Deployment" } else { kind };
            (kind.to_owned(), object.text("/spec/scaleTargetRef/name").to_owned())
        })
        .collect();
    let mut notes = Vec::new();
    for object in objects.iter_mut() {
        let is_scaled = scaled.iter().any(|(kind, name)| kind == object.kind() && name == object.name());
        if is_scaled && object.number("/spec/replicas").is_some() {
            object.remove("/spec/replicas");
            notes.push(format!("spec.replicas of {} is left to its autoscaler", object.id()));
        }
    }
    notes
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_read_from_a_cluster_becomes_one_that_can_be_applied() {
        let mut objects = [
            Object(json!({
                "apiVersion": "apps/v1", "kind": "Deployment",
                "metadata": {"name": "shop", "uid": "u", "resourceVersion": "3", "creationTimestamp": null,
                    "annotations": {"deployment.kubernetes.io/revision": "4"}},
                "spec": {"replicas": 3, "template": {"metadata": {"creationTimestamp": null}}},
                "status": {"replicas": 3}
            })),
            Object(
                json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "shop"},
                "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "shop"}}}),
            ),
            Object(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "prod"}})),
            Object(json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "shop", "namespace": "dev"}})),
        ];
        let mut notes = Vec::new();
        let problems = normalise(&mut objects, "prod", &mut notes);
        let expected = json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "shop", "namespace": "prod"}, "spec": {"template": {"metadata": {}}}});
        assert_eq!(objects[0].0, expected);
        assert_eq!(notes, ["spec.replicas of Deployment/shop is left to its autoscaler"]);
        assert_eq!(objects[2].namespace(), None);
        assert_eq!(problems, ["Service/shop is in namespace dev, the environment's is prod; leave it out"]);
    }
}
