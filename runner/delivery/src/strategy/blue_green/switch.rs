//! The switch: all Services of the unit in one go.

use std::collections::BTreeSet;

use serde_json::json;

use super::super::hands::{HAND, intruder};
use super::super::put::{Moved, Rules, put};
use super::super::survey::id_in;
use super::super::traffic::{Move, arrived, move_all, move_field, service_selector, uids};
use super::super::{Delivery, Snapshot};
use crate::cluster::{Cluster, Labels, Precondition, Propagation};
use crate::inputs::deploy::Drift;
use crate::object::selects;
use crate::unit::BlueGreenShape;
use crate::{DeliveryError, Failure, Object};

/// Where live selectors and budgets would take in the new pods, they are narrowed to the live ones first.
pub(super) async fn narrow(
    delivery: &Delivery<'_>,
    shape: &BlueGreenShape,
    before: &Snapshot,
) -> Result<(), DeliveryError> {
    let mut moves = Vec::new();
    for (name, narrowed) in &before.narrowed {
        let target = shape.services.iter().find(|each| each.name() == name).map(service_selector).unwrap_or_default();
        let now = live_selector(delivery, shape, name).await?;
        if now != target {
            moves.push(Move { service: name.clone(), from: vec![original(before, name)], to: narrowed.clone() });
        }
    }
    if move_all(&delivery.cluster, &moves).await? {
        for each in &moves {
            let added = each.to.iter().find(|(key, _)| !each.from[0].contains_key(*key));
            let added = added.map(|(key, value)| format!("{key}={value}")).unwrap_or_default();
            delivery.say(format!("Service/{} is narrowed to the live pods ({added})", each.service));
        }
    }
    let Some((name, narrowed)) = before.narrowed.first_key_value() else { return Ok(()) };
    let original = original(before, name);
    for budget in &shape.budgets {
        let Some(kept) = before.object(budget.kind(), budget.name()) else { continue };
        let mut selector = kept.object.clone();
        for (key, value) in narrowed.iter().filter(|(key, _)| !original.contains_key(*key)) {
            let key = key.replace('/', "~1");
            selector.set(&format!("/spec/selector/matchLabels/{key}"), json!(value));
        }
        let selector = selector.0.pointer("/spec/selector").cloned().unwrap_or_default();
        move_field(&delivery.cluster, budget, "/spec/selector", &selector).await?;
    }
    Ok(())
}

async fn live_selector(delivery: &Delivery<'_>, shape: &BlueGreenShape, name: &str) -> Result<Labels, DeliveryError> {
    let service = shape.services.iter().find(|each| each.name() == name);
    let now = match service {
        Some(service) => delivery.now(service).await?,
        None => None,
    };
    Ok(now.map(|service| service_selector(&service)).unwrap_or_default())
}

/// A Service's selector before the delivery; empty where it was not there.
pub(in super::super) fn original(before: &Snapshot, service: &str) -> Labels {
    before.object("Service", service).map(|kept| service_selector(&kept.object)).unwrap_or_default()
}

/// The selectors that a Service may have before the switch.
pub(in super::super) fn old_selectors(before: &Snapshot, service: &str) -> Vec<Labels> {
    let narrowed = before.narrowed.get(service).cloned();
    narrowed.into_iter().chain(Some(original(before, service)).filter(|each| !each.is_empty())).collect()
}

/// Moves all traffic to the release, if every Service has its ready endpoints there, and looks whether it arrived.
pub(super) async fn all(
    delivery: &Delivery<'_>,
    shape: &BlueGreenShape,
    before: &Snapshot,
    pods: &[Object],
) -> Result<(), DeliveryError> {
    delivery.go_on()?;
    untouched(delivery, shape).await?;
    let none = BTreeSet::new();
    for (service, preview) in shape.services.iter().zip(&shape.previews) {
        let expected = behind(&service_selector(service), pods);
        arrived(&delivery.cluster, preview.name(), expected.max(1), &none, delivery.progress).await.map_err(
            |error| match error {
                DeliveryError::Failed(failure) => {
                    Failure::new("the switch is refused", failure.to_string()).next(failure.next.clone()).into()
                }
                stopped @ DeliveryError::Stopped(_) => stopped,
            },
        )?;
    }
    let moves = moves(shape, before);
    let old = uids(&delivery.cluster, &moves.iter().flat_map(|each| each.from.clone()).collect::<Vec<_>>()).await?;
    let new: BTreeSet<String> = pods.iter().map(|pod| pod.uid().to_owned()).collect();
    let old: BTreeSet<String> = old.difference(&new).cloned().collect();
    move_all(&delivery.cluster, &moves).await?;
    for service in &shape.services {
        let expected = behind(&service_selector(service), pods);
        let endpoints = arrived(&delivery.cluster, service.name(), expected, &old, delivery.progress).await?;
        delivery.say(format!(
            "Service/{} sends all traffic to {} pods of {}",
            service.name(),
            endpoints.ready.len(),
            delivery.plan.version
        ));
    }
    let text = format!("{} has all traffic", delivery.plan.version);
    let data =
        json!({"at": delivery.progress.now(), "services": shape.services.iter().map(Object::name).collect::<Vec<_>>()});
    delivery.record("switched", text, data).await?;
    Ok(())
}

fn moves(shape: &BlueGreenShape, before: &Snapshot) -> Vec<Move> {
    let each = |service: &Object| Move {
        service: service.name().to_owned(),
        from: old_selectors(before, service.name()),
        to: service_selector(service),
    };
    shape.services.iter().map(each).collect()
}

fn behind(selector: &Labels, pods: &[Object]) -> usize {
    pods.iter().filter(|pod| selects(selector, &pod.labels())).count()
}

/// Nobody else changed the new workloads since they were set up.
async fn untouched(delivery: &Delivery<'_>, shape: &BlueGreenShape) -> Result<(), DeliveryError> {
    for swap in &shape.swaps {
        let now = delivery.now(&swap.object).await?;
        let Some(now) = now else {
            return Err(Failure::new(HAND, format!("Deployment/{} is gone", swap.object.name())).into());
        };
        if let Some(failure) = intruder(&now, &swap.object).filter(|_| delivery.plan.inputs.drift != Drift::Keep) {
            return Err(failure.into());
        }
    }
    Ok(())
}

/// Makes the Services that select the new release only.
pub(super) async fn make_previews(delivery: &Delivery<'_>, shape: &BlueGreenShape) -> Result<(), DeliveryError> {
    for preview in &shape.previews {
        let rules = Rules { adopt: false, ..delivery.rules() };
        put(&delivery.cluster, preview, Moved::Replicas, rules).await?;
    }
    Ok(())
}

/// Removes them: the release has the traffic, or goes.
pub(super) async fn remove_previews(delivery: &Delivery<'_>, shape: &BlueGreenShape) -> Result<(), DeliveryError> {
    remove_services(&delivery.cluster, &shape.previews).await
}

/// Deletes preview Services that are there.
pub(in super::super) async fn remove_services(cluster: &Cluster, previews: &[Object]) -> Result<(), DeliveryError> {
    for preview in previews {
        let id = id_in(preview, cluster);
        if let Some(now) = cluster.get(&id).await?.filter(|now| now.labels().contains_key(crate::unit::PREVIEW)) {
            cluster.delete(&id, &Precondition::same(&now), Propagation::Background).await?;
        }
    }
    Ok(())
}
