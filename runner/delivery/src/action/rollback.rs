//! `tagline/rollback`: the whole unit back to a release that was live before.

use serde::{Deserialize, Serialize};

use super::{DeployPlan, Outcome, Past, Shape, deploy, many};
use crate::cluster::Cluster;
use crate::inputs::deploy::{Drift, OnFailure};
use crate::inputs::{Replicas, RollbackInputs, Strategy};
use crate::progress::recorded;
use crate::strategy::{self, Back, LiveRelease, Snapshot, Steady, Survey};
use crate::{DeliveryError, Failure, Milestone, PlanError, Progress, Site, UNCHANGED};

/// What a rollback does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RollbackPlan {
    /// The unit.
    pub unit: String,
    /// The version that is returned to.
    pub version: String,
    /// Its release.
    pub release: String,
    /// What is live now.
    pub live: Option<LiveRelease>,
    /// How.
    pub way: Way,
    /// What the step gives.
    pub inputs: RollbackInputs,
    /// What is worth a warning.
    pub warnings: Vec<String>,
}

/// How a release is returned to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// It is live already: nothing is written.
    Already,
    /// To what was there before a delivery.
    Undo {
        /// The delivery that goes.
        leaving: Box<DeployPlan>,
        /// What was there before it.
        to: Box<Snapshot>,
    },
    /// The release is delivered again, from what its own plan holds.
    Again(Box<DeployPlan>),
}

impl RollbackPlan {
    /// What it is going to do, in lines for people.
    pub fn summary(&self) -> Vec<String> {
        let live = self.live.as_ref().map_or("nothing", |live| &live.version);
        match &self.way {
            Way::Already => vec![format!("already live: {}", self.version)],
            Way::Undo { .. } => vec![format!("{live} → {}: as it was before {live} was delivered", self.version)],
            Way::Again(plan) => {
                let mut lines = vec![format!("{live} → {}: delivered again", self.version)];
                lines.extend(plan.summary());
                lines
            }
        }
    }
}

/// Plans a rollback: to what was live before the newest deploy, or to the release that is named.
pub(super) async fn plan(
    site: &Site,
    inputs: &RollbackInputs,
    past: &[Past],
    cluster: &Cluster,
) -> Result<RollbackPlan, PlanError> {
    let unit = inputs.name.clone().unwrap_or_else(|| site.repository.clone());
    let deploys: Vec<(&DeployPlan, Option<Snapshot>)> =
        past.iter().filter_map(|each| Some((each.deploy(&unit)?, each.snapshot()))).collect();
    let Some((newest, before)) = deploys.first() else {
        let why = format!("no delivery of unit {unit} to {} is remembered", site.environment);
        return Err(Failure::new("there is nothing to go back to", why).effect(UNCHANGED).into());
    };
    let target = match (&inputs.to, before.as_ref().and_then(|before| before.live.as_ref())) {
        (Some(to), _) => named(to, &deploys)?,
        (None, Some(live)) => live.clone(),
        (None, None) => {
            let why = format!("{} was the first delivery of unit {unit}", newest.version);
            return Err(Failure::new("there is nothing to go back to", why).effect(UNCHANGED).into());
        }
    };
    let survey = Survey::take(cluster).await?;
    let live = deploys.iter().find_map(|(plan, before)| live_now(&survey, plan, before.as_ref()));
    let mut way = way(&target, live.as_ref(), &deploys, &survey)?;
    let mut warnings: Vec<String> =
        inputs.reason.is_none().then(|| "no reason is given".to_owned()).into_iter().collect();
    if let Way::Again(again) = &mut way {
        if let Shape::Rolling(shape) = again.shape()? {
            let lines = deploy::apart(&shape, &survey);
            if !lines.is_empty() {
                return Err(many(&format!("cannot go back to {}", target.version), lines.into_iter()).into());
            }
        }
        again.warnings = deploy::drifted(again, past, &survey, cluster).await?;
        warnings.extend(again.warnings.iter().cloned());
    }
    let (version, release) = (target.version, target.release);
    Ok(RollbackPlan { unit, version, release, live, way, inputs: inputs.clone(), warnings })
}

/// The release that a version, a release's id or an image's digest names; the newest of several.
fn named(to: &str, deploys: &[(&DeployPlan, Option<Snapshot>)]) -> Result<LiveRelease, DeliveryError> {
    let wanted = to.trim_start_matches('v');
    for (plan, before) in deploys {
        let of_plan = LiveRelease { release: plan.release.0.clone(), version: plan.version.clone() };
        let old = before.as_ref().and_then(|before| before.live.clone());
        for each in [Some(of_plan), old].into_iter().flatten() {
            let image = to.starts_with("sha256:") && plan.release.0 == each.release && plan.uses_image(to);
            if each.version.trim_start_matches('v') == wanted || each.release == to || image {
                return Ok(each);
            }
        }
    }
    let mut known: Vec<&str> = deploys.iter().map(|(plan, _)| plan.version.as_str()).collect();
    known.dedup();
    let why = format!("no delivery of it is remembered; remembered are {}", known.join(", "));
    Err(Failure::new(format!("cannot go back to {to}"), why).effect(UNCHANGED).into())
}

/// The release of a plan, or of what was before it, that the Services select now.
fn live_now(survey: &Survey, plan: &DeployPlan, before: Option<&Snapshot>) -> Option<LiveRelease> {
    deploy::live_of(survey, plan).or_else(|| {
        let before = before?;
        let runs =
            |kept: &strategy::Kept| survey.deployments.get(kept.object.name()).is_some_and(|now| now.uid() == kept.uid);
        (!before.workloads.is_empty() && before.workloads.values().all(runs)).then(|| before.live.clone()).flatten()
    })
}

