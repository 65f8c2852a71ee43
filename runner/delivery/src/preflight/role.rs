//! The rights that deliveries use, as objects an administrator can apply: what `tagline doctor --role` prints.
//!
//! No more than is used: nothing is read or written outside the environment's namespace but nodes, which a Role cannot
//! grant and which are only advice. Roles and service accounts are not among it: who may grant rights is for the
//! administrator to say.

use serde_json::{Value, json};

use crate::action::many;
use crate::cluster::{Cluster, ClusterError, Missing};
use crate::{DeliveryError, Object, PlanError};

/// The role's name.
const NAME: &str = "tagline";

const LOOK: &[&str] = &["get", "list", "watch"];
const CHANGE: &[&str] = &["get", "list", "watch", "create", "update", "patch", "delete"];

/// Group, resources, verbs, and what uses them.
const RULES: &[(&str, &[&str], &[&str])] = &[
    // Units and their way back.
    ("apps", &["deployments", "statefulsets", "daemonsets"], CHANGE),
    ("apps", &["deployments/scale", "statefulsets/scale"], &["get", "update", "patch"]),
    ("apps", &["replicasets"], LOOK),
    ("", &["services", "configmaps", "secrets", "persistentvolumeclaims"], CHANGE),
    ("autoscaling", &["horizontalpodautoscalers"], CHANGE),
    ("policy", &["poddisruptionbudgets"], CHANGE),
    ("networking.k8s.io", &["ingresses", "networkpolicies"], CHANGE),
    // Migrations, backups, tests.
    ("batch", &["jobs", "cronjobs"], CHANGE),
    // Looking, testing every pod, evidence.
    ("", &["pods", "events", "resourcequotas", "limitranges"], LOOK),
    ("", &["pods/log"], &["get"]),
    ("", &["pods/proxy", "services/proxy"], &["get"]),
    ("", &["pods/exec"], &["create", "get"]),
    ("", &["pods"], &["delete"]),
    ("discovery.k8s.io", &["endpointslices"], LOOK),
    // Of the environment's own namespace: whether it is there, and is not about to go.
    ("", &["namespaces"], &["get"]),
];

/// A Role with everything that deliveries use in a namespace, and its binding to a user or a service account
/// (`system:serviceaccount:NAMESPACE:NAME`).
pub fn role(namespace: &str, user: &str) -> [Object; 2] {
    let rules = RULES
        .iter()
        .map(|(group, resources, verbs)| json!({ "apiGroups": [group], "resources": resources, "verbs": verbs }));
    let metadata = json!({ "name": NAME, "namespace": namespace });
    let api = "rbac.authorization.k8s.io/v1";
    let role = json!({
        "apiVersion": api, "kind": "Role", "metadata": metadata, "rules": rules.collect::<Vec<_>>(),
    });
    let binding = json!({
        "apiVersion": api, "kind": "RoleBinding", "metadata": metadata,
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": NAME },
        "subjects": [subject(user)],
    });
    [Object(role), Object(binding)]
}

/// Why there is no plan, for people. Where the user may not even look, it names all the rights that deliveries use and the
/// user lacks: else they are granted one by one.
pub(crate) async fn unplanned(cluster: &Cluster, error: PlanError) -> DeliveryError {
    let PlanError::Cluster(error @ ClusterError::Forbidden { .. }) = error else { return error.into() };
    // One line a resource: `may not get, list, watch pods in namespace prod`.
    let mut lines: Vec<Missing> = Vec::new();
    let lacking = match cluster.lacking(used(cluster.namespace())).await {
        Ok(lacking) => lacking,
        Err(error) => return error.into(),
    };
    for missing in lacking {
        match lines.last_mut().filter(|last| (&last.group, &last.resource) == (&missing.group, &missing.resource)) {
            Some(last) => last.verb = format!("{}, {}", last.verb, missing.verb),
            None => lines.push(missing),
        }
    }
    if lines.is_empty() {
        return error.into();
    }
    many("rights are missing", lines.iter().map(ToString::to_string)).next(error.next()).into()
}

/// Every right of [`RULES`].
fn used(namespace: &str) -> Vec<Missing> {
    let mut rights = Vec::new();
    for (group, resources, verbs) in RULES {
        for (resource, verb) in resources.iter().flat_map(|resource| verbs.iter().map(move |verb| (resource, verb))) {
            rights.push(Missing {
                verb: (*verb).to_owned(),
                resource: (*resource).to_owned(),
                group: (*group).to_owned(),
                name: String::new(),
                namespace: Some(namespace.to_owned()),
            });
        }
    }
    rights
}

fn subject(user: &str) -> Value {
    let account = user.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'));
    match account {
        Some((namespace, name)) => json!({ "kind": "ServiceAccount", "namespace": namespace, "name": name }),
        None => json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user }),
    }
}

/// Who the cluster takes the context's credentials for.
///
/// # Errors
/// Those of asking it.
pub async fn who(cluster: &Cluster) -> Result<String, ClusterError> {
    let review = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview" });
    let answer = cluster.create(&Object(review), NAME).await?;
    Ok(answer.text("/status/userInfo/username").to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_account_is_bound_as_one_and_a_user_as_a_user() {
        let [_, binding] = role("prod", "system:serviceaccount:ci:release");
        assert_eq!(binding.text("/subjects/0/kind"), "ServiceAccount");
        assert_eq!(binding.text("/subjects/0/name"), "release");
        let [role, binding] = role("prod", "ana@example.com");
        assert_eq!(binding.text("/subjects/0/name"), "ana@example.com");
        assert!(role.list("/rules").iter().all(|rule| rule["verbs"] != json!(["*"])));
    }
}
