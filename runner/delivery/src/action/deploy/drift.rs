//! What somebody else changed since the last release: found when planning, and named with what is to be done about it.
//!
//! Invariant: what an operation set is never undone by a release unasked: it is named with the operation and until when it is
//! in force.

use std::collections::BTreeSet;

use super::look::{Pair, find};
use super::{DeployPlan, Shape, Survey};
use crate::action::Past;
use crate::cluster::{Cluster, ClusterError};
use crate::inputs::deploy::Drift;
use crate::operate::{Note, OPERATE};
use crate::strategy::{Drifted, drift, is_of, workloads_of};
use crate::{DeliveryError, Object, ObjectId};

/// A line for each field that somebody else set to another value, with what becomes of it.
pub(super) async fn of_pairs(
    plan: &DeployPlan,
    past: &[Past],
    shape: &Shape,
    survey: &Survey,
    pairs: &[Pair<'_>],
    cluster: &Cluster,
) -> Result<Vec<String>, DeliveryError> {
    let found = found(plan, past, shape, survey, pairs);
    let notes = if found.iter().any(|each| each.manager == OPERATE) { notes(cluster).await? } else { Vec::new() };
    Ok(found.iter().map(|each| line(each, &notes, plan.inputs.drift)).collect())
}

fn found(plan: &DeployPlan, past: &[Past], shape: &Shape, survey: &Survey, pairs: &[Pair<'_>]) -> Vec<Drifted> {
    let released = past.iter().find_map(|each| each.deploy(&plan.unit)).and_then(|plan| plan.shape().ok());
    let released = |object: &Object| released.as_ref().and_then(|shape| find(shape, &object.id()));
    let mut found = Vec::new();
    for Pair { wanted, live, .. } in pairs {
        if let Some(live) = live.as_ref().filter(|live| is_of(live, &plan.unit)) {
            found.extend(drift(live, released(live), Some(wanted)));
        }
    }
    if let Shape::BlueGreen(shape) = shape {
        let all = workloads_of(survey, shape).unwrap_or_default();
        for (base, live) in all.into_iter().filter(|(_, live)| is_of(live, &plan.unit)) {
            let next = shape.swaps.iter().find(|swap| swap.base == base).map(|swap| &swap.object);
            found.extend(drift(live, released(live), next));
        }
    }
    let mut seen = BTreeSet::new();
    found.retain(|each| seen.insert(each.line.clone()));
    found
}

/// The operations in force, as far as they may be looked at: their names help, and are not needed.
async fn notes(cluster: &Cluster) -> Result<Vec<Note>, ClusterError> {
    match Note::all(cluster).await {
        Err(ClusterError::Forbidden { .. }) => Ok(Vec::new()),
        notes => Ok(notes?.into_iter().map(|(note, _)| note).collect()),
    }
}

fn line(found: &Drifted, notes: &[Note], answer: Drift) -> String {
    let about = |note: &&Note| found.manager == OPERATE && note.before.iter().any(|change| is(&change.id, &found.id));
    let operations = notes.iter().filter(about).map(|note| {
        let until = note.due.map_or("it is undone".to_owned(), |due| due.to_string());
        format!("; {} is in force until {until}", note.what)
    });
    let line: String = std::iter::once(found.line.clone()).chain(operations).collect();
    match answer {
        Drift::Refuse if found.manager == OPERATE => {
            line + "; undo it (its step with undo: true), or drift: overwrite or keep"
        }
        Drift::Refuse => line,
        Drift::Overwrite => line + "; it is overwritten",
        Drift::Keep => line + "; it is kept",
    }
}

fn is(one: &ObjectId, other: &ObjectId) -> bool {
    one.kind == other.kind && one.name == other.name
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::operate::Change;

    #[test]
    fn an_operation_in_force_is_named_with_its_end() {
        let id = |kind: &str| ObjectId::new("autoscaling/v2", kind, "prod", "shop");
        let change = Change { id: id("HorizontalPodAutoscaler"), uid: String::new(), fields: Vec::new() };
        let due: Timestamp = "2026-11-30T15:00:00Z".parse().unwrap();
        let note = json!({"name": "n", "what": "scale Deployment/shop", "before": [change], "statements": [],
            "job": null, "facts": {}, "due": due});
        let notes: Vec<Note> = vec![serde_json::from_value(note).unwrap()];
        let found = |kind: &str, manager: &str| Drifted {
            id: id(kind),
            manager: manager.to_owned(),
            line: "drift: a".to_owned(),
        };
        let scaler = found("HorizontalPodAutoscaler", OPERATE);
        assert_eq!(
            line(&scaler, &notes, Drift::Refuse),
            "drift: a; scale Deployment/shop is in force until 2026-11-30T15:00:00Z; undo it (its step with undo: true), or \
             drift: overwrite or keep"
        );
        assert_eq!(
            line(&scaler, &notes, Drift::Overwrite),
            "drift: a; scale Deployment/shop is in force until 2026-11-30T15:00:00Z; it is overwritten"
        );
        assert_eq!(line(&found("Service", OPERATE), &notes, Drift::Keep), "drift: a; it is kept");
        assert_eq!(line(&found("HorizontalPodAutoscaler", "kubectl-edit"), &notes, Drift::Refuse), "drift: a");
    }
}
