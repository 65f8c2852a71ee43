//! A delivery of what is live already: nothing is written. A release that is live and was never proved, since the delivery
//! that brought it stopped, is none: it goes through its checks.

use indexmap::IndexMap;

use super::begin::workloads_of;
use super::proof::proved;
use super::survey::{Survey, release_of};
use super::{Delivery, LiveRelease};
use crate::action::{Outcome, Shape};
use crate::cluster::ClusterError;
use crate::object::selects;
use crate::rollout::status;
use crate::{DeliveryError, Object};

/// How it ends where the release is live and whole already, and this delivery has not begun. Reads only.
pub(super) async fn live(delivery: &Delivery<'_>) -> Result<Option<Outcome>, DeliveryError> {
    if delivery.reached("begun") {
        return Ok(None);
    }
    let live = match &delivery.plan.shape()? {
        Shape::BlueGreen(shape) => {
            let survey = Survey::take(&delivery.cluster).await?;
            let there = |object: &Object| {
                survey.deployments.get(object.name()).is_some_and(|live| whole(live, delivery.plan.release.as_str()))
            };
            let served = shape.services.iter().all(|service| {
                survey.selector(service.name()).is_some_and(|selector| {
                    shape.swaps.iter().any(|swap| selects(&selector, &swap.object.pod_labels()))
                        && selector == service.texts("/spec/selector")
                })
            });
            let found = workloads_of(&survey, shape).unwrap_or_default();
            let live = found.values().next().map(|each| release_of(each));
            live.filter(|_| served && shape.swaps.iter().all(|swap| there(&swap.object)))
        }
        Shape::Rolling(shape) => in_place(delivery, &shape.objects).await?,
    };
    let release = delivery.plan.release.as_str();
    Ok(live.filter(|live| live.release == release).map(|live| {
        delivery.say(format!("already live: {}", delivery.plan.version));
        outcome(delivery, Some(&live), false)
    }))
}

/// The release of the workloads in place, where all are of one and whole.
async fn in_place(delivery: &Delivery<'_>, objects: &[Object]) -> Result<Option<LiveRelease>, ClusterError> {
    let mut live = None;
    for object in objects.iter().filter(|object| status(object).is_some()) {
        let now = delivery.cluster.get(&super::id_in(object, &delivery.cluster)).await?;
        match now.filter(|now| whole(now, delivery.plan.release.as_str())) {
            Some(now) => live = Some(release_of(&now)),
            None => return Ok(None),
        }
    }
    Ok(live)
}

/// It is of this release, it passed all checks under traffic, and all its pods run.
fn whole(live: &Object, release: &str) -> bool {
    let done = status(live).is_some_and(|status| status.is_done());
    done && proved(live).is_some() && release_of(live).release == release
}

/// The outputs of a deploy.
pub(super) fn outcome(delivery: &Delivery<'_>, previous: Option<&LiveRelease>, changed: bool) -> Outcome {
    let plan = delivery.plan;
    let previous = previous.cloned().unwrap_or_default();
    let outputs = [
        ("release", plan.release.as_str()),
        ("version", &plan.version),
        ("previous-release", &previous.release),
        ("previous-version", &previous.version),
        ("live", &plan.version),
        ("strategy", plan.strategy()),
        ("changed", if changed { "true" } else { "false" }),
    ];
    let outputs: IndexMap<_, _> = outputs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let summary =
        if changed { format!("{} serves 100 %", plan.version) } else { format!("already live: {}", plan.version) };
    Outcome { outputs, summary, retire: Vec::new() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::unit::{PROVED, RELEASE};

    #[test]
    fn a_release_that_stopped_before_it_was_proved_is_not_delivered() {
        let mut live = Object(json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "shop", "generation": 2},
            "spec": {"replicas": 1, "template": {"metadata": {"labels": {RELEASE: "v1"}}}},
            "status": {"observedGeneration": 2, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1,
                "availableReplicas": 1}}));
        assert!(status(&live).unwrap().is_done());
        assert!(!whole(&live, "v1"));
        live.set("/metadata/annotations", json!({PROVED: "v0 2026-11-19T14:00:00Z"}));
        assert!(!whole(&live, "v1"), "the proof of the release before");
        live.set("/metadata/annotations", json!({PROVED: "v1 2026-11-19T14:00:00Z"}));
        assert!(whole(&live, "v1") && !whole(&live, "v2"));
    }
}