fn way(
    target: &LiveRelease,
    live: Option<&LiveRelease>,
    deploys: &[(&DeployPlan, Option<Snapshot>)],
    survey: &Survey,
) -> Result<Way, DeliveryError> {
    if live.is_some_and(|live| live.release == target.release) {
        return Ok(Way::Already);
    }
    let leaves = |plan: &DeployPlan| live.is_some_and(|live| live.release == plan.release.0);
    let undo = deploys.iter().find_map(|(plan, before)| {
        let before = before.as_ref()?;
        let back = before.live.as_ref().is_some_and(|each| each.release == target.release);
        (leaves(plan) && back).then(|| Way::Undo { leaving: Box::new((*plan).clone()), to: Box::new(before.clone()) })
    });
    let again = deploys.iter().find(|(plan, _)| plan.release.0 == target.release);
    let stands = |way: &Way| match way {
        Way::Undo { to, .. } => to
            .workloads
            .values()
            .all(|kept| survey.deployments.get(kept.object.name()).is_some_and(|now| now.uid() == kept.uid)),
        _ => false,
    };
    // What still stands is the quickest and surest; what was removed is delivered again, configuration included.
    match (undo, again) {
        (Some(undo), Some(_)) if stands(&undo) => Ok(undo),
        (_, Some((plan, _))) => Ok(Way::Again(Box::new(plan.again(live, survey)?))),
        (Some(undo), None) => Ok(undo),
        (None, None) => {
            let why = format!(
                "neither its plan nor its state before {} is remembered",
                live.map_or("now", |live| &live.version)
            );
            Err(Failure::new(format!("cannot go back to {}", target.version), why).effect(UNCHANGED).into())
        }
    }
}

/// Carries a rollback out.
pub(super) async fn apply(
    plan: &RollbackPlan,
    site: &Site,
    cluster: &Cluster,
    progress: &dyn Progress,
) -> Result<Outcome, DeliveryError> {
    match &plan.way {
        Way::Already => {
            progress.say(format!("already live: {}", plan.version));
            Ok(outcome(plan, false, Vec::new()))
        }
        Way::Undo { leaving, to } => {
            let steady = Steady(progress);
            if recorded(progress, "rolled-back").is_none() {
                let text = format!("back to {}", plan.version);
                going(progress, text).await?;
                strategy::go_back(&back(plan, leaving, to, cluster, &steady)).await?;
                let text = format!("{} serves 100 %", plan.version);
                let data = serde_json::Value::Null;
                progress.record(Milestone { name: "rolled-back".to_owned(), text, data }).await?;
            }
            Ok(outcome(plan, true, Vec::new()))
        }
        Way::Again(deploy) => {
            let mut deploy = deploy.clone();
            deploy.inputs.timeout = plan.inputs.timeout;
            let done = deploy::apply(&deploy, site, cluster, progress).await?;
            let changed = done.outputs.get("changed").is_some_and(|changed| changed == "true");
            Ok(outcome(plan, changed, done.retire))
        }
    }
}

async fn going(progress: &dyn Progress, text: String) -> Result<(), DeliveryError> {
    if recorded(progress, "going-back").is_none() {
        let data = serde_json::Value::Null;
        progress.record(Milestone { name: "going-back".to_owned(), text, data }).await?;
    }
    Ok(())
}

fn back<'a>(
    plan: &'a RollbackPlan,
    leaving: &'a DeployPlan,
    to: &'a Snapshot,
    cluster: &Cluster,
    progress: &'a dyn Progress,
) -> Back<'a> {
    let inputs = &plan.inputs;
    let evidence = if inputs.evidence.is_empty() { &leaving.inputs.evidence } else { &inputs.evidence };
    Back {
        leaving,
        to,
        cluster: cluster.with_patience(*inputs.timeout),
        progress,
        replicas: inputs.replicas,
        drain: *inputs.drain,
        timeout: *inputs.timeout,
        evidence,
        restart: inputs.restart,
        spares: false,
    }
}

fn outcome(plan: &RollbackPlan, changed: bool, retire: Vec<super::Retirement>) -> Outcome {
    let outputs =
        [("release", plan.release.clone()), ("version", plan.version.clone()), ("changed", changed.to_string())];
    let summary =
        if changed { format!("{} serves 100 %", plan.version) } else { format!("already live: {}", plan.version) };
    Outcome { outputs: outputs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(), summary, retire }
}

impl DeployPlan {
    /// The same release delivered once more, over what is live now. It was watched when it was delivered first, so it is not
    /// watched again. Where it fails, what is live now stays. It has to arrive: what somebody else changed is overwritten.
    fn again(&self, live: Option<&LiveRelease>, survey: &Survey) -> Result<Self, DeliveryError> {
        let mut plan = self.clone();
        plan.live = live.cloned();
        plan.place = deploy::place(&plan, survey)?;
        plan.inputs.watch = crate::inputs::Period::default();
        plan.inputs.rollback_when = Vec::new();
        plan.inputs.on_failure = OnFailure::Rollback;
        plan.inputs.drift = Drift::Overwrite;
        plan.inputs.replicas = Replicas::Previous;
        plan.prune = Vec::new();
        plan.changes = Vec::new();
        if let Strategy::BlueGreen(knobs) = &mut plan.inputs.strategy {
            knobs.scale_old = knobs.scale_old.min(1);
        }
        Ok(plan)
    }
}
