//! Where a kind lives in the API: group, version, plural and whether it has a namespace.
//!
//! Kinds that Kubernetes itself serves are in a table, so that a delivery asks the server nothing about them. All others
//! (custom resources) are looked up once by discovery.

use super::http::encode;

/// A served resource: what a path is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// `apps/v1`; `v1` for the core group.
    pub api_version: String,
    /// `deployments`.
    pub plural: String,
    /// Its objects are in namespaces.
    pub namespaced: bool,
}

/// What Kubernetes serves in every version from 1.30 on. Kind, apiVersion, plural, namespaced.
const KNOWN: &[(&str, &str, &str, bool)] = &[
    ("Pod", "v1", "pods", true),
    ("Service", "v1", "services", true),
    ("Endpoints", "v1", "endpoints", true),
    ("ConfigMap", "v1", "configmaps", true),
    ("Secret", "v1", "secrets", true),
    ("ServiceAccount", "v1", "serviceaccounts", true),
    ("PersistentVolumeClaim", "v1", "persistentvolumeclaims", true),
    ("PersistentVolume", "v1", "persistentvolumes", false),
    ("ResourceQuota", "v1", "resourcequotas", true),
    ("LimitRange", "v1", "limitranges", true),
    ("ReplicationController", "v1", "replicationcontrollers", true),
    ("PodTemplate", "v1", "podtemplates", true),
    ("Event", "v1", "events", true),
    ("Namespace", "v1", "namespaces", false),
    ("Node", "v1", "nodes", false),
    ("Deployment", "apps/v1", "deployments", true),
    ("StatefulSet", "apps/v1", "statefulsets", true),
    ("DaemonSet", "apps/v1", "daemonsets", true),
    ("ReplicaSet", "apps/v1", "replicasets", true),
    ("ControllerRevision", "apps/v1", "controllerrevisions", true),
    ("Job", "batch/v1", "jobs", true),
    ("CronJob", "batch/v1", "cronjobs", true),
    ("HorizontalPodAutoscaler", "autoscaling/v2", "horizontalpodautoscalers", true),
    ("HorizontalPodAutoscaler", "autoscaling/v1", "horizontalpodautoscalers", true),
    ("PodDisruptionBudget", "policy/v1", "poddisruptionbudgets", true),
    ("Ingress", "networking.k8s.io/v1", "ingresses", true),
    ("IngressClass", "networking.k8s.io/v1", "ingressclasses", false),
    ("NetworkPolicy", "networking.k8s.io/v1", "networkpolicies", true),
    ("Role", "rbac.authorization.k8s.io/v1", "roles", true),
    ("RoleBinding", "rbac.authorization.k8s.io/v1", "rolebindings", true),
    ("ClusterRole", "rbac.authorization.k8s.io/v1", "clusterroles", false),
    ("ClusterRoleBinding", "rbac.authorization.k8s.io/v1", "clusterrolebindings", false),
    ("EndpointSlice", "discovery.k8s.io/v1", "endpointslices", true),
    ("Lease", "coordination.k8s.io/v1", "leases", true),
    ("StorageClass", "storage.k8s.io/v1", "storageclasses", false),
    ("PriorityClass", "scheduling.k8s.io/v1", "priorityclasses", false),
    ("CustomResourceDefinition", "apiextensions.k8s.io/v1", "customresourcedefinitions", false),
    ("SelfSubjectAccessReview", "authorization.k8s.io/v1", "selfsubjectaccessreviews", false),
    ("SelfSubjectRulesReview", "authorization.k8s.io/v1", "selfsubjectrulesreviews", false),
];

/// The resource of a built-in kind.
pub(crate) fn known(api_version: &str, kind: &str) -> Option<Resource> {
    let row = KNOWN.iter().find(|row| row.0 == kind && row.1 == api_version)?;
    Some(Resource { api_version: row.1.to_owned(), plural: row.2.to_owned(), namespaced: row.3 })
}

/// `/api/v1` or `/apis/apps/v1`.
pub(crate) fn root(api_version: &str) -> String {
    let part = if api_version.contains('/') { "apis" } else { "api" };
    format!("/{part}/{api_version}")
}

impl Resource {
    /// The group, empty for the core group: as access rules spell it.
    pub fn group(&self) -> &str {
        self.api_version.split_once('/').map_or("", |(group, _)| group)
    }

    /// The path of all its objects, of one, or of a part of one (`status`, `scale`, `log`). The namespace is left out for
    /// kinds that have none.
    pub(crate) fn path(&self, namespace: &str, name: Option<&str>, part: Option<&str>) -> String {
        let mut path = root(&self.api_version);
        let namespace = if self.namespaced { format!("/namespaces/{}", encode(namespace)) } else { String::new() };
        path.push_str(&namespace);
        for piece in [Some(self.plural.as_str()), name, part].into_iter().flatten() {
            path.push('/');
            path.push_str(&encode(piece));
        }
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_api() {
        let pods = known("v1", "Pod").unwrap();
        assert_eq!(pods.path("shop", Some("a"), Some("log")), "/api/v1/namespaces/shop/pods/a/log");
        let deployments = known("apps/v1", "Deployment").unwrap();
        assert_eq!(deployments.path("shop", None, None), "/apis/apps/v1/namespaces/shop/deployments");
        assert_eq!(known("v1", "Node").unwrap().path("shop", Some("n"), None), "/api/v1/nodes/n");
        assert_eq!(known("apps/v1beta1", "Deployment"), None);
    }

    #[test]
    fn a_name_cannot_leave_its_place_in_a_path() {
        let path = known("v1", "Secret").unwrap().path("shop", Some("../../nodes?x=1"), None);
        assert_eq!(path, "/api/v1/namespaces/shop/secrets/..%2F..%2Fnodes%3Fx%3D1");
    }
}
