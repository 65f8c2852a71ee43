//! Reads what the rules look at. What cannot be read is left out: a diagnosis is better with less than not at all.

use std::collections::BTreeMap;

use super::Scene;
use crate::Object;
use crate::cluster::{Cluster, LogCall};
use crate::rollout::is_ready;

/// Logs of so many pods are read; further ones say the same.
const PODS: usize = 3;

/// The scene of these pods: their events, their logs, and the objects given that own them.
pub async fn scene(cluster: &Cluster, pods: &[Object], owners: &[Object]) -> Scene {
    let uids: Vec<&str> = pods.iter().chain(owners).map(Object::uid).filter(|uid| !uid.is_empty()).collect();
    let events = match cluster.events(&uids).await {
        Ok(events) => events,
        Err(error) => {
            tracing::debug!(%error, "no events for a diagnosis");
            Vec::new()
        }
    };
    let mut logs = BTreeMap::new();
    for pod in pods.iter().filter(|pod| !is_ready(pod)).take(PODS) {
        if let Some(text) = log(cluster, pod).await {
            logs.insert(pod.name().to_owned(), text);
        }
    }
    Scene { pods: pods.to_vec(), events, owners: owners.to_vec(), logs }
}

/// The last lines of a pod: of the container that ended, where one was started again.
pub(crate) async fn log(cluster: &Cluster, pod: &Object) -> Option<String> {
    let restarted = |status: &&serde_json::Value| status["restartCount"].as_i64().is_some_and(|count| count > 0);
    let previous = pod.list("/status/containerStatuses").iter().find(restarted);
    let container = previous.and_then(|status| status["name"].as_str()).map(str::to_owned);
    let mut calls = vec![LogCall { previous: false, ..LogCall::default() }];
    if let Some(container) = container {
        calls.insert(0, LogCall { previous: true, container: Some(container), ..LogCall::default() });
    }
    for call in calls {
        if let Ok(logs) = cluster.logs(pod.name(), &call).await
            && !logs.text.trim().is_empty()
        {
            return Some(logs.text);
        }
    }
    None
}
