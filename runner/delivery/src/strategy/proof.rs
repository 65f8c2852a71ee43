//! The proof that a release passed all that its step asks of it under traffic: smoke tests, public checks, the watch.
//!
//! Invariant: the mark names the release that it is about, so that one left by an earlier release in the same place proves
//! nothing. Whoever finds a live release without it goes on from its checks, and never passes it as delivered.

use jiff::Timestamp;
use serde_json::json;

use super::Delivery;
use super::survey::id_in;
use crate::cluster::{ClusterError, MANAGER, Patch};
use crate::unit::{PROVED, RELEASE};
use crate::{DeliveryError, Object};

/// When a workload was proved as the release that it is; None where it was not.
pub(crate) fn proved(workload: &Object) -> Option<Timestamp> {
    let mark = workload.annotations().remove(PROVED)?;
    let (release, at) = mark.split_once(' ')?;
    let own = workload.pod_labels().get(RELEASE).is_some_and(|own| own == release);
    if own { at.parse().ok() } else { None }
}

/// Takes the mark off a workload that is delivered once more: what was good then is asked again now.
pub(super) async fn unprove(delivery: &Delivery<'_>, now: &Object) -> Result<(), ClusterError> {
    if proved(now).is_some() {
        let patch = Patch::Merge(json!({"metadata": {"annotations": {PROVED: null}}}));
        delivery.cluster.patch(&id_in(now, &delivery.cluster), MANAGER, &patch).await?;
    }
    Ok(())
}

/// Marks the release's workloads. One that cannot be marked is checked once more where the release is delivered again.
pub(super) async fn prove(delivery: &Delivery<'_>, workloads: impl Iterator<Item = &Object>) {
    for workload in workloads {
        if let Err(error) = mark(delivery, workload).await {
            delivery.progress.warn(format!("{} is not marked as proved: {error}", workload.id()));
        }
    }
}

async fn mark(delivery: &Delivery<'_>, workload: &Object) -> Result<(), DeliveryError> {
    let Some(now) = delivery.now(workload).await? else { return Ok(()) };
    if proved(&now).is_some() {
        return Ok(());
    }
    let mark = format!("{} {}", delivery.plan.release, delivery.progress.now());
    let patch = Patch::Merge(json!({"metadata": {"annotations": {PROVED: mark}}}));
    match delivery.cluster.patch(&id_in(workload, &delivery.cluster), MANAGER, &patch).await {
        Ok(_) | Err(ClusterError::NotFound(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_proves_the_release_that_it_names() {
        let workload = |mark: &str| {
            Object(json!({"kind": "Deployment", "metadata": {"annotations": {PROVED: mark}},
                "spec": {"template": {"metadata": {"labels": {RELEASE: "v1-2-3-1a2b3c4d"}}}}}))
        };
        assert!(proved(&workload("v1-2-3-1a2b3c4d 2026-11-19T14:00:00Z")).is_some());
        for wrong in ["v1-2-2-1a2b3c4d 2026-11-19T14:00:00Z", "v1-2-3-1a2b3c4d", "v1-2-3-1a2b3c4d soon", ""] {
            assert_eq!(proved(&workload(wrong)), None, "{wrong}");
        }
    }
}
