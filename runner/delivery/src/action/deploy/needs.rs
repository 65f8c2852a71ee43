//! What a deploy needs of the cluster, and what it leaves behind: rights, room, objects that are not rendered any more.

use super::look::{Pair, find};
use super::{DeployPlan, Shape, Survey};
use crate::check::smoke::checks_at;
use crate::cluster::{Cluster, Verb};
use crate::inputs::smoke::SmokeTarget;
use crate::inputs::{Amount, Replicas, Strategy};
use crate::job;
use crate::preflight::Extra;
use crate::rollout::status;
use crate::strategy::workloads_of;
use crate::unit::{Role, UNIT, first_pods, role};
use crate::{DeliveryError, Object, ObjectId};

/// Every right that the delivery and its way back use.
pub(in crate::action) fn verbs(plan: &DeployPlan, shape: &Shape) -> Vec<Verb> {
    let mut verbs = Vec::new();
    let mut need = |api_version: &str, kind: &str, names: &[&str]| {
        verbs.extend(names.iter().map(|verb| Verb::new(verb, api_version, kind)));
    };
    for object in &plan.rendered {
        need(object.api_version(), object.kind(), &["get", "create", "patch", "delete"]);
        if role(object) == Role::Workload {
            need(object.api_version(), object.kind(), &["list", "watch"]);
        }
    }
    need("apps/v1", "Deployment", &["get", "list", "watch", "create", "patch", "delete"]);
    need("v1", "Pod", &["list", "watch"]);
    need("v1", "Event", &["list"]);
    for (api_version, kind) in [("v1", "Service"), ("apps/v1", "StatefulSet"), ("apps/v1", "DaemonSet")] {
        need(api_version, kind, &["list"]);
    }
    if let Shape::BlueGreen(_) = shape {
        need("v1", "Service", &["get", "create", "patch", "delete"]);
        need("discovery.k8s.io/v1", "EndpointSlice", &["list", "watch"]);
        need("apps/v1", "ReplicaSet", &["list"]);
        need("autoscaling/v2", "HorizontalPodAutoscaler", &["list"]);
        need("policy/v1", "PodDisruptionBudget", &["list"]);
    }
    if !plan.inputs.rollback_when.is_empty() {
        // The baseline is kept beside the unit.
        need("v1", "ConfigMap", &["get", "create", "patch"]);
    }
    if plan.chart.is_some() {
        // Helm's record.
        need("v1", "Secret", &["get", "list", "create", "patch", "delete"]);
    }
    if plan.inputs.prune {
        for (api_version, kind) in PRUNED {
            need(api_version, kind, &["list", "delete"]);
        }
    }
    verbs.push(Verb::new("patch", "apps/v1", "Deployment").part("scale"));
    verbs.push(Verb::new("get", "v1", "Pod").part("log"));
    verbs.extend(asking(plan, shape));
    verbs
}

/// Those of asking pods and Services, and of running the Jobs that test them.
fn asking(plan: &DeployPlan, shape: &Shape) -> Vec<Verb> {
    let inputs = &plan.inputs;
    let mut verbs = Vec::new();
    let scraped = !inputs.rollback_when.is_empty() && inputs.measure.prometheus.is_none();
    let pods = !checks_at(&inputs.smoke, SmokeTarget::AllPods).is_empty() || !inputs.evidence.is_empty();
    if pods || scraped || inputs.health.is_some() {
        verbs.push(Verb::new("get", "v1", "Pod").part("proxy"));
    }
    let preview = !checks_at(&inputs.smoke, SmokeTarget::Preview).is_empty();
    if preview && matches!(shape, Shape::BlueGreen(_)) {
        verbs.push(Verb::new("get", "v1", "Service").part("proxy"));
    }
    if !plan.jobs.is_empty() {
        verbs.extend(job::verbs());
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
