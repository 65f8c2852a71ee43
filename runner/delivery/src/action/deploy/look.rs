//! What stands against a deploy, and what it changes: the cluster is asked, nothing is written.

use std::collections::BTreeSet;

use super::budget::below_budget;
use super::bystanders::{Followers, bystanders};
use super::needs::{extra, prunable, verbs};
use super::{DeployPlan, Shape, Survey, drift, services};
use crate::action::{Past, When, many};
use crate::check::Subject;
use crate::check::measure::preflight as preflight_signals;
use crate::check::rules::signals;
use crate::cluster::{Apply, Cluster, ClusterError, FieldConflict, MANAGER, TRAFFIC};
use crate::inputs::deploy::Drift;
use crate::preflight::{self, Needs};
use crate::strategy::{
    Moved, Narrowing, Rules, forces, id_in, is_of, live_workloads, narrowing, prepared, settled, workloads_of,
};
use crate::unit::{BlueGreenShape, DIGEST, RELEASE, UNIT, changes, warnings};
use crate::{DeliveryError, ImageRef, Object, ObjectId};

/// An object as it is to be, and as it is.
pub(super) struct Pair<'a> {
    pub(super) wanted: &'a Object,
    pub(super) live: Option<Object>,
    pub(super) moved: Moved,
}

/// Fills in what the cluster says; all problems at once.
pub(in crate::action) async fn complete(
    plan: &mut DeployPlan,
    past: &[Past],
    (survey, followers): (&Survey, &Followers),
    cluster: &Cluster,
    when: When,
) -> Result<(), DeliveryError> {
    let shape = plan.shape()?;
    let pairs = pairs(&shape, cluster).await?;
    let mut problems = below_budget(&plan.rendered, &plan.inputs);
    let mut input = if problems.is_empty() { "" } else { "rollback-replicas" };
    let mut told = plan.warnings.clone();
    let verbs = verbs(plan, &shape);
    let extra = extra(plan, &shape, survey, &pairs);
    let needs = Needs { verbs: &verbs, objects: &plan.rendered, extra: &extra };
    for problem in preflight::check(cluster, &needs).await? {
        if problem.of_input && !problem.advice && input.is_empty() {
            input = plan.inputs.source.input();
        }
        if problem.advice { told.push(problem.line()) } else { problems.push(problem.line()) }
    }
    let drift = drift::of_pairs(plan, past, &shape, survey, &pairs, cluster).await?;
    let lines = if plan.inputs.drift == Drift::Refuse { &mut problems } else { &mut told };
    lines.extend(drift);
    problems.extend(services::in_the_way(plan, &shape, survey));
    let signals = signals_of(plan, &shape, survey, cluster).await;
    // Metrics may come with what earlier jobs of the run deliver.
    let heard = if when == When::Early { &mut told } else { &mut problems };
    heard.extend(signals);
    if let Shape::BlueGreen(shape) = &shape {
        adoption(plan, shape, (survey, followers), cluster, &mut problems, &mut told).await?;
        ports(shape, survey, &mut problems);
    }
    let missing_namespace = problems.iter().any(|line| line.starts_with("namespace "));
    if !missing_namespace {
        let before = problems.len();
        plan.changes = dry_run(plan, &pairs, cluster, &mut problems).await?;
        // A rule of the cluster about images has not seen the one that is meant.
        let (refused, stand_in) = (problems.split_off(before), ImageRef::stand_in().digest);
        problems.extend(refused.into_iter().filter(|line| !line.contains(&stand_in)));
    }
    if plan.inputs.prune && problems.is_empty() {
        plan.prune = prunable(plan, &shape, cluster).await?;
    }
    told.extend(warnings(&plan.unit(), &plan.inputs));
    let mut seen = BTreeSet::new();
    told.retain(|line| seen.insert(line.clone()));
    plan.warnings = told;
    if problems.is_empty() {
        return Ok(());
    }
    Err(many("the release cannot be delivered", problems.into_iter()).of_input(input).into())
}

