//! The beginning: what was there before anything is changed, kept.

use std::collections::BTreeMap;

use super::Delivery;
use super::narrow::{Narrowing, narrowing};
use super::snapshot::{Kept, Snapshot};
use super::survey::{LiveRelease, Survey, release_of};
use crate::object::selects;
use crate::progress::once;
use crate::unit::{BlueGreenShape, RollingShape, colour_of};
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
        let services: Vec<&str> =
            shape.services.iter().filter(|each| would_select(each, &swap.object)).map(Object::name).collect();
        if services.is_empty() {
            alone.push(swap.base.as_str());
            continue;
        }
        let others = shape.swaps.iter().any(|other| {
            other.base != swap.base
                && shape
                    .services
                    .iter()
                    .any(|each| services.contains(&each.name()) && would_select(each, &other.object))
        });
        match survey.counterpart(&swap.base, &services, !others) {
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
        snapshot.live = live;
        for service in &shape.services {
            if let Some(selector) = survey.selector(service.name())
                && let Narrowing::To(narrowed) = narrowing(&delivery.cluster, &selector, shape, &found).await?
            {
                snapshot.narrowed.insert(service.name().to_owned(), narrowed);
            }
        }
        snapshot.workloads = found.into_iter().map(|(base, object)| (base, Kept::of(object))).collect();
        Ok::<_, DeliveryError>(snapshot)
    })
    .await?;
    Ok(snapshot)
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
        snapshot.live = workloads.values().next().map(Kept::release);
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
