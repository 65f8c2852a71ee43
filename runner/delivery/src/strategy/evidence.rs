//! What is kept before pods are removed: their logs, their events, their answers to the step's hooks (a heap dump), and the
//! workloads' state. Never in the way of going back: all pods are asked at the same time, within one limit, and what cannot
//! be had is noted.

use std::future::Future;
use std::time::Duration;

use futures_util::future::try_join_all;
use serde_json::json;

use crate::cluster::{Cluster, HttpCall, LogCall};
use crate::inputs::deploy::EvidenceHook;
use crate::{DeliveryError, Object, Progress, Stop};

/// Of so many pods; further ones say the same.
const PODS: usize = 10;
/// So many pods are asked at the same time: each may answer with a dump that is held in memory.
const AT_ONCE: usize = 5;
/// Lines of each container's log.
const LINES: u32 = 2000;
/// An API server that does not answer may not hold the way back up.
const PATIENCE: Duration = Duration::from_secs(10);
/// A dump may take so long, and be so big.
const DUMP: (Duration, usize) = (Duration::from_secs(30), 64 << 20);
/// All of it together.
pub(crate) const LIMIT: Duration = Duration::from_secs(90);
/// Pods that are about to be replaced are asked so long before.
const AHEAD: Duration = Duration::from_secs(1);

/// Keeps the evidence of pods, as `evidence/POD/…`.
pub(crate) async fn keep(
    cluster: &Cluster,
    progress: &dyn Progress,
    pods: &[Object],
    workloads: &[Object],
    hooks: &[EvidenceHook],
) -> Result<(), Stop> {
    tokio::select! {
        biased;
        kept = all(cluster, progress, pods, workloads, hooks) => kept,
        () = progress.sleep(LIMIT) => {
            progress.warn(format!("the evidence is not complete: it took longer than {} s", LIMIT.as_secs()));
            Ok(())
        }
    }
}

/// Keeps evidence while what replaces its pods goes on. The pods have a moment's start, for the first to be replaced are
/// those that fail; nothing waits longer for them.
pub(crate) async fn alongside<T>(
    kept: impl Future<Output = Result<(), Stop>>,
    work: impl Future<Output = Result<T, DeliveryError>>,
    progress: &dyn Progress,
) -> Result<T, DeliveryError> {
    let mut kept = std::pin::pin!(kept);
    let early = tokio::select! {
        biased;
        kept = &mut kept => Some(kept),
        () = progress.sleep(AHEAD) => None,
    };
    if let Some(kept) = early {
        kept?;
        return work.await;
    }
    let (done, kept) = tokio::join!(work, kept);
    let done = done?;
    kept?;
    Ok(done)
}

async fn all(
    cluster: &Cluster,
    progress: &dyn Progress,
    pods: &[Object],
    workloads: &[Object],
    hooks: &[EvidenceHook],
) -> Result<(), Stop> {
    let cluster = &cluster.with_patience(PATIENCE);
    let uids: Vec<&str> = pods.iter().chain(workloads).map(Object::uid).collect();
    let state = async {
        let events = cluster.events(&uids).await.unwrap_or_default();
        let state = json!({"workloads": workloads, "pods": pods, "events": events});
        progress.keep("evidence/state.json".to_owned(), state.to_string().into_bytes()).await
    };
    let each = async {
        for some in pods[..pods.len().min(PODS)].chunks(AT_ONCE) {
            try_join_all(some.iter().map(|pod| of_pod(cluster, progress, pod, hooks))).await?;
        }
        Ok(())
    };
    tokio::try_join!(state, each).map(drop)
}

async fn of_pod(cluster: &Cluster, progress: &dyn Progress, pod: &Object, hooks: &[EvidenceHook]) -> Result<(), Stop> {
    let name = pod.name();
    for container in pod.list("/spec/containers").iter().filter_map(|each| each["name"].as_str()) {
        for previous in [false, true] {
            let call =
                LogCall { container: Some(container.to_owned()), lines: Some(LINES), previous, ..LogCall::default() };
            if let Ok(logs) = cluster.logs(name, &call).await
                && !logs.text.is_empty()
            {
                let suffix = if previous { ".previous" } else { "" };
                progress.keep(format!("evidence/{name}/{container}{suffix}.log"), logs.text.into_bytes()).await?;
            }
        }
    }
    for hook in hooks {
        dump(cluster, progress, pod, hook).await?;
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

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::testing::Link;

    #[test]
    fn going_back_does_not_wait_for_evidence() {
        let (done, is_done) = tokio::sync::oneshot::channel();
        // Evidence that is there only when the old pods are back.
        let kept = async {
            let _ = is_done.await;
            Ok(())
        };
        let back = async {
            let _ = done.send(());
            Ok::<_, DeliveryError>("back")
        };
        let ended = alongside(kept, back, &Link::default()).now_or_never().expect("neither waits for the other");
        assert_eq!(ended.unwrap(), "back");
    }

    #[test]
    fn quick_evidence_is_had_before_anything_is_replaced() {
        let order = std::cell::RefCell::new(Vec::new());
        let kept = async {
            order.borrow_mut().push("kept");
            Ok(())
        };
        let back = async {
            order.borrow_mut().push("replaced");
            Ok::<_, DeliveryError>(())
        };
        alongside(kept, back, &Link::default()).now_or_never().expect("nothing waits").unwrap();
        assert_eq!(*order.borrow(), ["kept", "replaced"]);
    }
}
