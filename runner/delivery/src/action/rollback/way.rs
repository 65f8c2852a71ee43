//! How a release is returned to: not at all, to what was there before a delivery, or by delivering it again.
//!
//! Invariants: what still stands as it was is the quickest and surest and comes first; where a part of it is gone, or
//! something stands against it, the release is delivered again, configuration included. Nothing is changed here, and what
//! stands against a way is found here, as for a deploy.

use super::Way;
use super::history::History;
use super::rotated::InForce;
use super::whole::is_whole;
use crate::action::{DeployPlan, Shape, When, deploy, many};
use crate::cluster::{Cluster, ClusterError};
use crate::inputs::deploy::{Drift, OnFailure};
use crate::inputs::{Replicas, RollbackInputs, Strategy};
use crate::preflight::{self, Extra, Needs};
use crate::strategy::{LiveRelease, Snapshot, Survey, id_in};
use crate::{DeliveryError, Failure, Object, UNCHANGED};

/// What a way is chosen from.
pub(super) struct Choice<'a> {
    pub(super) history: &'a History<'a>,
    pub(super) target: &'a LiveRelease,
    pub(super) live: Option<&'a LiveRelease>,
    pub(super) survey: &'a Survey,
    pub(super) inputs: &'a RollbackInputs,
    pub(super) cluster: &'a Cluster,
}

/// To what was there before a delivery.
struct Undo<'a> {
    leaving: &'a DeployPlan,
    to: Snapshot,
}

/// What was found about a way.
#[derive(Default)]
struct Found {
    /// Parts of the release that are gone.
    lost: Vec<String>,
    /// What stands against it.
    problems: Vec<String>,
    /// What may.
    advice: Vec<String>,
}

