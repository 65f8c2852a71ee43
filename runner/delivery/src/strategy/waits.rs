//! Waiting for workloads, and saying why they do not come.

use std::time::Duration;

use super::Delivery;
use super::survey::id_in;
use crate::cluster::{Cluster, Filter, Labels};
use crate::diagnose::scene;
use crate::object::selects;
use crate::rollout::{Wait, WaitError, wait_for, wait_ready};
use crate::unit::pods_selector;
use crate::{DeliveryError, Failure, Object, Progress};

/// Pods that end are waited for so long.
pub(super) const ENDING: Duration = Duration::from_mins(2);

/// Waits until workloads are rolled out and ready; gives their pods. Where they do not come, the failure names the cause.
pub(crate) async fn ready(
    cluster: &Cluster,
    workloads: &[Object],
    timeout: Duration,
    progress: &dyn Progress,
) -> Result<Vec<Object>, DeliveryError> {
    let wait = Wait { timeout, ..Wait::default() };
    match wait_ready(cluster, workloads, &wait, progress).await {
        Ok(pods) => Ok(pods),
        Err(WaitError::NotReady { why, pods, status, .. }) => {
            let mut owners = Vec::new();
            for each in &status {
                owners.extend(cluster.get(&each.id).await?);
            }
            let cause = scene(cluster, &pods, &owners).await.cause();
            let lines = status.iter().map(ToString::to_string);
            let mut failure = cause.unwrap_or_else(|| Failure::new("pods do not get ready", why.clone()));
            failure.evidence.extend(std::iter::once(why).chain(lines));
            failure.evidence.dedup();
            Err(failure.into())
        }
        Err(WaitError::Cluster(error)) => Err(error.into()),
        Err(WaitError::Stopped(stop)) => Err(stop.into()),
    }
}

/// Waits until no pod has all of these labels any more, ending ones included.
pub(crate) async fn gone(
    cluster: &Cluster,
    labels: &Labels,
    timeout: Duration,
    progress: &dyn Progress,
) -> Result<bool, DeliveryError> {
    all_pods(cluster, labels, timeout, progress, |pod| !selects(labels, &pod.labels())).await
}

/// Waits until something holds for every pod with these labels, ending ones included. False where it takes longer.
pub(crate) async fn all_pods(
    cluster: &Cluster,
    labels: &Labels,
    timeout: Duration,
    progress: &dyn Progress,
    holds: impl Fn(&Object) -> bool,
) -> Result<bool, DeliveryError> {
    let found = wait_for(cluster, ("v1", "Pod"), Filter::labels(labels), timeout, progress, |pods| {
        pods.iter().all(&holds).then_some(())
    });
    match found.await {
        Ok(found) => Ok(found.is_some()),
        Err(WaitError::Cluster(error)) => Err(error.into()),
        Err(WaitError::Stopped(stop)) => Err(stop.into()),
        Err(error) => Err(Failure::new("pods cannot be watched", error.to_string()).into()),
    }
}

/// Waits for the end of those pods of Deployments, `StatefulSet`s and `DaemonSet`s that do not stay: until then some
/// proxies may still send them requests, and whoever asks meets the other release. Warns where one takes long.
pub(crate) async fn others_gone(
    cluster: &Cluster,
    workloads: &[Object],
    progress: &dyn Progress,
    stays: impl Fn(&Object) -> bool,
) -> Result<(), DeliveryError> {
    for workload in workloads.iter().filter(|each| matches!(each.kind(), "Deployment" | "StatefulSet" | "DaemonSet")) {
        if !all_pods(cluster, &pods_selector(workload), ENDING, progress, &stays).await? {
            progress.warn(format!("old pods of {} take long to end", workload.id()));
        }
    }
    Ok(())
}

impl Delivery<'_> {
    /// [`ready`], within the step's time.
    pub(crate) async fn ready(&self, workloads: &[Object]) -> Result<Vec<Object>, DeliveryError> {
        ready(&self.cluster, workloads, *self.plan.inputs.timeout, self.progress).await
    }

    /// As the cluster has it now.
    pub(crate) async fn now(&self, object: &Object) -> Result<Option<Object>, DeliveryError> {
        Ok(self.cluster.get(&id_in(object, &self.cluster)).await?)
    }
}
