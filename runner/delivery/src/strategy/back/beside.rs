//! Back from a release that stands beside the old one.
//!
//! Invariant: a workload that a Service of the unit selects, whoever made it so, is not removed.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::super::blue_green::{belongs, old_selectors, original, remove_services};
use super::super::put::{Moved, Rules, put, scale};
use super::super::survey::id_in;
use super::super::traffic::{Foreign, Move, arrived, move_all, move_field, ours, service_selector, uids};
use super::super::{Kept, evidence, waits};
use super::Back;
use super::in_place::restore_one;
use super::remove::remove_object;
use crate::cluster::{Labels, MANAGER, Patch};
use crate::inputs::Replicas;
use crate::object::selects;
use crate::progress::recorded;
use crate::unit::{BlueGreenShape, RELEASE, Role, Swap, role};
use crate::{DeliveryError, Object};

/// The steps, in order. Gives what was left to somebody else.
pub(super) async fn go(back: &Back<'_>, shape: &BlueGreenShape) -> Result<Vec<String>, DeliveryError> {
    let away = away(back, shape).await?;
    if away {
        let old = scale_up(back, shape).await?;
        let pods = waits::ready(&back.cluster, &old, back.timeout, back.progress).await?;
        switch(back, shape, &pods).await?;
    }
    followers(back, shape).await?;
    let drains = away || recorded(back.progress, "switched").is_some();
    let drained = async { if drains { drain(back).await } else { Ok(()) } };
    tokio::try_join!(drained, evidence_of(back, shape))?;
    let left = remove(back, shape).await?;
    in_place(back, shape).await?;
    widen(back, shape).await?;
    if back.restart {
        restart(back).await?;
    }
    Ok(left)
}

