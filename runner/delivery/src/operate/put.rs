//! Setting places of live objects, and waiting until they run so.
//!
//! Invariants: nothing is set on another object than the one that was decided on, nor over a change that came in between.

use std::time::Duration;

use serde_json::{Value, json};

use super::OPERATE;
use super::field::{Change, Place, given_up};
use crate::cluster::{Cluster, ClusterError, Filter, Patch, Tries};
use crate::rollout::{Wait, WaitError, wait_for, wait_ready};
use crate::{DeliveryError, Failure, Object, Progress};

/// The object that a change was decided on; none where it is gone, whatever bears its name now.
pub(super) async fn find(cluster: &Cluster, change: &Change) -> Result<Option<Object>, ClusterError> {
    let found = cluster.get(&change.id).await?;
    Ok(found.filter(|found| found.uid() == change.uid && !found.is_terminating()))
}

/// The same; that it is gone is a failure.
pub(super) async fn same(cluster: &Cluster, change: &Change) -> Result<Object, DeliveryError> {
    find(cluster, change).await?.ok_or_else(|| {
        let why = "another one bears its name, or none";
        Failure::new(format!("{} is not there any more", change.id), why).next("plan it again").into()
    })
}

/// Sets the places, if they are not so already; gives back the object as it is then.
pub(crate) async fn put(cluster: &Cluster, change: &Change) -> Result<Object, DeliveryError> {
    put_as(cluster, change, |now| change.on(now)).await
}

/// The same for the object of a change, as `wanted` makes it of what is there at that moment.
pub(super) async fn put_as(
    cluster: &Cluster,
    change: &Change,
    wanted: impl Fn(&Object) -> Object,
) -> Result<Object, DeliveryError> {
    let mut tries = Tries::default();
    loop {
        let now = same(cluster, change).await?;
        let wanted = wanted(&now);
        if wanted == now {
            return Ok(now);
        }
        match cluster.patch(&change.id, OPERATE, &Patch::Merge(difference(&now, &wanted))).await {
            Err(error) if tries.again(&error) => {}
            patched => return Ok(patched?),
        }
    }
}

/// A merge patch from one to the other, for this version of the object only.
fn difference(now: &Object, wanted: &Object) -> Value {
    let mut patch = merge(&now.0, &wanted.0).unwrap_or_else(|| json!({}));
    patch["metadata"]["resourceVersion"] = json!(now.resource_version());
    patch
}

fn merge(now: &Value, wanted: &Value) -> Option<Value> {
    match (now, wanted) {
        _ if now == wanted => None,
        (Value::Object(now), Value::Object(wanted)) => {
            let mut patch = serde_json::Map::new();
            for key in now.keys().filter(|key| !wanted.contains_key(*key)) {
                patch.insert(key.clone(), Value::Null);
            }
            for (key, value) in wanted {
                match now.get(key) {
                    Some(old) => patch.extend(merge(old, value).map(|part| (key.clone(), part))),
                    None => drop(patch.insert(key.clone(), value.clone())),
                }
            }
            Some(patch.into())
        }
        _ => Some(wanted.clone()),
    }
}

/// What is put back belongs to whoever applies it next; what else we own there stays ours, for another operation is in force.
/// On an object that never holds still it stays with us: it is put back all the same.
pub(super) async fn release(cluster: &Cluster, mut object: Object, places: &[Place]) -> Result<Object, ClusterError> {
    let mut tries = Tries::default();
    while let Some(fields) = given_up(&object, OPERATE, places) {
        let patch = json!({"metadata": {"resourceVersion": object.resource_version(), "managedFields": fields}});
        match cluster.patch(&object.id(), OPERATE, &Patch::Merge(patch)).await {
            // Its controller was quicker.
            Err(error @ ClusterError::Changed { .. }) => {
                object = cluster.get(&object.id()).await?.ok_or(error)?;
                if !tries.one_more() {
                    return Ok(object);
                }
            }
            patched => return patched,
        }
    }
    Ok(object)
}

/// Waits until what was changed runs so: ready, or, with 0 replicas, gone.
pub(crate) async fn settle(
    cluster: &Cluster,
    objects: &[Object],
    timeout: Duration,
    progress: &dyn Progress,
) -> Result<(), DeliveryError> {
    let (idle, busy): (Vec<Object>, Vec<Object>) =
        objects.iter().cloned().partition(|each| each.number("/spec/replicas") == Some(0));
    let wait = Wait { timeout, ..Wait::default() };
    // Watches share one filter: workloads of one namespace need not have a label in common.
    for workload in &busy {
        match wait_ready(cluster, std::slice::from_ref(workload), &wait, progress).await {
            Ok(_) => {}
            Err(WaitError::Stopped(stop)) => return Err(stop.into()),
            Err(WaitError::Cluster(error)) => return Err(error.into()),
            Err(WaitError::NotReady { why, pods, .. }) => {
                let scene = crate::diagnose::scene(cluster, &pods, std::slice::from_ref(workload)).await;
                let what = format!("{} does not come up", workload.id());
                let cause = scene.cause().unwrap_or_default();
                let why = if cause.what.is_empty() { why } else { format!("{}: {}", cause.what, cause.why) };
                return Err(Failure { what, why, ..cause }.into());
            }
        }
    }
    for workload in idle.iter().filter(|each| each.template_pointer().is_some()) {
        let labels = workload.texts("/spec/selector/matchLabels");
        let gone = |pods: &[Object]| pods.is_empty().then_some(());
        let ended = wait_for(cluster, ("v1", "Pod"), Filter::labels(&labels), timeout, progress, gone).await;
        match ended {
            Ok(Some(())) => progress.say(format!("{} has no pods any more", workload.id())),
            Ok(None) => {
                let why = format!("its pods were still there after {} s", timeout.as_secs());
                return Err(Failure::new(format!("{} does not stop", workload.id()), why).into());
            }
            Err(WaitError::Stopped(stop)) => return Err(stop.into()),
            Err(WaitError::Cluster(error)) => return Err(error.into()),
            Err(WaitError::NotReady { why, .. }) => return Err(Failure::new(why, "").into()),
        }
    }
    Ok(())
}
