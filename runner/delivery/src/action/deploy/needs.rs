//! What a deploy needs of the cluster, and what it leaves behind: rights, room, objects that are not rendered any more.

use std::collections::BTreeSet;

use super::look::{Pair, find};
use super::{DeployPlan, Shape, Survey};
use crate::cluster::{Cluster, Verb};
use crate::inputs::{Amount, Replicas, Strategy};
use crate::preflight::Extra;
use crate::rollout::status;
use crate::strategy::workloads_of;
use crate::unit::{UNIT, first_pods};
use crate::{DeliveryError, Object, ObjectId};

/// Every right that the delivery and its way back use.
pub(in crate::action) fn verbs(plan: &DeployPlan, shape: &Shape) -> Vec<Verb> {
    let kinds: BTreeSet<(String, String)> =
        plan.rendered.iter().map(|object| (object.api_version().to_owned(), object.kind().to_owned())).collect();
    let mut verbs = Vec::new();
    let needed = |api_version: &str, kind: &str, names: &[&str]| {
        names.iter().map(|verb| Verb::new(verb, api_version, kind)).collect::<Vec<_>>()
    };
    for (api_version, kind) in &kinds {
        verbs.extend(needed(api_version, kind, &["get", "create", "patch", "delete"]));
    }
    verbs.extend(needed("apps/v1", "Deployment", &["get", "list", "watch", "create", "patch", "delete"]));
    verbs.push(Verb::new("patch", "apps/v1", "Deployment").part("scale"));
    verbs.extend(needed("v1", "Pod", &["list", "watch"]));
    verbs.push(Verb::new("get", "v1", "Pod").part("log"));
    verbs.extend(needed("v1", "Event", &["list"]));
    for (api_version, kind) in [("v1", "Service"), ("apps/v1", "StatefulSet"), ("apps/v1", "DaemonSet")] {
        verbs.extend(needed(api_version, kind, &["list"]));
    }
    if !plan.inputs.smoke.checks.is_empty() {
        verbs.push(Verb::new("get", "v1", "Pod").part("proxy"));
    }
    if let Shape::BlueGreen(_) = shape {
        verbs.extend(needed("v1", "Service", &["get", "create", "patch", "delete"]));
        verbs.extend(needed("discovery.k8s.io/v1", "EndpointSlice", &["list", "watch"]));
        verbs.extend(needed("apps/v1", "ReplicaSet", &["list"]));
        verbs.extend(needed("autoscaling/v2", "HorizontalPodAutoscaler", &["list"]));
        verbs.extend(needed("policy/v1", "PodDisruptionBudget", &["list"]));
    }
    verbs
}

/// The pods that run at the peak beyond those that run now.
pub(super) fn extra(plan: &DeployPlan, shape: &Shape, survey: &Survey, pairs: &[Pair<'_>]) -> Vec<Extra> {
    if !plan.inputs.capacity_check {
        return Vec::new();
    }
    let live = |object: &Object| {
        let pair = pairs.iter().find(|pair| pair.wanted.id() == object.id());
        pair.and_then(|pair| pair.live.as_ref()).and_then(|live| live.number("/spec/replicas"))
    };
    let count = |object: &Object, previous: Option<i64>| {
        let autoscalers: &[Object] = match shape {
            Shape::BlueGreen(shape) => &shape.autoscalers,
            Shape::Rolling(shape) => &shape.objects,
        };
        let manifest = first_pods(autoscalers, object);
        match plan.inputs.replicas {
            Replicas::Count(count) => i64::from(count),
            Replicas::Manifest => manifest,
            Replicas::Previous => previous.filter(|count| *count > 0).unwrap_or(manifest),
        }
    };
    match (shape, &plan.inputs.strategy) {
        (Shape::BlueGreen(shape), _) => {
            let found = workloads_of(survey, shape).unwrap_or_default();
            let each = shape.swaps.iter().map(|swap| {
                let previous = found.get(&swap.base).and_then(|live| live.number("/spec/replicas"));
                let there = live(&swap.object).unwrap_or(0);
                Extra::of(&swap.object, (count(&swap.object, previous) - there).max(0))
            });
            each.collect()
        }
        (Shape::Rolling(shape), Strategy::Rolling(knobs)) => {
            let workloads = shape.objects.iter().filter(|object| status(object).is_some());
            let each = workloads.map(|object| {
                let now = live(object).unwrap_or(0);
                let wanted = count(object, Some(now));
                let surge = match knobs.max_surge {
                    Amount::Count(count) => i64::from(count),
                    // Rounded up, as the controller does.
                    Amount::Percent(percent) => (wanted * i64::from(percent) + 99) / 100,
                };
                let surge = if object.kind() == "Deployment" && now > 0 { surge } else { 0 };
                Extra::of(object, (wanted - now).max(0) + surge)
            });
            each.collect()
        }
        (Shape::Rolling(_), Strategy::BlueGreen(_)) => Vec::new(),
    }
}

/// Kinds that pruning looks through.
const PRUNED: [(&str, &str); 9] = [
    ("apps/v1", "Deployment"),
    ("apps/v1", "StatefulSet"),
    ("apps/v1", "DaemonSet"),
    ("v1", "Service"),
    ("v1", "ConfigMap"),
    ("batch/v1", "CronJob"),
    ("autoscaling/v2", "HorizontalPodAutoscaler"),
    ("policy/v1", "PodDisruptionBudget"),
    ("networking.k8s.io/v1", "Ingress"),
];

/// Objects with the unit's label that are neither rendered nor of a release that is kept.
pub(super) async fn prunable(
    plan: &DeployPlan,
    shape: &Shape,
    cluster: &Cluster,
) -> Result<Vec<(ObjectId, String)>, DeliveryError> {
    let label = [(UNIT.to_owned(), plan.unit.clone())].into();
    let kept = [crate::unit::WORKLOAD, crate::unit::PREVIEW];
    let mut found = Vec::new();
    for (api_version, kind) in PRUNED {
        for object in cluster.list(api_version, kind, &label).await? {
            let of_release = kept.iter().any(|label| object.labels().contains_key(*label));
            // Configuration named by content belongs to a release and goes with it.
            let configuration = object.0["immutable"] == true;
            if !of_release && !configuration && find(shape, &object.id()).is_none() && !rendered(plan, &object) {
                found.push((object.id(), object.uid().to_owned()));
            }
        }
    }
    Ok(found)
}

fn rendered(plan: &DeployPlan, object: &Object) -> bool {
    plan.rendered.iter().any(|each| each.kind() == object.kind() && each.name() == object.name())
}
