//! The beginning: what was there before anything is changed, kept.

use std::collections::BTreeMap;

use super::Delivery;
use super::narrow::{Narrowing, narrowing};
use super::snapshot::{Kept, Snapshot};
use super::survey::{LiveRelease, Survey, live_in_place, release_of};
use crate::action::Shape;
use crate::cluster::Labels;
use crate::object::selects;
use crate::progress::once;
use crate::unit::{BlueGreenShape, Role, RollingShape, Swap, colour_of, role};
use crate::{DeliveryError, Failure, Object, UNCHANGED};

/// The Deployments that are live in the places of the new ones, by their names in the manifests.
///
/// # Errors
/// One line for each place that several stand in.
pub(crate) fn workloads_of<'a>(
    survey: &'a Survey,
    shape: &BlueGreenShape,
) -> Result<BTreeMap<String, &'a Object>, Vec<String>> {
    let mut found = BTreeMap::new();
    let mut wrong = Vec::new();
    let mut alone = Vec::new();
    for swap in &shape.swaps {
        let place = if shape.services.is_empty() { survey.running(&swap.base) } else { served(survey, shape, swap) };
        match place {
            Ok(Some(live)) => drop(found.insert(swap.base.clone(), live)),
            Ok(None) => alone.push(swap.base.as_str()),
            Err(line) => wrong.push(line),
        }
    }
    let live = found.values().next().map(|each| release_of(each));
    let colour = found.values().find_map(|each| colour_of(each.name()).1);
    for base in alone {
        if let Some(each) = survey.beside(base, live.as_ref(), colour) {
            found.insert(base.to_owned(), each);
        }
    }
    wrong.dedup();
    if wrong.is_empty() { Ok(found) } else { Err(wrong) }
}

/// What the Services of a workload have behind them in its place.
fn served<'a>(survey: &'a Survey, shape: &BlueGreenShape, swap: &Swap) -> Result<Option<&'a Object>, String> {
    let services: Vec<&Object> = shape.services.iter().filter(|each| would_select(each, &swap.object)).collect();
    let mut others = shape.swaps.iter().filter(|other| other.base != swap.base);
    let shared = others.any(|other| services.iter().any(|each| would_select(each, &other.object)));
    let names: Vec<&str> = services.iter().map(|each| each.name()).collect();
    survey.counterpart(&swap.base, &names, !shared)
}

/// The workloads that are live in the places of a unit's. None where that is not clear: why, [`workloads_of`] says.
pub(crate) fn live_workloads<'a>(survey: &'a Survey, shape: &Shape) -> Vec<&'a Object> {
    match shape {
        Shape::BlueGreen(shape) => workloads_of(survey, shape).unwrap_or_default().into_values().collect(),
        Shape::Rolling(shape) => {
            let all = shape.objects.iter().filter(|object| role(object) == Role::Workload);
            all.filter_map(|object| survey.workload(object)).collect()
        }
    }
}

fn would_select(service: &Object, workload: &Object) -> bool {
    selects(&service.texts("/spec/selector"), &workload.pod_labels())
}

/// `begun` of a blue-green delivery.
pub(super) async fn blue_green(delivery: &Delivery<'_>, shape: &BlueGreenShape) -> Result<Snapshot, DeliveryError> {
    let text = format!("{} begins beside what is live", delivery.plan.version);
    let snapshot: Snapshot = once(delivery.progress, "begun", &text, async {
        let survey = Survey::take(&delivery.cluster).await?;
        let found = workloads_of(&survey, shape)
            .map_err(|lines| crate::action::many("what is live is not clear", lines.into_iter()))?;
        let live = found.values().next().map(|each| release_of(each));
        unchanged(delivery, live.as_ref())?;
        let lists = [&shape.in_place, &shape.services, &shape.autoscalers, &shape.budgets, &shape.after];
        let swaps = shape.swaps.iter().map(|swap| &swap.object);
        let touched = lists.into_iter().flatten().chain(swaps);
        let allowed = |live: &Object, object: &Object| delivery.allowed(live, object);
        let mut snapshot = Snapshot::take(&delivery.cluster, touched, allowed).await?;
        if live.as_ref().is_some_and(|live| live.release == delivery.plan.release.0) {
            snapshot.replaced = replaced(&survey, shape, &found);
        } else {
            snapshot.narrowed = narrow(delivery, &survey, shape, &found).await?;
        }
        snapshot.live = live;
        snapshot.workloads = found.into_iter().map(|(base, object)| (base, Kept::of(object))).collect();
        Ok::<_, DeliveryError>(snapshot)
    })
    .await?;
    Ok(snapshot)
}

