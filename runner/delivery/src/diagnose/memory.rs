//! A container was killed for its memory. There is no event of it: the pod's state says so.

use serde_json::Value;

use super::Scene;
use crate::{Failure, Object};

/// Where containers stand in a pod: their states and what was asked for them.
const LISTS: [(&str, &str); 2] =
    [("/status/initContainerStatuses", "/spec/initContainers"), ("/status/containerStatuses", "/spec/containers")];

pub(super) fn find(scene: &Scene) -> Option<Failure> {
    scene.pods.iter().find_map(|pod| {
        let (status, limit) = killed(pod)?;
        let times = status["restartCount"].as_i64().unwrap_or(0).max(1);
        let times = if times == 1 { "once".to_owned() } else { format!("{times} times") };
        let (what, own) = match limit.map(|limit| limit.as_str().map_or_else(|| limit.to_string(), str::to_owned)) {
            Some(limit) => (format!("a container was killed at its memory limit {limit}"), ""),
            None => ("a container ran out of memory".to_owned(), " (it has no limit of its own)"),
        };
        let mut failure = Failure::new(what, format!("{} OOMKilled {times}{own}", pod.name()))
            .next("raise resources.limits.memory in the manifests, or find the leak");
        failure.evidence = scene.tail(pod.name());
        Some(failure)
    })
}

/// The state of the container that was killed, and its limit.
fn killed(pod: &Object) -> Option<(&Value, Option<&Value>)> {
    LISTS.iter().find_map(|(statuses, specs)| {
        let status = pod.list(statuses).iter().find(|status| {
            let ended = ["/lastState/terminated/reason", "/state/terminated/reason"].iter();
            ended.filter_map(|place| status.pointer(place)).any(|reason| reason == "OOMKilled")
        })?;
        let container = pod.list(specs).iter().find(|container| container["name"] == status["name"]);
        Some((status, container.and_then(|one| one.pointer("/resources/limits/memory"))))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::pod;
    use super::*;

    #[test]
    fn containers_that_prepare_a_pod_are_looked_at_too() {
        let ended = |reason: &str| json!({"terminated": {"reason": reason, "exitCode": 137}});
        let mut pod = pod(
            "a",
            json!({"initContainerStatuses": [{"name": "prepare", "restartCount": 0, "state": ended("OOMKilled")}],
            "containerStatuses": [{"name": "web", "restartCount": 0, "state": {"waiting": {}}}]}),
        );
        let said = |pod: &Object| {
            let failure = find(&Scene { pods: vec![pod.clone()], ..Scene::default() }).unwrap();
            format!("{}: {}", failure.what, failure.why)
        };
        assert_eq!(said(&pod), "a container ran out of memory: a OOMKilled once (it has no limit of its own)");
        pod.set("/spec/initContainers", json!([{"name": "prepare", "resources": {"limits": {"memory": "16Mi"}}}]));
        assert_eq!(said(&pod), "a container was killed at its memory limit 16Mi: a OOMKilled once");
        // The last end counts as well as the one before it.
        pod.set(
            "/status",
            json!({"containerStatuses": [{"name": "web", "restartCount": 1, "state": ended("OOMKilled"),
            "lastState": ended("Error")}]}),
        );
        assert_eq!(said(&pod), "a container was killed at its memory limit 64Mi: a OOMKilled once");
    }
}
