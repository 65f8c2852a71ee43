//! Back from a release that stands beside the old one.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::super::blue_green::{belongs, old_selectors, original, remove_services};
use super::super::put::{Moved, Rules, put, scale};
use super::super::survey::id_in;
use super::super::traffic::{Move, arrived, move_all, move_field, service_selector, uids};
use super::super::{evidence, waits};
use super::Back;
use super::in_place::restore_one;
use super::remove::remove_object;
use crate::cluster::{Labels, MANAGER, Patch};
use crate::inputs::Replicas;
use crate::object::selects;
use crate::progress::recorded;
use crate::unit::{BlueGreenShape, RELEASE};
use crate::{DeliveryError, Object};

/// The steps, in order.
pub(super) async fn go(back: &Back<'_>, shape: &BlueGreenShape) -> Result<bool, DeliveryError> {
    let away = away(back, shape).await?;
    evidence_of(back, shape).await?;
    if away {
        let old = scale_up(back).await?;
        let pods = waits::ready(&back.cluster, &old, back.timeout, back.progress).await?;
        switch(back, shape, &pods).await?;
    }
    followers(back, shape).await?;
    if away || recorded(back.progress, "switched").is_some() {
        drain(back).await?;
    }
    remove(back, shape).await?;
    in_place(back, shape).await?;
    widen(back, shape).await?;
    if back.restart {
        restart(back).await?;
    }
    Ok(away)
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

fn wanted(back: &Back<'_>, had: u32) -> u32 {
    match back.replicas {
        Replicas::Count(count) => count,
        Replicas::Previous | Replicas::Manifest => had.max(1),
    }
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
async fn scale_up(back: &Back<'_>) -> Result<Vec<Object>, DeliveryError> {
    let mut old = Vec::new();
    for kept in back.to.workloads.values() {
        let count = wanted(back, kept.replicas());
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

/// All Services to the old pods, in one go.
async fn switch(back: &Back<'_>, shape: &BlueGreenShape, pods: &[Object]) -> Result<(), DeliveryError> {
    let mut moves = Vec::new();
    for service in &shape.services {
        let from = vec![service_selector(service), original(back.to, service.name())];
        let narrowed = back.to.narrowed.get(service.name()).cloned();
        let to = narrowed.unwrap_or_else(|| original(back.to, service.name()));
        if !to.is_empty() {
            moves.push(Move { service: service.name().to_owned(), from, to });
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

/// The release that goes: its workloads and previews, then what it added.
async fn remove(back: &Back<'_>, shape: &BlueGreenShape) -> Result<(), DeliveryError> {
    remove_services(&back.cluster, &shape.previews).await?;
    for swap in &shape.swaps {
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
    if !live && !waits::gone(&back.cluster, &labels, back.timeout, back.progress).await? {
        back.progress.warn(format!("pods of {} take long to end", back.leaving.version));
    }
    for service in shape.services.iter().filter(|each| back.to.was_absent(&each.id())) {
        remove_object(back, service).await?;
    }
    Ok(())
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
    move_all(&back.cluster, &moves).await?;
    Ok(())
}
