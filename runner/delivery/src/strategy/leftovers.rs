//! What a release leaves behind: objects that are not rendered any more, and configuration of the release before.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{Delivery, Kept, Snapshot, is_of};
use crate::action::{Fate, Retirement};
use crate::cluster::{ClusterError, Precondition, Propagation};
use crate::inputs::Strategy;
use crate::progress::recorded;
use crate::render::config::references;
use crate::{DeliveryError, Object, ObjectId};

/// How long the configuration of the release before is kept in a rolling delivery: a way back needs it.
const KEEP: SignedDuration = SignedDuration::from_hours(24);

/// Removes what the plan found of the unit that is not rendered any more. Bound to the UIDs of the plan.
pub(super) async fn prune(delivery: &Delivery<'_>) -> Result<(), DeliveryError> {
    for (id, uid) in &delivery.plan.prune {
        let now = delivery.cluster.get(id).await?;
        let Some(now) = now.filter(|now| now.uid() == uid && is_of(now, &delivery.plan.unit)) else { continue };
        match delivery.cluster.delete(id, &Precondition::unchanged(&now), Propagation::Background).await {
            Ok(_) => delivery.say(format!("{id} is removed: it is not rendered any more")),
            Err(error @ ClusterError::Changed { .. }) => delivery.progress.warn(format!("{id} stays: {error}")),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// ConfigMaps and Secrets of the unit that only the release before refers to.
pub(super) async fn unused<'a>(
    delivery: &Delivery<'_>,
    new: impl Iterator<Item = &'a Object>,
    old: impl Iterator<Item = &'a Kept>,
) -> Result<Vec<(ObjectId, String)>, DeliveryError> {
    let used: BTreeSet<_> = new.flat_map(references).collect();
    let old: BTreeSet<_> = old.flat_map(|kept| references(&kept.object)).collect();
    let mut found = Vec::new();
    for (kind, name) in old.difference(&used) {
        let id = ObjectId::new("v1", kind, delivery.cluster.namespace(), name);
        let now = delivery.cluster.get(&id).await?;
        if let Some(now) = now.filter(|now| is_of(now, &delivery.plan.unit)) {
            found.push((id, now.uid().to_owned()));
        }
    }
    Ok(found)
}

/// The retirement of a rolling delivery: recorded as `kept`.
pub(super) async fn configuration(
    delivery: &Delivery<'_>,
    objects: &[Object],
    before: &Snapshot,
) -> Result<Vec<Retirement>, DeliveryError> {
    if let Some(kept) = recorded(delivery.progress, "kept") {
        return Ok(serde_json::from_value(kept.data["retire"].clone()).unwrap_or_default());
    }
    let objects = unused(delivery, objects.iter(), before.workloads.values()).await?;
    let retire: Vec<Retirement> = match &before.live {
        Some(live) if !objects.is_empty() => vec![Retirement {
            environment: delivery.site.environment.clone(),
            target: delivery.site.target.clone(),
            unit: delivery.plan.unit.clone(),
            release: live.release.clone(),
            version: live.version.clone(),
            services: Vec::new(),
            objects,
            fate: Fate::Delete,
            due: delivery.progress.now().checked_add(keep(delivery)).unwrap_or(Timestamp::MAX),
        }],
        _ => Vec::new(),
    };
    let text = match retire.first() {
        Some(each) => format!("the configuration of {} is kept until {}", each.version, each.due),
        None => "nothing of an old release is left".to_owned(),
    };
    delivery.record("kept", text, json!({"retire": retire})).await?;
    Ok(retire)
}

fn keep(delivery: &Delivery<'_>) -> SignedDuration {
    match &delivery.plan.inputs.strategy {
        Strategy::BlueGreen(knobs) => SignedDuration::try_from(*knobs.keep_old).unwrap_or(KEEP),
        Strategy::Rolling(_) => KEEP,
    }
}
