//! The new release beside the live one: configuration, then workloads with as many pods as the live ones have.

use serde_json::json;

use super::super::proof::unprove;
use super::super::put::{Moved, put, scale};
use super::super::{Delivery, Snapshot};
use crate::inputs::Replicas;
use crate::rollout::status;
use crate::unit::{BlueGreenShape, Swap, first_pods, least_pods};
use crate::{DeliveryError, Object};

/// What is no part of the switch: configuration under its own names, accounts, and the Services' other fields.
pub(super) async fn in_place(delivery: &Delivery<'_>, shape: &BlueGreenShape) -> Result<(), DeliveryError> {
    let plain = shape.in_place.iter().map(|object| (object, Moved::Replicas));
    let switched = shape.services.iter().map(|object| (object, Moved::Traffic));
    for (object, moved) in plain.chain(switched) {
        delivery.go_on()?;
        put(&delivery.cluster, object, moved, delivery.rules()).await?;
    }
    Ok(())
}

/// The new workloads.
pub(super) async fn beside(
    delivery: &Delivery<'_>,
    shape: &BlueGreenShape,
    before: &Snapshot,
) -> Result<(), DeliveryError> {
    for swap in &shape.swaps {
        delivery.go_on()?;
        let replicas = replicas(delivery, shape, swap, before);
        let mut object = swap.object.clone();
        object.set("/spec/replicas", json!(replicas));
        let (now, _) = put(&delivery.cluster, &object, Moved::Replicas, delivery.rules()).await?;
        unprove(delivery, &now).await?;
        scale(&delivery.cluster, &now, replicas).await?;
        delivery.say(format!("{} is set up beside what is live, {replicas} pods", now.id()));
    }
    let names = shape.swaps.iter().map(|swap| swap.object.name()).collect::<Vec<_>>().join(", ");
    delivery.record("created", format!("{names} set up; no traffic yet"), json!(null)).await?;
    Ok(())
}

/// As many as the step says, as the live one has, or as the manifest says; at least the autoscaler's least and one.
pub(in super::super) fn replicas(
    delivery: &Delivery<'_>,
    shape: &BlueGreenShape,
    swap: &Swap,
    before: &Snapshot,
) -> u32 {
    let manifest = u32::try_from(first_pods(&shape.autoscalers, &swap.object)).unwrap_or(1);
    let live = before.workloads.get(&swap.base).map(super::super::Kept::replicas);
    let least = least_pods(&shape.autoscalers, &swap.object).unwrap_or(1);
    let asked = match delivery.plan.inputs.replicas {
        Replicas::Count(count) => count,
        Replicas::Manifest => manifest,
        Replicas::Previous => live.filter(|count| *count > 0).unwrap_or(manifest),
    };
    asked.max(u32::try_from(least).unwrap_or(1)).max(1)
}

/// Waits for all of them; gives the new workloads' pods.
pub(super) async fn ready(delivery: &Delivery<'_>, shape: &BlueGreenShape) -> Result<Vec<Object>, DeliveryError> {
    let new = shape.swaps.iter().map(|swap| &swap.object);
    let others = shape.in_place.iter().filter(|object| status(object).is_some());
    let all: Vec<Object> = new.chain(others).cloned().collect();
    let pods = delivery.ready(&all).await?;
    let of_release = |pod: &Object| shape.swaps.iter().any(|swap| belongs(pod, swap));
    let pods: Vec<Object> = pods.into_iter().filter(of_release).collect();
    delivery.record("ready", format!("{} pods are ready; no traffic yet", pods.len()), json!(null)).await?;
    Ok(pods)
}

/// Whether a pod is one of a new workload.
pub(in super::super) fn belongs(pod: &Object, swap: &Swap) -> bool {
    crate::object::selects(&swap.object.pod_labels(), &pod.labels())
}