impl Choice<'_> {
    /// The way, with what is worth a warning.
    pub(super) async fn choose(&self) -> Result<(Way, Vec<String>), DeliveryError> {
        let is_live = self.live.is_some_and(|live| live.release == self.target.release);
        if is_live && !self.history.is_open() && is_whole(self.target, self.history, self.cluster).await? {
            return Ok((Way::Already, Vec::new()));
        }
        let again = self.history.plan_of(self.target);
        if let Some(undo) = self.undo().await? {
            let found = self.look_at(&undo).await?;
            if again.is_none() && !found.problems.is_empty() {
                let what = format!("cannot go back to {}", self.target.version);
                return Err(many(&what, found.problems.into_iter()).into());
            }
            if again.is_none() || (found.lost.is_empty() && found.problems.is_empty()) {
                return Ok((undo.way(again), found.lost.into_iter().chain(found.advice).collect()));
            }
        }
        match again {
            Some(plan) => {
                let again = self.again(plan).await?;
                let told = again.warnings.clone();
                Ok((Way::Again(Box::new(again)), told))
            }
            None => Err(self.nowhere().into()),
        }
    }

    fn nowhere(&self) -> Failure {
        let now = self.live.map_or("now", |live| &live.version);
        let why = format!("neither its plan nor its state before {now} is remembered");
        Failure::new(format!("cannot go back to {}", self.target.version), why).effect(UNCHANGED)
    }

    /// The delivery that goes, with what was there before it; its pods read the Secrets that are in force now.
    async fn undo(&self) -> Result<Option<Undo<'_>>, ClusterError> {
        let live = || self.history.undo(self.live?, self.target);
        let Some((leaving, mut to)) = self.history.begun(self.target).or_else(live) else { return Ok(None) };
        let in_force = InForce::look(self.cluster, objects(&to)).await?;
        to.workloads.values_mut().chain(&mut to.objects).for_each(|kept| in_force.follow(&mut kept.object));
        Ok(Some(Undo { leaving, to }))
    }

    /// Whether everything that is returned to still stands, may be written, has room, and finds what it reads.
    async fn look_at(&self, undo: &Undo<'_>) -> Result<Found, DeliveryError> {
        let mut found = Found { lost: self.lost(undo).await?, ..Found::default() };
        let shape = undo.leaving.shape()?;
        let verbs = deploy::verbs(undo.leaving, &shape);
        let objects = brought(&undo.to, &shape);
        let extra = self.extra(undo, &shape);
        for problem in
            preflight::check(self.cluster, &Needs { verbs: &verbs, objects: &objects, extra: &extra }).await?
        {
            if problem.advice { found.advice.push(problem.line()) } else { found.problems.push(problem.line()) }
        }
        Ok(found)
    }

    /// What the delivery that goes has removed, and workloads that are not the same ones any more.
    async fn lost(&self, undo: &Undo<'_>) -> Result<Vec<String>, ClusterError> {
        let mut lost = Vec::new();
        let pruned = undo.leaving.prune.iter().map(|(id, uid)| (id.clone(), uid));
        let workloads = undo.to.workloads.values().map(|kept| (id_in(&kept.object, self.cluster), &kept.uid));
        for (id, uid) in pruned.chain(workloads) {
            if self.cluster.get(&id).await?.is_none_or(|now| now.uid() != uid) {
                lost.push(format!("{id} of {} was removed since", undo.to.version()));
            }
        }
        Ok(lost)
    }

    /// The pods that come beside those that run now.
    fn extra(&self, undo: &Undo<'_>, shape: &Shape) -> Vec<Extra> {
        if !undo.leaving.inputs.capacity_check || matches!(shape, Shape::Rolling(_)) {
            return Vec::new();
        }
        let each = undo.to.workloads.values().map(|kept| {
            let now = self.survey.deployments.get(kept.object.name()).and_then(|now| now.number("/spec/replicas"));
            let wanted = match self.inputs.replicas {
                Replicas::Count(count) => count,
                Replicas::Previous | Replicas::Manifest => kept.replicas().max(1),
            };
            Extra::of(&kept.object, (i64::from(wanted) - now.unwrap_or(0)).max(0))
        });
        each.collect()
    }

    /// The same release delivered once more, over what is live now, planned and checked as any release. It was watched when
    /// it was delivered first, so it is not watched again. Where it fails, what is live now stays.
    async fn again(&self, plan: &DeployPlan) -> Result<DeployPlan, DeliveryError> {
        let mut plan = plan.clone();
        let in_force = InForce::look(self.cluster, plan.rendered.iter()).await?;
        plan.rendered.iter_mut().for_each(|object| in_force.follow(object));
        plan.release = plan.unit().release;
        plan.place = deploy::place(&plan, self.survey)?;
        plan.live = deploy::live_of(self.survey, &plan);
        plan.unproved = deploy::is_unproved(self.survey, &plan);
        let inputs = &mut plan.inputs;
        inputs.timeout = self.inputs.timeout;
        inputs.watch = crate::inputs::Period::default();
        inputs.rollback_when = Vec::new();
        inputs.on_failure = OnFailure::Rollback;
        inputs.replicas = Replicas::Previous;
        // Whoever changed what is live by hand does not keep the release before from coming back; it is said.
        inputs.drift = Drift::Overwrite;
        if let Strategy::BlueGreen(knobs) = &mut inputs.strategy {
            knobs.scale_old = knobs.scale_old.min(1);
        }
        (plan.prune, plan.changes, plan.warnings) = (Vec::new(), Vec::new(), Vec::new());
        let followers = deploy::Followers::take(self.cluster, &plan.inputs).await?;
        deploy::complete(&mut plan, &[], (self.survey, &followers), self.cluster, When::Due).await?;
        Ok(plan)
    }
}

impl Undo<'_> {
    /// `plan`: the release's own, which Helm's record is made from.
    fn way(self, plan: Option<&DeployPlan>) -> Way {
        let of = plan.filter(|plan| plan.chart.is_some()).map(|plan| Box::new(plan.clone()));
        Way::Undo { leaving: Box::new(self.leaving.clone()), to: Box::new(self.to), of }
    }
}

/// What pods find although the cluster lacks it: nothing beside what is live, for pods come first there. A Secret that is
/// kept has no values, so the one in the cluster counts.
fn brought(snapshot: &Snapshot, shape: &Shape) -> Vec<Object> {
    let workloads = snapshot.workloads.values();
    let config = snapshot.objects.iter().filter(|kept| kept.object.kind() == "ConfigMap");
    let config = config.filter(|_| matches!(shape, Shape::Rolling(_)));
    workloads.chain(config).map(|kept| kept.object.clone()).collect()
}

fn objects(snapshot: &Snapshot) -> impl Iterator<Item = &Object> {
    snapshot.workloads.values().chain(&snapshot.objects).map(|kept| &kept.object)
}
