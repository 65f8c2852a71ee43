//! Whether a release is live with everything that is its: all its pods, and all that points to them.
//!
//! Invariant: one workload or one Service that is not there yet is enough for "no": a way back that stopped half-way is not
//! taken for one that arrived.

use super::history::History;
use crate::action::{DeployPlan, Shape};
use crate::cluster::{Cluster, ClusterError};
use crate::inputs::Strategy;
use crate::inputs::deploy::Follow;
use crate::rollout::{State, status};
use crate::strategy::{LiveRelease, Snapshot, id_in, release_of};
use crate::unit::{Role, VERSION, role};
use crate::{DeliveryError, Object};

/// What is looked at in an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// All its pods run and are of the release; `empty`: none may be wanted, too.
    Runs { empty: bool },
    /// It points there.
    Points(&'static str),
    /// It is of the release's version.
    Version,
}

/// Whether it is live and whole, by its own plan, else by the state that the delivery after it found.
pub(super) async fn is_whole(
    release: &LiveRelease,
    history: &History<'_>,
    cluster: &Cluster,
) -> Result<bool, DeliveryError> {
    let expected = match (history.plan_of(release), history.snapshot_of(release)) {
        (Some(plan), _) => of_plan(plan)?,
        (None, Some(snapshot)) => of_snapshot(snapshot),
        (None, None) => return Ok(false),
    };
    Ok(all(&expected, release, cluster).await?)
}

async fn all(expected: &[(Object, Look)], release: &LiveRelease, cluster: &Cluster) -> Result<bool, ClusterError> {
    for (object, look) in expected {
        let now = cluster.get(&id_in(object, cluster)).await?;
        if !now.is_some_and(|now| fits(&now, object, *look, release)) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn fits(now: &Object, object: &Object, look: Look, release: &LiveRelease) -> bool {
    let version = |object: &Object| object.annotations().remove(VERSION);
    match look {
        Look::Runs { empty } => {
            let state = status(now).map(|status| status.state);
            let runs = matches!(state, Some(State::Done)) || (empty && matches!(state, Some(State::Empty)));
            runs && release_of(now).release == release.release
        }
        Look::Points(pointer) => now.0.pointer(pointer) == object.0.pointer(pointer),
        Look::Version => version(now) == version(object),
    }
}

fn of_plan(plan: &DeployPlan) -> Result<Vec<(Object, Look)>, DeliveryError> {
    let shape = match plan.shape()? {
        Shape::Rolling(shape) => {
            return Ok(shape.objects.into_iter().filter_map(|each| Some((each.clone(), in_place(&each)?))).collect());
        }
        Shape::BlueGreen(shape) => *shape,
    };
    let Strategy::BlueGreen(knobs) = &plan.inputs.strategy else { return Ok(Vec::new()) };
    let swaps = shape.swaps.into_iter().map(|swap| (swap.object, Look::Runs { empty: false }));
    let autoscalers = shape.autoscalers.into_iter().filter(|_| knobs.autoscaler == Follow::Follow);
    let budgets = shape.budgets.into_iter().filter(|_| knobs.pdb == Follow::Follow);
    let rest = shape.services.into_iter().chain(autoscalers).chain(budgets).chain(shape.after);
    Ok(swaps.chain(rest.filter_map(|each| Some((each.clone(), in_place(&each)?)))).collect())
}

fn of_snapshot(snapshot: &Snapshot) -> Vec<(Object, Look)> {
    let kept = snapshot.workloads.values().chain(&snapshot.objects).map(|kept| &kept.object);
    kept.filter_map(|each| Some((each.clone(), in_place(each)?))).collect()
}

/// What is looked at in an object that is there once.
fn in_place(object: &Object) -> Option<Look> {
    match role(object) {
        Role::Service if !object.texts("/spec/selector").is_empty() => Some(Look::Points("/spec/selector")),
        Role::Budget => Some(Look::Points("/spec/selector")),
        Role::Autoscaler => Some(Look::Points("/spec/scaleTargetRef")),
        Role::Scheduled => Some(Look::Version),
        _ => status(object).filter(|_| object.kind() != "Job").map(|_| Look::Runs { empty: true }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::unit::RELEASE;

    fn release() -> LiveRelease {
        LiveRelease { release: "v1".to_owned(), version: "1.0.0".to_owned() }
    }

    fn deployment(release: &str, wanted: i64, ready: i64) -> Object {
        Object(json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "generation": 1},
            "spec": {"replicas": wanted, "template": {"metadata": {"labels": {RELEASE: release}}}},
            "status": {"observedGeneration": 1, "replicas": ready, "updatedReplicas": ready, "readyReplicas": ready,
                "availableReplicas": ready, "conditions": []}}))
    }

    #[test]
    fn a_workload_is_whole_with_all_its_pods_of_the_release() {
        let runs = |now: &Object, empty| fits(now, now, Look::Runs { empty }, &release());
        assert!(runs(&deployment("v1", 2, 2), false));
        assert!(!runs(&deployment("v2", 2, 2), false), "another release");
        assert!(!runs(&deployment("v1", 2, 1), false), "a pod is missing");
        assert!(!runs(&deployment("v1", 0, 0), false), "parked without pods");
        assert!(runs(&deployment("v1", 0, 0), true), "an autoscaler may want none");
    }

    #[test]
    fn what_follows_the_traffic_points_to_the_release() {
        let look = |kind: &str, api: &str, spec: Value| {
            let object = Object(json!({"apiVersion": api, "kind": kind, "metadata": {"name": "web"}, "spec": spec}));
            let look = in_place(&object)?;
            let mut other = object.clone();
            other.set("/spec/selector/matchLabels/x", json!("other"));
            other.set("/spec/selector/x", json!("other"));
            other.set("/spec/scaleTargetRef/name", json!("other"));
            other.set("/metadata/annotations/tagline.dev~1version", json!("0.9"));
            assert!(fits(&object, &object, look, &release()) && !fits(&other, &object, look, &release()), "{kind}");
            Some(look)
        };
        let points = Some(Look::Points("/spec/selector"));
        assert_eq!(look("Service", "v1", json!({"selector": {"app": "web"}})), points);
        assert_eq!(look("Service", "v1", json!({"externalName": "db"})), None);
        assert_eq!(look("PodDisruptionBudget", "policy/v1", json!({"selector": {"matchLabels": {"a": "b"}}})), points);
        let autoscaler = look("HorizontalPodAutoscaler", "autoscaling/v2", json!({"scaleTargetRef": {"name": "web"}}));
        assert_eq!(autoscaler, Some(Look::Points("/spec/scaleTargetRef")));
        assert_eq!(look("CronJob", "batch/v1", json!({})), Some(Look::Version));
        assert_eq!(look("ConfigMap", "v1", json!({})), None);
    }
}