/// What keeps the step's rules from being measured, asked of the live release.
async fn signals_of(plan: &DeployPlan, shape: &Shape, survey: &Survey, cluster: &Cluster) -> Vec<String> {
    let signals = signals(&plan.inputs.rollback_when);
    let live = live_workloads(survey, shape);
    if signals.is_empty() {
        return Vec::new();
    }
    let subject = plan.live.as_ref().map(|release| Subject {
        unit: plan.unit.clone(),
        version: release.version.clone(),
        release: release.release.clone(),
        pods: live.iter().map(|each| each.pod_labels()).collect(),
        workloads: live.iter().map(|each| each.name().to_owned()).collect(),
        port: None,
    });
    // Only which moment a server's past is asked for: nothing is decided by it.
    let now = jiff::Timestamp::now();
    match preflight_signals(&plan.inputs.measure, &signals, subject.as_ref(), cluster, now).await {
        Ok(_) => Vec::new(),
        Err(failure) if failure.evidence.is_empty() => vec![failure.to_string()],
        Err(failure) => failure.evidence,
    }
}

pub(super) async fn pairs<'a>(shape: &'a Shape, cluster: &Cluster) -> Result<Vec<Pair<'a>>, ClusterError> {
    let objects: Vec<(&Object, Moved)> = match shape {
        Shape::Rolling(shape) => shape.objects.iter().map(|object| (object, Moved::Replicas)).collect(),
        Shape::BlueGreen(shape) => {
            let swaps = shape.swaps.iter().map(|swap| &swap.object);
            let plain = shape.in_place.iter().chain(swaps).chain(&shape.after).map(|object| (object, Moved::Replicas));
            let followers = shape.services.iter().chain(&shape.autoscalers).chain(&shape.budgets);
            plain.chain(followers.map(|object| (object, Moved::Traffic))).collect()
        }
    };
    let mut pairs = Vec::new();
    for (wanted, moved) in objects {
        let live = match cluster.get(&id_in(wanted, cluster)).await {
            Ok(live) => live,
            // The preflight names both.
            Err(ClusterError::NotServed { .. } | ClusterError::Forbidden { .. }) => None,
            Err(error) => return Err(error),
        };
        pairs.push(Pair { wanted, live, moved });
    }
    Ok(pairs)
}

pub(super) fn find<'a>(shape: &'a Shape, id: &ObjectId) -> Option<&'a Object> {
    let is = |object: &&Object| object.kind() == id.kind && object.name() == id.name;
    match shape {
        Shape::Rolling(shape) => shape.objects.iter().find(is),
        Shape::BlueGreen(shape) => {
            let swaps = shape.swaps.iter().map(|swap| &swap.object);
            let rest = shape.in_place.iter().chain(&shape.autoscalers).chain(&shape.after);
            swaps.chain(rest).find(is)
        }
    }
}

/// What is taken over, and whether live pods can be told from new ones.
async fn adoption(
    plan: &DeployPlan,
    shape: &BlueGreenShape,
    (survey, followers): (&Survey, &Followers),
    cluster: &Cluster,
    problems: &mut Vec<String>,
    told: &mut Vec<String>,
) -> Result<(), DeliveryError> {
    let live = match workloads_of(survey, shape) {
        Ok(live) => live,
        Err(lines) => {
            problems.extend(lines);
            return Ok(());
        }
    };
    let workloads: Vec<&Object> = live.values().copied().collect();
    let (against, worth) = bystanders(plan, shape, &workloads, survey, followers);
    problems.extend(against);
    told.extend(worth);
    for each in live.values().filter(|each| !is_of(each, &plan.unit)) {
        if plan.inputs.adopt {
            told.push(format!("{} is adopted: it stays as it is until the traffic has moved", each.id()));
        } else {
            problems.push(format!("{} is live and Tagline has not made it; adopt: true", each.id()));
        }
    }
    if live.values().any(|each| each.pod_labels().get(RELEASE) == Some(&plan.release.0)) {
        return Ok(());
    }
    for service in &shape.services {
        let Some(service) = survey.services.get(service.name()) else { continue };
        match narrowing(cluster, service, shape, &live).await? {
            Narrowing::NotNeeded => {}
            Narrowing::To(_) => told.push(format!("Service/{} is narrowed to the live pods first", service.name())),
            Narrowing::Impossible(why) => problems.push(why),
        }
    }
    Ok(())
}

/// A port that changes with the switch would be wrong for one of the releases.
fn ports(shape: &BlueGreenShape, survey: &Survey, problems: &mut Vec<String>) {
    for service in &shape.services {
        let Some(live) = survey.services.get(service.name()) else { continue };
        for port in service.list("/spec/ports") {
            let number = &port["port"];
            let Some(now) = live.list("/spec/ports").iter().find(|each| each["port"] == *number) else { continue };
            let target = if port["targetPort"].is_null() { number } else { &port["targetPort"] };
            if now["targetPort"] != *target {
                problems.push(format!(
                    "Service/{}: targetPort of port {number} changes from {} to {target}: both releases must answer behind \
                     it; name the port in the pods and give that name",
                    service.name(),
                    now["targetPort"]
                ));
            }
        }
    }
}

