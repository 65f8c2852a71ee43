//! There is no room: a quota, a limit range, or no node that takes the pods.

use super::Scene;
use super::image::shorten;
use crate::Failure;
use crate::rollout::TroubleKind;

pub(super) fn find(scene: &Scene) -> Option<Failure> {
    let refused = scene.owners.iter().flat_map(|owner| owner.list("/status/conditions"));
    let refused = refused.filter(|condition| condition["type"] == "ReplicaFailure" && condition["status"] == "True");
    let refused = refused.filter_map(|condition| condition["message"].as_str());
    if let Some(message) = refused.chain(scene.warnings(&["FailedCreate"])).next() {
        let (what, next) = if message.contains("exceeded quota") {
            ("the namespace's quota is too small", "raise the ResourceQuota, or give the pods less")
        } else if message.contains("LimitRange") || message.contains("per Container") {
            ("a limit range forbids the pods", "give requests and limits that the LimitRange allows")
        } else {
            ("the pods are refused", "read the message: a policy or webhook of the cluster says no")
        };
        return Some(Failure::new(what, shorten(message)).next(next));
    }
    let (_, trouble) = scene.troubled(|trouble| trouble.kind == TroubleKind::Unschedulable)?;
    let why = format!("{} {}", trouble.pod, shorten(&trouble.text));
    let next = if trouble.text.contains("Insufficient") {
        "add a node, or lower resources.requests"
    } else {
        "look at the pods' nodeSelector, affinity and tolerations"
    };
    Some(Failure::new("no node takes the pods", why).next(next))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Object;

    #[test]
    fn a_quota_is_named_by_the_replica_set_that_met_it() {
        let owner = json!({"kind": "ReplicaSet", "status": {"conditions": [{"type": "ReplicaFailure",
            "status": "True", "message": "pods \"a\" is forbidden: exceeded quota: q, requested: pods=1"}]}});
        let found = find(&Scene { owners: vec![Object(owner)], ..Scene::default() }).unwrap();
        assert_eq!(found.what, "the namespace's quota is too small");
        assert!(found.why.contains("exceeded quota: q"), "{found}");
    }
}