/// The Services that take in the new pods too, and what they are narrowed to. Nothing has been changed yet: where the live
/// pods cannot be told from new ones, untested pods would get users.
async fn narrow(
    delivery: &Delivery<'_>,
    survey: &Survey,
    shape: &BlueGreenShape,
    live: &BTreeMap<String, &Object>,
) -> Result<BTreeMap<String, Labels>, DeliveryError> {
    let mut narrowed = BTreeMap::new();
    for service in shape.services.iter().filter_map(|each| survey.services.get(each.name())) {
        match narrowing(&delivery.cluster, service, shape, live).await? {
            Narrowing::NotNeeded => {}
            Narrowing::To(selector) => drop(narrowed.insert(service.name().to_owned(), selector)),
            Narrowing::Impossible(why) => {
                let failure = Failure::new("live pods cannot be told from new ones", why);
                return Err(failure.effect(UNCHANGED).next("plan it again once that is so").into());
            }
        }
    }
    Ok(narrowed)
}

/// What runs in the places of a release that got all traffic and stopped before it was proved: the release before it, which
/// that delivery neither scaled down nor left to be removed.
fn replaced(survey: &Survey, shape: &BlueGreenShape, live: &BTreeMap<String, &Object>) -> Vec<Kept> {
    let all = shape.swaps.iter().flat_map(|swap| survey.in_place_of(&swap.base));
    all.filter(|each| !live.values().any(|live| live.name() == each.name())).map(Kept::of).collect()
}

/// `begun` of a rolling delivery.
pub(super) async fn rolling(delivery: &Delivery<'_>, shape: &RollingShape) -> Result<Snapshot, DeliveryError> {
    let text = format!("{} begins in place", delivery.plan.version);
    once(delivery.progress, "begun", &text, async {
        let allowed = |live: &Object, object: &Object| delivery.allowed(live, object);
        let mut snapshot = Snapshot::take(&delivery.cluster, shape.objects.iter(), allowed).await?;
        let workloads =
            snapshot.objects.extract_if(.., |kept| kept.object.template_pointer() == Some("/spec/template"));
        let workloads: BTreeMap<_, _> = workloads.map(|kept| (kept.object.id().to_string(), kept)).collect();
        snapshot.live = live_in_place(&shape.objects, |each| workloads.get(&each.id().to_string()).map(Kept::release));
        snapshot.workloads = workloads;
        unchanged(delivery, snapshot.live.as_ref())?;
        Ok(snapshot)
    })
    .await
}

/// What was planned over is still live.
fn unchanged(delivery: &Delivery<'_>, live: Option<&LiveRelease>) -> Result<(), DeliveryError> {
    let planned = delivery.plan.live.as_ref();
    if planned.map(|each| &each.release) == live.map(|each| &each.release) {
        return Ok(());
    }
    let named = |live: Option<&LiveRelease>| {
        live.map_or("nothing".to_owned(), |live| format!("{} ({})", live.version, live.release))
    };
    let why = format!("planned over {}, live is {}", named(planned), named(live));
    Err(Failure::new("what is live changed since the plan was made", why)
        .effect(UNCHANGED)
        .next("plan it again")
        .into())
}
