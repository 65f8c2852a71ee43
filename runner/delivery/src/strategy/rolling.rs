//! Rolling: the unit is changed in place, pod by pod.
//!
//! Invariants: how many pods may be missing or too many is what the step says, set into the manifests; "rolled out" is what
//! the controller has seen and all pods are; the way back is to what was there before, configuration included.

use serde_json::json;

use super::proof::{prove, unprove};
use super::put::{Moved, put, scale};
use super::{Delivery, Snapshot, already, back, begin, checks, hands, leftovers, waits};
use crate::action::{Outcome, Shape};
use crate::inputs::Replicas;
use crate::inputs::deploy::Drift;
use crate::rollout::status;
use crate::unit::{RELEASE, RollingShape, first_pods};
use crate::{DeliveryError, Failure, Object};

/// Delivers, and goes back where that fails.
pub(super) async fn deliver(delivery: &Delivery<'_>) -> Result<Outcome, DeliveryError> {
    let Shape::Rolling(shape) = delivery.plan.shape()? else {
        return Err(Failure::new("the plan is not one of rolling", "").next("plan it again").into());
    };
    let before = begin::rolling(delivery, &shape).await?;
    let result = match back::halted(delivery.progress) {
        Some(error) => Err(error),
        None => forward(delivery, &shape, &before).await,
    };
    back::settle(delivery, &before, result).await
}

/// The steps, in order.
async fn forward(delivery: &Delivery<'_>, shape: &RollingShape, before: &Snapshot) -> Result<Outcome, DeliveryError> {
    if !delivery.reached("switched") {
        checks::measure(delivery, before).await?;
        let applied = apply(delivery, shape).await?;
        let pods = ready(delivery, shape).await?;
        untouched(delivery, &applied).await?;
        old_pods_gone(delivery, shape).await?;
        checks::every_pod(delivery, &pods).await?;
        let at = json!({"at": delivery.progress.now()});
        delivery.record("switched", format!("all pods are of {}", delivery.plan.version), at).await?;
    }
    checks::public(delivery).await?;
    checks::watch(delivery, before).await?;
    prove(delivery, shape.objects.iter().filter(|object| status(object).is_some())).await;
    leftovers::prune(delivery).await;
    let retire = leftovers::configuration(delivery, before).await?;
    Ok(Outcome { retire, ..already::outcome(delivery, before.live.as_ref(), true) })
}

/// Everything, in order; workloads keep their number of pods unless the step says another. Gives the objects as they are then.
async fn apply(delivery: &Delivery<'_>, shape: &RollingShape) -> Result<Vec<Object>, DeliveryError> {
    let mut applied = Vec::new();
    for object in &shape.objects {
        delivery.go_on()?;
        let count = match delivery.plan.inputs.replicas {
            Replicas::Count(count) => Some(count),
            Replicas::Manifest => object.number("/spec/replicas").and_then(|count| u32::try_from(count).ok()),
            Replicas::Previous => None,
        };
        let scaled = matches!(object.kind(), "Deployment" | "StatefulSet");
        let mut wanted = object.clone();
        if scaled {
            // Of one that is there already its own number is kept, or scaled below.
            let first = count.map_or_else(|| first_pods(&shape.objects, object), i64::from);
            wanted.set("/spec/replicas", json!(first));
        }
        let (now, written) = put(&delivery.cluster, &wanted, Moved::Replicas, delivery.rules()).await?;
        unprove(delivery, &now).await?;
        if let Some(count) = count.filter(|_| scaled) {
            scale(&delivery.cluster, &now, count).await?;
        }
        if written {
            delivery.say(format!("{} applied", now.id()));
        }
        applied.push(now);
    }
    delivery.record("created", format!("{} is applied", delivery.plan.version), json!(null)).await?;
    Ok(applied)
}

/// Waits for all workloads that have pods.
async fn ready(delivery: &Delivery<'_>, shape: &RollingShape) -> Result<Vec<Object>, DeliveryError> {
    let mut workloads = Vec::new();
    for object in shape.objects.iter().filter(|object| status(object).is_some()) {
        let now = delivery.now(object).await?;
        workloads.extend(now.filter(|now| now.number("/spec/replicas") != Some(0)));
    }
    let pods = delivery.ready(&workloads).await?;
    delivery
        .record("ready", format!("{} pods of {} are ready", pods.len(), delivery.plan.version), json!(null))
        .await?;
    Ok(pods)
}

/// Waits for the old pods' end.
async fn old_pods_gone(delivery: &Delivery<'_>, shape: &RollingShape) -> Result<(), DeliveryError> {
    let release = delivery.plan.release.as_str();
    let is_new = |pod: &Object| pod.labels().get(RELEASE).is_some_and(|each| each == release);
    waits::others_gone(&delivery.cluster, &shape.objects, delivery.progress, is_new).await
}

/// Nobody else changed the workloads since they were applied.
async fn untouched(delivery: &Delivery<'_>, applied: &[Object]) -> Result<(), DeliveryError> {
    if delivery.plan.inputs.drift == Drift::Keep {
        return Ok(());
    }
    for object in applied.iter().filter(|object| status(object).is_some()) {
        let now = delivery.now(object).await?;
        let failure = now.map_or_else(
            || Some(Failure::new(hands::HAND, format!("{} is gone", object.id()))),
            |now| hands::intruder(&now, object),
        );
        if let Some(failure) = failure {
            return Err(failure.into());
        }
    }
    Ok(())
}
