//! After the switch: drain, scale down, keep, and what is removed later.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::super::put::{Moved, put, scale};
use super::super::{Delivery, Kept, Snapshot, already, id_in, leftovers};
use crate::action::{Fate, Outcome, Retirement};
use crate::inputs::BlueGreenKnobs;
use crate::progress::recorded;
use crate::unit::BlueGreenShape;
use crate::{DeliveryError, ObjectId};

/// What would have run new code before: CronJobs.
pub(super) async fn after(delivery: &Delivery<'_>, shape: &BlueGreenShape) -> Result<(), DeliveryError> {
    for object in &shape.after {
        put(&delivery.cluster, object, Moved::Replicas, delivery.rules()).await?;
    }
    Ok(())
}

/// Lets the old pods finish what they have under way. Counted from the switch.
pub(super) async fn drain(delivery: &Delivery<'_>, knobs: &BlueGreenKnobs) -> Result<(), DeliveryError> {
    let over = delivery.progress.now().duration_since(delivery.switched_at());
    let left = SignedDuration::try_from(*knobs.drain).unwrap_or(SignedDuration::ZERO) - over;
    if let Ok(left) = Duration::try_from(left)
        && !left.is_zero()
    {
        delivery.say(format!("the old pods finish what they have under way ({})", knobs.drain));
        delivery.pause(left).await?;
    }
    Ok(())
}

/// The old release keeps a few pods for a quick way back.
pub(super) async fn scale_down(
    delivery: &Delivery<'_>,
    knobs: &BlueGreenKnobs,
    shape: &BlueGreenShape,
    before: &Snapshot,
) -> Result<(), DeliveryError> {
    if delivery.reached("scaled-down") {
        return Ok(());
    }
    for kept in old(shape, before) {
        let Some(now) = delivery.now(&kept.object).await?.filter(|now| now.uid() == kept.uid) else { continue };
        let count = knobs.scale_old.min(kept.replicas());
        scale(&delivery.cluster, &now, count).await?;
        delivery.say(format!("{} is kept with {count} pods until it is removed", now.id()));
    }
    let text = format!("{} keeps {} pods of each workload", before.version(), knobs.scale_old);
    delivery.record("scaled-down", text, json!(null)).await?;
    Ok(())
}

/// The old workloads that are not the new ones.
fn old<'a>(shape: &'a BlueGreenShape, before: &'a Snapshot) -> impl Iterator<Item = &'a Kept> {
    let new = |kept: &&Kept| !shape.swaps.iter().any(|swap| swap.object.name() == kept.object.name());
    before.workloads.values().filter(new)
}

/// Remembers what is removed when its time has come.
pub(super) async fn keep(
    delivery: &Delivery<'_>,
    knobs: &BlueGreenKnobs,
    shape: &BlueGreenShape,
    before: &Snapshot,
) -> Result<Outcome, DeliveryError> {
    if let Some(milestone) = recorded(delivery.progress, "kept") {
        let retire = serde_json::from_value(milestone.data["retire"].clone()).unwrap_or_default();
        return Ok(Outcome { retire, ..already::outcome(delivery, before.live.as_ref(), true) });
    }
    let retire: Vec<Retirement> = retirement(delivery, knobs, shape, before).await?.into_iter().collect();
    let text = match retire.first() {
        Some(each) => format!("{} can be gone back to until {}", each.version, each.due),
        None => "nothing of an old release is left".to_owned(),
    };
    delivery.record("kept", text, json!({"retire": retire})).await?;
    Ok(Outcome { retire, ..already::outcome(delivery, before.live.as_ref(), true) })
}

async fn retirement(
    delivery: &Delivery<'_>,
    knobs: &BlueGreenKnobs,
    shape: &BlueGreenShape,
    before: &Snapshot,
) -> Result<Option<Retirement>, DeliveryError> {
    let Some(live) = &before.live else { return Ok(None) };
    let cluster = &delivery.cluster;
    let mut objects: Vec<(ObjectId, String)> =
        old(shape, before).map(|kept| (id_in(&kept.object, cluster), kept.uid.clone())).collect();
    if objects.is_empty() {
        return Ok(None);
    }
    let fate = if shape.colour.is_some() { Fate::Empty } else { Fate::Delete };
    if fate == Fate::Delete {
        let new = shape.swaps.iter().map(|swap| &swap.object).chain(&shape.in_place).chain(&shape.after);
        objects.extend(leftovers::unused(delivery, new, before.workloads.values()).await?);
    }
    let keep = SignedDuration::try_from(*knobs.keep_old).unwrap_or(SignedDuration::MAX);
    Ok(Some(Retirement {
        environment: delivery.site.environment.clone(),
        target: delivery.site.target.clone(),
        unit: delivery.plan.unit.clone(),
        release: live.release.clone(),
        version: live.version.clone(),
        services: shape.services.iter().map(|each| each.name().to_owned()).collect(),
        objects,
        fate,
        due: delivery.switched_at().checked_add(keep).unwrap_or(Timestamp::MAX),
    }))
}