/// What the server makes of each object, and what that changes.
async fn dry_run(
    plan: &DeployPlan,
    pairs: &[Pair<'_>],
    cluster: &Cluster,
    problems: &mut Vec<String>,
) -> Result<Vec<crate::unit::ChangeSet>, DeliveryError> {
    let inputs = &plan.inputs;
    let rules =
        Rules { adopt: inputs.adopt, drift: inputs.drift, force: inputs.force_conflicts, run: None, as_it_was: false };
    let own_namespace = plan.rendered.iter().any(|object| object.kind() == "Namespace");
    let mut sets = Vec::new();
    for Pair { wanted, live, moved } in pairs {
        if let Some(line) = live.as_ref().and_then(|live| other_owner(plan, live)) {
            problems.push(line);
            continue;
        }
        let object = prepared(wanted, live.as_ref(), *moved, rules);
        // As it will be applied: what would be refused then is refused now.
        let how = Apply::by(MANAGER).dry_run().force(forces(live.as_ref(), wanted, rules));
        let asked = match cluster.apply(&object, how).await {
            Err(ClusterError::Conflict { managers, .. }) if known(&managers, live.as_ref(), problems) => {
                cluster.apply(&object, how.force(true)).await
            }
            asked => asked,
        };
        match asked {
            Ok(after) => {
                let mut set = changes(live.as_ref().map(settled).as_ref(), &settled(&after));
                set.changes.retain(|change| change.field != format!("metadata.annotations.{DIGEST}"));
                if set.created || !set.changes.is_empty() {
                    sets.push(set);
                }
            }
            // The namespace, and what other kinds need, is made when the delivery begins.
            Err(ClusterError::NotFound(_)) if own_namespace => sets.push(changes(None, wanted)),
            // The preflight has said it.
            Err(ClusterError::NotServed { .. } | ClusterError::Forbidden { .. }) => {}
            Err(error @ (ClusterError::Unreachable { .. } | ClusterError::Unauthorized { .. })) => {
                return Err(error.into());
            }
            Err(error) => problems.push(format!("{error} ({})", error.next())),
        }
    }
    Ok(sets)
}

/// Whether conflicts say nothing new: the number of pods that an autoscaler set in the same moment, and what is among the
/// problems already, with better advice.
fn known(conflicts: &[FieldConflict], live: Option<&Object>, problems: &[String]) -> bool {
    let Some(id) = live.map(Object::id) else { return false };
    conflicts.iter().all(|FieldConflict { manager, field }| {
        let begin = match manager.as_str() {
            TRAFFIC => format!("{id} sends its traffic to "),
            _ => format!("drift: {id} {} changed by {manager}:", field.trim_start_matches('.')),
        };
        field == ".spec.replicas" || problems.iter().any(|line| line.starts_with(&begin))
    })
}

fn other_owner(plan: &DeployPlan, live: &Object) -> Option<String> {
    let owner = live.labels().get(UNIT).cloned();
    match owner {
        Some(unit) if unit != plan.unit && !plan.inputs.force_conflicts => {
            Some(format!("{} belongs to the unit {unit}; give one of them another name", live.id()))
        }
        None if !plan.inputs.adopt => Some(format!("{} is there and Tagline has not made it; adopt: true", live.id())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_conflict_that_is_among_the_problems_is_not_said_again() {
        let live = Object(json!({"kind": "Service", "metadata": {"name": "shop"}}));
        let conflict =
            |manager: &str, field: &str| FieldConflict { manager: manager.to_owned(), field: field.to_owned() };
        let drifted =
            ["drift: Service/shop spec.type changed by kubectl-edit: NodePort (the release has ClusterIP)".to_owned()];
        let apart = ["Service/shop sends its traffic to the blue-green release a alone".to_owned()];
        let hand = [conflict("kubectl-edit", ".spec.type")];
        assert!(known(&hand, Some(&live), &drifted));
        assert!(!known(&hand, Some(&live), &apart) && !known(&hand, Some(&live), &[]));
        let traffic = [conflict(TRAFFIC, ".spec.selector")];
        assert!(known(&traffic, Some(&live), &apart) && !known(&traffic, Some(&live), &drifted));
        assert!(known(&[conflict("hpa", ".spec.replicas")], Some(&live), &[]));
    }
}