/// Whether any Service sends its traffic elsewhere than to what is returned to.
async fn away(back: &Back<'_>, shape: &BlueGreenShape) -> Result<bool, DeliveryError> {
    if back.to.live.is_none() {
        return Ok(false);
    }
    for service in &shape.services {
        let now = back.cluster.get(&id_in(service, &back.cluster)).await?;
        let now = now.map(|now| service_selector(&now)).unwrap_or_default();
        if !old_selectors(back.to, service.name()).contains(&now) {
            return Ok(true);
        }
    }
    // Workloads that no Service selects are live when they have their pods.
    let served = |labels: &Labels| shape.services.iter().any(|each| selects(&original(back.to, each.name()), labels));
    for kept in back.to.workloads.values().filter(|kept| !served(&kept.object.pod_labels())) {
        let now = back.cluster.get(&id_in(&kept.object, &back.cluster)).await?;
        if now.is_none_or(|now| now.number("/spec/replicas").unwrap_or(1) < i64::from(kept.replicas())) {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn drain(back: &Back<'_>) -> Result<(), DeliveryError> {
    back.progress.say(format!("the pods of {} finish what they have under way", back.leaving.version));
    tokio::select! {
        stop = back.progress.stopped() => Err(stop.into()),
        () = back.progress.sleep(back.drain) => Ok(()),
    }
}

/// How many pods an old workload gets: as asked for, else as many as it had and as what goes has now, and no less than its
/// autoscaler's least. What was enough at night is too few at noon.
fn enough(asked: Replicas, had: u32, now: Option<i64>, least: Option<i64>) -> u32 {
    let count = |number: Option<i64>| number.and_then(|number| u32::try_from(number).ok()).unwrap_or(1);
    match asked {
        Replicas::Count(count) => count,
        Replicas::Previous | Replicas::Manifest => had.max(count(now)).max(count(least)).max(1),
    }
}

async fn wanted(back: &Back<'_>, shape: &BlueGreenShape, base: &str, kept: &Kept) -> Result<u32, DeliveryError> {
    let leaving = match shape.swaps.iter().find(|swap| swap.base == base) {
        Some(swap) => back.cluster.get(&id_in(&swap.object, &back.cluster)).await?,
        None => None,
    };
    let drives =
        |each: &&Object| role(each) == Role::Autoscaler && each.text("/spec/scaleTargetRef/name") == kept.object.name();
    let least = back.to.objects.iter().map(|kept| &kept.object).find(drives);
    let now = leaving.and_then(|leaving| leaving.number("/spec/replicas"));
    Ok(enough(back.replicas, kept.replicas(), now, least.and_then(|each| each.number("/spec/minReplicas"))))
}

async fn evidence_of(back: &Back<'_>, shape: &BlueGreenShape) -> Result<(), DeliveryError> {
    let (mut pods, mut workloads) = (Vec::new(), Vec::new());
    for swap in &shape.swaps {
        workloads.extend(back.cluster.get(&id_in(&swap.object, &back.cluster)).await?);
        let labels = Labels::from([release_label(&swap.object)]);
        pods.extend(back.cluster.pods(&labels).await?.into_iter().filter(|pod| belongs(pod, swap)));
    }
    if !workloads.is_empty() {
        evidence::keep(&back.cluster, back.progress, &pods, &workloads, back.evidence).await?;
    }
    Ok(())
}

fn release_label(workload: &Object) -> (String, String) {
    (RELEASE.to_owned(), workload.pod_labels().remove(RELEASE).unwrap_or_default())
}

/// The old workloads with their pods again; one that was removed is made anew.
async fn scale_up(back: &Back<'_>, shape: &BlueGreenShape) -> Result<Vec<Object>, DeliveryError> {
    let mut old = Vec::new();
    for (base, kept) in &back.to.workloads {
        let count = wanted(back, shape, base, kept).await?;
        let id = id_in(&kept.object, &back.cluster);
        let now = match back.cluster.get(&id).await? {
            Some(now) if !now.is_terminating() && release_label(&now) == release_label(&kept.object) => now,
            _ => {
                let mut object = kept.object.clone();
                object.set("/spec/replicas", json!(count));
                put(&back.cluster, &object, Moved::Replicas, Rules::BACK).await?.0
            }
        };
        scale(&back.cluster, &now, count).await?;
        back.progress.say(format!("{id} gets {count} pods"));
        old.push(now);
    }
    Ok(old)
}

/// Restarts the old pods, once for this way back: they are marked with the release that they are restarted after.
async fn restart(back: &Back<'_>) -> Result<(), DeliveryError> {
    let mut old = Vec::new();
    for kept in back.to.workloads.values() {
        let mark = format!("after {}", back.leaving.release);
        let patch = json!({"spec": {"template": {"metadata": {"annotations": {"tagline.dev/restarted": mark}}}}});
        old.push(back.cluster.patch(&id_in(&kept.object, &back.cluster), MANAGER, &Patch::Merge(patch)).await?);
        back.progress.say(format!("{} is restarted", kept.object.id()));
    }
    waits::ready(&back.cluster, &old, back.timeout, back.progress).await?;
    Ok(())
}

/// Where the Services' traffic goes back to.
fn moves(back: &Back<'_>, shape: &BlueGreenShape) -> Vec<Move> {
    let each = |service: &Object| {
        let original = original(back.to, service.name());
        let from = vec![service_selector(service), original.clone()];
        let to = back.to.narrowed.get(service.name()).cloned().unwrap_or(original);
        Move { service: service.name().to_owned(), from, to }
    };
    shape.services.iter().map(each).filter(|each| !each.to.is_empty()).collect()
}

/// All Services to the old pods, in one go. What somebody else points elsewhere by now is left to them, unless a person asks
/// for the way back.
async fn switch(back: &Back<'_>, shape: &BlueGreenShape, pods: &[Object]) -> Result<(), DeliveryError> {
    let (mut moves, foreign) = ours(&back.cluster, moves(back, shape)).await?;
    for Foreign { why, selector, stopped } in foreign {
        if back.by_hand && !selector.is_empty() {
            back.progress.warn(format!("{why}; it is overwritten"));
            moves.push(Move { from: vec![selector], ..stopped });
        } else {
            back.progress.warn(format!("{why}; it is left so"));
        }
    }
    let new = uids(&back.cluster, &moves.iter().flat_map(|each| each.from.clone()).collect::<Vec<_>>()).await?;
    let old: BTreeSet<String> = pods.iter().map(|pod| pod.uid().to_owned()).collect();
    let leaving: BTreeSet<String> = new.difference(&old).cloned().collect();
    move_all(&back.cluster, &moves).await?;
    for each in &moves {
        let expected = pods.iter().filter(|pod| selects(&each.to, &pod.labels())).count();
        arrived(&back.cluster, &each.service, expected.max(1), &leaving, back.progress).await?;
        back.progress.say(format!("Service/{} sends all traffic to {}", each.service, back.to.version()));
    }
    Ok(())
}

/// Autoscalers and budgets as they were; what was not there goes.
async fn followers(back: &Back<'_>, shape: &BlueGreenShape) -> Result<(), DeliveryError> {
    let autoscalers = shape.autoscalers.iter().map(|each| (each, "/spec/scaleTargetRef"));
    for (object, pointer) in autoscalers.chain(shape.budgets.iter().map(|each| (each, "/spec/selector"))) {
        let Some(kept) = back.to.object(object.kind(), object.name()) else {
            remove_object(back, object).await?;
            continue;
        };
        let target = kept.object.0.pointer(pointer).cloned().unwrap_or_default();
        move_field(&back.cluster, object, pointer, &target).await?;
        restore_one(back, &kept.object, Moved::Traffic).await?;
    }
    Ok(())
}

/// The release that goes: its workloads and previews, then what it added. Gives whose Services were left to them.
async fn remove(back: &Back<'_>, shape: &BlueGreenShape) -> Result<Vec<String>, DeliveryError> {
    remove_services(&back.cluster, &shape.previews).await?;
    let (_, foreign) = ours(&back.cluster, moves(back, shape)).await?;
    let held = |swap: &&Swap| foreign.iter().find(|each| selects(&each.selector, &swap.object.pod_labels()));
    for (swap, Foreign { why, .. }) in shape.swaps.iter().filter_map(|swap| Some((swap, held(&swap)?))) {
        back.progress.warn(format!("{} stays: {why}", swap.object.id()));
    }
    for swap in shape.swaps.iter().filter(|swap| held(swap).is_none()) {
        let was = back.to.workloads.get(&swap.base).filter(|kept| kept.object.name() == swap.object.name());
        if was.is_some() {
            continue;
        }
        match back.to.object("Deployment", swap.object.name()) {
            Some(kept) => {
                let (now, _) = put(&back.cluster, &kept.object, Moved::Replicas, Rules::BACK).await?;
                scale(&back.cluster, &now, kept.replicas()).await?;
            }
            None => remove_object(back, &swap.object).await?,
        }
    }
    let labels: BTreeMap<_, _> = shape.swaps.iter().map(|swap| release_label(&swap.object)).collect();
    let live = back.to.live.as_ref().is_some_and(|live| labels.get(RELEASE) == Some(&live.release));
    // What stood by before its release was delivered once more stands by again, with its pods.
    let parked = |swap: &Swap| back.to.object("Deployment", swap.object.name()).is_some_and(|kept| kept.replicas() > 0);
    let stays = shape.swaps.iter().any(|swap| held(&swap).is_some() || parked(swap));
    if !live && !stays && !waits::gone(&back.cluster, &labels, back.timeout, back.progress).await? {
        back.progress.warn(format!("pods of {} take long to end", back.leaving.version));
    }
    for service in shape.services.iter().filter(|each| back.to.was_absent(&each.id())) {
        remove_object(back, service).await?;
    }
    Ok(foreign.into_iter().map(|each| each.why).collect())
}

/// What was applied in place, as it was; what was added goes, the last first.
async fn in_place(back: &Back<'_>, shape: &BlueGreenShape) -> Result<(), DeliveryError> {
    super::in_place::restore(back, shape.in_place.iter().chain(&shape.after)).await?;
    for service in &shape.services {
        if let Some(kept) = back.to.object("Service", service.name()) {
            restore_one(back, &kept.object, Moved::Traffic).await?;
        }
    }
    Ok(())
}

/// Selectors that were narrowed are what they were: only the old pods are left for them to select.
async fn widen(back: &Back<'_>, shape: &BlueGreenShape) -> Result<(), DeliveryError> {
    let mut moves = Vec::new();
    for (name, narrowed) in &back.to.narrowed {
        let was = original(back.to, name);
        let target = shape.services.iter().find(|each| each.name() == name).map(service_selector);
        moves.push(Move {
            service: name.clone(),
            from: target.into_iter().chain([narrowed.clone()]).collect(),
            to: was,
        });
    }
    let (moves, _) = ours(&back.cluster, moves).await?;
    move_all(&back.cluster, &moves).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_workload_gets_as_many_pods_as_are_needed_now() {
        let previous = |had, now, least| enough(Replicas::Previous, had, now, least);
        assert_eq!(previous(3, Some(12), Some(2)), 12, "the autoscaler has added some since");
        assert_eq!(previous(3, Some(1), Some(2)), 3);
        assert_eq!(previous(1, None, Some(4)), 4, "its autoscaler's least");
        assert_eq!(previous(0, None, None), 1);
        assert_eq!(enough(Replicas::Count(2), 3, Some(12), Some(4)), 2, "the step says it");
    }
}
