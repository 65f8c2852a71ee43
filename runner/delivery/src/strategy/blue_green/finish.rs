//! After the switch: drain, scale down, keep, and what is removed later.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::super::proof::prove;
use super::super::put::{Moved, put, scale};
use super::super::{Delivery, Kept, LiveRelease, Snapshot, already, id_in, leftovers};
use crate::action::{Fate, Outcome, Retirement};
use crate::inputs::BlueGreenKnobs;
use crate::progress::recorded;
use crate::unit::BlueGreenShape;
use crate::{DeliveryError, ObjectId, Stop};

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

/// What is done once the release is proved. None of it can undo the release: what fails here is said, and made good when the
/// old release is removed, or by the next one.
pub(super) async fn tidy(
    delivery: &Delivery<'_>,
    knobs: &BlueGreenKnobs,
    shape: &BlueGreenShape,
    before: &Snapshot,
) -> Result<Outcome, DeliveryError> {
    prove(delivery, shape.swaps.iter().map(|swap| &swap.object)).await;
    scale_down(delivery, knobs, shape, before).await?;
    leftovers::prune(delivery).await;
    let retire = keep(delivery, knobs, shape, before).await?;
    Ok(Outcome { retire, ..already::outcome(delivery, before.live.as_ref(), true) })
}

/// The old release keeps a few pods for a quick way back.
async fn scale_down(
    delivery: &Delivery<'_>,
    knobs: &BlueGreenKnobs,
    shape: &BlueGreenShape,
    before: &Snapshot,
) -> Result<(), Stop> {
    if delivery.reached("scaled-down") {
        return Ok(());
    }
    let mut all = true;
    for kept in old(shape, before) {
        if let Err(error) = shrink(delivery, kept, knobs.scale_old).await {
            all = false;
            delivery.progress.warn(format!("{} has all its pods until it is removed: {error}", kept.object.id()));
        }
    }
    if !all {
        return Ok(());
    }
    let text = format!("{} keeps {} pods of each workload, or as many as it had", before.version(), knobs.scale_old);
    delivery.record("scaled-down", text, json!(null)).await
}

async fn shrink(delivery: &Delivery<'_>, kept: &Kept, asked: u32) -> Result<(), DeliveryError> {
    let now = delivery.now(&kept.object).await?;
    let Some(now) = now.filter(|now| now.uid() == kept.uid) else { return Ok(()) };
    let had = kept.replicas();
    scale(&delivery.cluster, &now, asked.min(had)).await?;
    delivery.say(if asked > had {
        format!("{} is kept with {had} pods until it is removed: scale-old {asked} is more than it had", now.id())
    } else {
        format!("{} is kept with {asked} pods until it is removed", now.id())
    });
    Ok(())
}

/// The old workloads that are not the new ones.
fn old<'a>(shape: &'a BlueGreenShape, before: &'a Snapshot) -> impl Iterator<Item = &'a Kept> {
    let new = |kept: &&Kept| !shape.swaps.iter().any(|swap| swap.object.name() == kept.object.name());
    before.workloads.values().chain(&before.replaced).filter(new)
}

/// Remembers what is removed when its time has come.
async fn keep(
    delivery: &Delivery<'_>,
    knobs: &BlueGreenKnobs,
    shape: &BlueGreenShape,
    before: &Snapshot,
) -> Result<Vec<Retirement>, Stop> {
    if let Some(milestone) = recorded(delivery.progress, "kept") {
        return Ok(serde_json::from_value(milestone.data["retire"].clone()).unwrap_or_default());
    }
    let mut retire = Vec::new();
    for (release, kept) in releases(shape, before) {
        retire.push(retirement(delivery, knobs, shape, release, &kept).await);
    }
    let text = match retire.as_slice() {
        [] => "nothing of an old release is left".to_owned(),
        all => all
            .iter()
            .map(|each| format!("{} can be gone back to until {}", each.version, each.due))
            .collect::<Vec<_>>()
            .join("; "),
    };
    delivery.record("kept", text, json!({"retire": retire})).await?;
    Ok(retire)
}

