//! What an approval of an environment binds: the gate plan and its digest.
//!
//! The gate digest is made when the gate opens, once for each environment and attempt. It covers the release digest, the
//! outputs of needs that the stage uses, the artifacts made so far by digest, and every job and step of the stage. Not
//! in it: votes, clocks, estimates. Anything in it that changes makes another digest, and approvals of the old one void.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tagline_syntax::workflow::StepAction;

use crate::digest::{digest_bytes, digest_of};
use crate::facts::Facts;
use crate::model::{Leg, Plan};

/// Everything an approval says yes to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GatePlan {
    /// The environment.
    pub environment: String,
    /// The release's digest.
    pub release_digest: String,
    /// The rules' version.
    pub policy_version: String,
    /// Digest of the workflow file.
    pub workflow_digest: String,
    /// The stage: jobs that wait behind this gate, in the plan's order.
    pub jobs: Vec<GateJob>,
    /// Outputs of jobs before the stage, by job.
    pub outputs: BTreeMap<String, IndexMap<String, String>>,
    /// Artifacts of the run when the gate opened: digest by name.
    pub artifacts: BTreeMap<String, String>,
    /// What the stage's delivery steps will do, as far as it can be worked out before them. Left out of the text where
    /// there are none, so that gates opened before there were any keep their digest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deliveries: Vec<PlannedDelivery>,
}

/// The plan of one delivery step: the step carries out exactly this, or nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedDelivery {
    /// The job's id.
    pub job: String,
    /// The leg's number.
    pub leg: u32,
    /// The step, from 0.
    pub step: u32,
    /// The action, as written: `tagline/deploy@v1`.
    pub uses: String,
    /// `sha256:` of the plan in the content store.
    pub digest: String,
    /// The plan in lines for people: objects, images, how traffic moves, migrations, the way back.
    pub summary: Vec<String>,
}

/// One job leg of a stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GateJob {
    /// The job's id.
    pub job: String,
    /// The leg's number.
    pub leg: u32,
    /// Display name.
    pub name: String,
    /// `matrix` of the leg.
    pub matrix: Map<String, Value>,
    /// The image of its container, when it has one.
    pub image: Option<String>,
    /// What its steps do.
    pub steps: Vec<GateStep>,
}

/// One step as an approver sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateStep {
    /// A script: opaque, known by its digest.
    Run {
        /// Name or first line.
        name: String,
        /// `sha256:` of the script as the file has it.
        script: String,
    },
    /// An action with its inputs as the file has them.
    Uses {
        /// The action.
        uses: String,
        /// Its inputs.
        with: IndexMap<String, String>,
    },
}

impl GatePlan {
    /// The gate digest.
    pub fn digest(&self) -> String {
        digest_of(self)
    }
}

/// The plan of a stage: the given legs of one environment, the run's facts and the artifacts stored so far.
pub fn gate_plan(
    plan: &Plan,
    environment: &str,
    stage: &[(&str, &Leg)],
    facts: &Facts,
    artifacts: &BTreeMap<String, String>,
) -> GatePlan {
    let in_stage = |id: &str| stage.iter().any(|(job, _)| *job == id);
    let mut outputs = BTreeMap::new();
    for (id, _) in stage {
        let Some(job) = plan.jobs.get(*id) else {
            continue;
        };
        for need in job.job.needs.iter().filter(|need| !in_stage(need)) {
            if let Some(finished) = facts.finished.get(need).filter(|f| !f.outputs.is_empty()) {
                outputs.insert(need.clone(), finished.outputs.clone());
            }
        }
    }
    GatePlan {
        environment: environment.to_owned(),
        release_digest: plan.release_digest.clone(),
        policy_version: plan.policy.version.clone(),
        workflow_digest: plan.workflow.digest.clone(),
        jobs: stage.iter().map(|(id, leg)| gate_job(plan, id, leg)).collect(),
        outputs,
        artifacts: artifacts.clone(),
        deliveries: Vec::new(),
    }
}

fn gate_job(plan: &Plan, id: &str, leg: &Leg) -> GateJob {
    let steps = plan.jobs.get(id).map(|job| job.job.steps.as_slice()).unwrap_or_default();
    GateJob {
        job: id.to_owned(),
        leg: leg.index,
        name: leg.name.clone(),
        matrix: leg.matrix.clone(),
        image: leg.image.clone(),
        steps: steps
            .iter()
            .map(|step| match &step.action {
                StepAction::Run { script, .. } => GateStep::Run {
                    name: step.name.as_ref().map_or_else(|| first_line(&script.text), |name| name.text.clone()),
                    script: digest_bytes(script.text.as_bytes()),
                },
                StepAction::Uses { uses, with } => GateStep::Uses {
                    uses: uses.text.clone(),
                    with: with.iter().map(|(k, v)| (k.clone(), v.text.clone())).collect(),
                },
            })
            .collect(),
    }
}

fn first_line(script: &str) -> String {
    script.lines().next().unwrap_or_default().trim().to_owned()
}
