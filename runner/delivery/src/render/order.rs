//! The order in which objects are applied: what is needed before what needs it.

use crate::Object;

/// Kinds in their order. What is not listed (custom resources) comes between configuration and workloads; what has to be in place
/// before pods begin is there then.
const FIRST: [&str; 19] = [
    "Namespace",
    "CustomResourceDefinition",
    "PriorityClass",
    "StorageClass",
    "ServiceAccount",
    "ClusterRole",
    "ClusterRoleBinding",
    "Role",
    "RoleBinding",
    "ResourceQuota",
    "LimitRange",
    "NetworkPolicy",
    "SealedSecret",
    "ExternalSecret",
    "Secret",
    "ConfigMap",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "Service",
];
const LAST: [&str; 12] = [
    "Pod",
    "ReplicaSet",
    "Deployment",
    "StatefulSet",
    "DaemonSet",
    "Job",
    "CronJob",
    "HorizontalPodAutoscaler",
    "PodDisruptionBudget",
    "HTTPRoute",
    "Ingress",
    "ValidatingWebhookConfiguration",
];

/// Where a kind comes. Equal ranks keep their order.
pub fn rank(kind: &str) -> usize {
    let place = |kinds: &[&str]| kinds.iter().position(|one| *one == kind);
    match (place(&FIRST), place(&LAST)) {
        (Some(place), _) => place,
        (None, Some(place)) => FIRST.len() + 1 + place,
        (None, None) => FIRST.len(),
    }
}

/// Sorts objects into the order in which they are applied. They are removed in the reverse of it.
pub fn sort(objects: &mut [Object]) {
    objects.sort_by(|a, b| rank(a.kind()).cmp(&rank(b.kind())).then_with(|| a.name().cmp(b.name())));
}
