//! `tagline/rollback`: the whole unit back to a release that was live before.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{DeployPlan, Outcome, Past, deploy};
use crate::cluster::Cluster;
use crate::inputs::RollbackInputs;
use crate::progress::recorded;
use crate::strategy::{self, Back, LiveRelease, Snapshot, Steady, Survey};
use crate::{DeliveryError, Milestone, PlanError, Progress, Site};

mod history;
mod rotated;
mod way;
mod whole;

use history::History;
use way::Choice;

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
        /// The plan of the release that is returned to, where it is of a chart and remembered: Helm's record says it then.
        #[serde(default)]
        of: Option<Box<DeployPlan>>,
    },
    /// The release is delivered again, from what its own plan holds.
    Again(Box<DeployPlan>),
}

impl RollbackPlan {
    /// How long it takes at most to come to an orderly end, while the cluster answers.
    pub(super) fn way_back(&self) -> Duration {
        match &self.way {
            Way::Already => Duration::ZERO,
            Way::Undo { leaving, .. } => strategy::longest(leaving, *self.inputs.timeout, *self.inputs.drain),
            Way::Again(plan) => plan.way_back(),
        }
    }

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
    let history = History::of(past, &unit);
    let target = history.target(inputs.to.as_deref())?;
    let survey = Survey::take(cluster).await?;
    let live = history.live(&survey);
    let choice = Choice { history: &history, target: &target, live: live.as_ref(), survey: &survey, inputs, cluster };
    let (way, told) = choice.choose().await?;
    let unsaid = inputs.reason.is_none().then(|| "no reason is given".to_owned());
    let warnings = unsaid.into_iter().chain(told).collect();
    // Delivered again with Secrets that were rotated since it is another release of the same version.
    let release = match &way {
        Way::Again(plan) => plan.release.0.clone(),
        Way::Already | Way::Undo { .. } => target.release,
    };
    Ok(RollbackPlan { unit, version: target.version, release, live, way, inputs: inputs.clone(), warnings })
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
        Way::Undo { leaving, to, of } => {
            let steady = Steady(progress);
            let stands = if let Some(arrived) = recorded(progress, "rolled-back") {
                arrived.text
            } else {
                going(progress, format!("back to {}", plan.version)).await?;
                let stands = strategy::go_back(&back(plan, leaving, to, (site, cluster), &steady)).await?;
                let (name, data) = ("rolled-back".to_owned(), serde_json::Value::Null);
                progress.record(Milestone { name, text: stands.clone(), data }).await?;
                stands
            };
            // What was returned to serves, whatever becomes of the record.
            if let Err(error) = deploy::returned(leaving, of.as_deref(), &plan.release, cluster, progress).await {
                progress.warn(format!("Helm's record is not written: {error} ({})", error.next()));
            }
            Ok(Outcome { summary: stands, ..outcome(plan, true, Vec::new()) })
        }
        Way::Again(deploy) => {
            let done = deploy::apply(deploy, site, cluster, progress).await?;
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
    (site, cluster): (&'a Site, &Cluster),
    progress: &'a dyn Progress,
) -> Back<'a> {
    let inputs = &plan.inputs;
    let evidence = if inputs.evidence.is_empty() { &leaving.inputs.evidence } else { &inputs.evidence };
    Back {
        leaving,
        to,
        environment: &site.environment,
        cluster: cluster.with_patience(strategy::PATIENCE),
        progress,
        replicas: inputs.replicas,
        drain: *inputs.drain,
        timeout: *inputs.timeout,
        evidence,
        restart: inputs.restart,
        by_hand: true,
    }
}

fn outcome(plan: &RollbackPlan, changed: bool, retire: Vec<super::Retirement>) -> Outcome {
    let outputs =
        [("release", plan.release.clone()), ("version", plan.version.clone()), ("changed", changed.to_string())];
    let summary =
        if changed { format!("{} serves 100 %", plan.version) } else { format!("already live: {}", plan.version) };
    Outcome { outputs: outputs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(), summary, retire }
}
