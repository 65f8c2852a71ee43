//! What is kept before pods are removed: their logs, their events, their answers to the step's hooks (a heap dump), and the
//! workloads' state. Never in the way of going back: what cannot be had is noted.

use std::time::Duration;

use serde_json::json;

use crate::cluster::{Cluster, HttpCall, LogCall};
use crate::inputs::deploy::EvidenceHook;
use crate::{Object, Progress, Stop};

/// Of so many pods; further ones say the same.
const PODS: usize = 10;
/// Lines of each container's log.
const LINES: u32 = 2000;
/// An API server that does not answer may not hold the way back up.
const PATIENCE: Duration = Duration::from_secs(10);
/// A dump may take so long, and be so big.
const DUMP: (Duration, usize) = (Duration::from_secs(30), 64 << 20);

/// Keeps the evidence of pods, as `evidence/POD/…`.
pub(crate) async fn keep(
    cluster: &Cluster,
    progress: &dyn Progress,
    pods: &[Object],
    workloads: &[Object],
    hooks: &[EvidenceHook],
) -> Result<(), Stop> {
    let cluster = cluster.with_patience(PATIENCE);
    let uids: Vec<&str> = pods.iter().chain(workloads).map(Object::uid).collect();
    let events = cluster.events(&uids).await.unwrap_or_default();
    let state = json!({"workloads": workloads, "pods": pods, "events": events});
    progress.keep("evidence/state.json".to_owned(), state.to_string().into_bytes()).await?;
    for pod in pods.iter().take(PODS) {
        let name = pod.name();
        for container in pod.list("/spec/containers").iter().filter_map(|each| each["name"].as_str()) {
            for previous in [false, true] {
                let call = LogCall {
                    container: Some(container.to_owned()),
                    lines: Some(LINES),
                    previous,
                    ..LogCall::default()
                };
                if let Ok(logs) = cluster.logs(name, &call).await
                    && !logs.text.is_empty()
                {
                    let suffix = if previous { ".previous" } else { "" };
                    progress.keep(format!("evidence/{name}/{container}{suffix}.log"), logs.text.into_bytes()).await?;
                }
            }
        }
        for hook in hooks {
            dump(&cluster, progress, pod, hook).await?;
        }
    }
    Ok(())
}

async fn dump(cluster: &Cluster, progress: &dyn Progress, pod: &Object, hook: &EvidenceHook) -> Result<(), Stop> {
    let first = pod.list("/spec/containers").iter().find_map(|each| each["ports"][0]["containerPort"].as_u64());
    let Some(port) = hook.port.or_else(|| first.and_then(|port| u16::try_from(port).ok())) else { return Ok(()) };
    let call = HttpCall { timeout: DUMP.0, limit: DUMP.1, ..HttpCall::get(&hook.path) };
    let place = format!("evidence/{}/{}", pod.name(), hook.path.trim_start_matches('/').replace(['/', '?', '&'], "_"));
    match cluster.pod_http(pod.name(), port, &call).await {
        Ok(answer) => progress.keep(place, answer.body).await,
        Err(error) => {
            progress.warn(format!("no evidence from {}:{port}{}: {error}", pod.name(), hook.path));
            Ok(())
        }
    }
}
