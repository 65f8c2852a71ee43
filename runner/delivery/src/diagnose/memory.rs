//! A container was killed for its memory. There is no event of it: the pod's state says so.

use serde_json::Value;

use super::Scene;
use crate::Failure;

pub(super) fn find(scene: &Scene) -> Option<Failure> {
    for pod in &scene.pods {
        for status in pod.list("/status/containerStatuses") {
            let ended = ["/lastState/terminated", "/state/terminated"].iter().find_map(|place| status.pointer(place));
            if ended.is_none_or(|ended| ended["reason"] != "OOMKilled") {
                continue;
            }
            let name = status["name"].as_str().unwrap_or_default();
            let container = pod.list("/spec/containers").iter().find(|container| container["name"] == name);
            let limit = container.and_then(|container| container.pointer("/resources/limits/memory"));
            let limit = limit.and_then(Value::as_str).unwrap_or("of the node");
            let times = status["restartCount"].as_i64().unwrap_or(0).max(1);
            let times = if times == 1 { "once".to_owned() } else { format!("{times} times") };
            let why = format!("{} OOMKilled {times} (limit {limit})", pod.name());
            let mut failure = Failure::new("a container ran out of memory", why)
                .next("raise resources.limits.memory in the manifests, or find the leak");
            failure.evidence = scene.tail(pod.name());
            return Some(failure);
        }
    }
    None
}