/// What goes together: the release that was live, as one, and each one that the release had replaced before it was proved.
fn releases<'a>(shape: &'a BlueGreenShape, before: &'a Snapshot) -> Vec<(LiveRelease, Vec<&'a Kept>)> {
    let mut found: Vec<(LiveRelease, Vec<&Kept>)> = Vec::new();
    for kept in old(shape, before) {
        let live = before.live.clone().filter(|_| before.replaced.is_empty());
        let release = live.unwrap_or_else(|| kept.release());
        match found.iter_mut().find(|(known, _)| known.release == release.release) {
            Some((_, all)) => all.push(kept),
            None => found.push((release, vec![kept])),
        }
    }
    found
}

async fn retirement(
    delivery: &Delivery<'_>,
    knobs: &BlueGreenKnobs,
    shape: &BlueGreenShape,
    release: LiveRelease,
    old: &[&Kept],
) -> Retirement {
    let workloads = old.iter().map(|kept| (id_in(&kept.object, &delivery.cluster), kept.uid.clone()));
    let mut objects: Vec<(ObjectId, String)> = workloads.collect();
    let fate = if shape.colour.is_some() { Fate::Empty } else { Fate::Delete };
    if fate == Fate::Delete {
        objects.extend(leftovers::unused(delivery, old.iter().copied()).await);
    }
    let keep = SignedDuration::try_from(*knobs.keep_old).unwrap_or(SignedDuration::MAX);
    Retirement {
        environment: delivery.site.environment.clone(),
        target: delivery.site.target.clone(),
        unit: delivery.plan.unit.clone(),
        release: release.release,
        version: release.version,
        services: shape.services.iter().map(|each| each.name().to_owned()).collect(),
        objects,
        fate,
        due: delivery.switched_at().checked_add(keep).unwrap_or(Timestamp::MAX),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::Object;
    use crate::unit::{RELEASE, Swap};

    fn workload(name: &str, release: &str) -> Object {
        Object(json!({"kind": "Deployment", "metadata": {"name": name, "uid": name},
            "spec": {"template": {"metadata": {"labels": {RELEASE: release}}}}}))
    }

    /// A release that stopped after the switch and is delivered once more: what it had replaced goes, by its own release.
    #[test]
    fn what_a_stopped_release_had_replaced_is_scaled_down_and_goes() {
        let swaps = vec![Swap { base: "shop".to_owned(), object: workload("shop-v2", "v2") }];
        let (in_place, services, previews) = (Vec::new(), Vec::new(), Vec::new());
        let (autoscalers, budgets, after) = (Vec::new(), Vec::new(), Vec::new());
        let shape = BlueGreenShape { colour: None, in_place, swaps, services, previews, autoscalers, budgets, after };
        let live = |name: &str, release: &str| {
            let kept = Kept::of(&workload(name, release));
            let workloads = BTreeMap::from([("shop".to_owned(), kept.clone())]);
            Snapshot { live: Some(kept.release()), workloads, ..Snapshot::default() }
        };
        let names = |before: &Snapshot| {
            let all = releases(&shape, before).into_iter();
            all.map(|(release, kept)| (release.release, kept.len())).collect::<Vec<_>>()
        };
        assert_eq!(names(&live("shop-v1", "v1")), [("v1".to_owned(), 1)]);
        let mut again = live("shop-v2", "v2");
        assert_eq!(names(&again), []);
        again.replaced = vec![Kept::of(&workload("shop-v1", "v1")), Kept::of(&workload("shop-v0", "v0"))];
        assert_eq!(names(&again), [("v1".to_owned(), 1), ("v0".to_owned(), 1)]);
        assert_eq!(old(&shape, &again).count(), 2);
    }
}
