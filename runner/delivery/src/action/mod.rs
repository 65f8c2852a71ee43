//! One delivery step as data, and its two halves: [`plan`] reads and decides, [`apply`] carries out exactly that.
//!
//! Invariants:
//! - A plan holds everything that its carrying out decides on; an approval binds its [`digest`](ActionPlan::digest). Planned
//!   twice over the same commit, inputs and live release it is the same, whatever the replicas of the moment.
//! - `apply` may be begun again from its start at any time, by another engine: see [`Progress`].
//! - A plan holds no Secret's value that the repository does not hold.

mod deploy;
mod early;
mod limit;
mod past;
mod retirement;
mod rights;
mod rollback;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::check::analyse::action::AnalysePlan;
use crate::check::analyse::{self, AnalyseReport};
use crate::check::smoke::action::SmokePlan;
use crate::check::smoke::{self, SmokeReport};
use crate::cluster::Cluster;
use crate::inputs::Action;
use crate::job::{self, Done};
use crate::migrate::{self, MigratePlan};
use crate::operate::{self, OperatePlan};
use crate::preflight;
use crate::progress::Later;
use crate::rotate::{self, RotatePlan};
use crate::{DeliveryError, Failure, PlanError, Progress, Site, Target};

pub use deploy::{DeployPlan, Place, Shape};
pub use early::{Foreseen, foresee, shared_values};
pub use past::{Past, version_before};
pub use retirement::{Fate, Retired, Retirement, retire};
pub use rollback::{RollbackPlan, Way};

/// The version of [`ActionPlan`]'s form; a plan of another one is not carried out.
pub const FORMAT: u32 = 1;

/// What a delivery step is going to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActionPlan {
    /// [`FORMAT`] of the build that made it.
    pub format: u32,
    /// `tagline/deploy`
    pub uses: String,
    /// The environment's name.
    pub environment: String,
    /// The version that it makes live or works for.
    pub version: String,
    /// Where.
    pub target: Target,
    /// What.
    pub kind: Kind,
}

/// What is planned, by action.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// `tagline/deploy`
    Deploy(Box<DeployPlan>),
    /// `tagline/migrate`
    Migrate(Box<MigratePlan>),
    /// `tagline/smoke-test`
    SmokeTest(Box<SmokePlan>),
    /// `tagline/analyse`
    Analyse(Box<AnalysePlan>),
    /// `tagline/operate`
    Operate(Box<OperatePlan>),
    /// `tagline/rotate-secret`
    RotateSecret(Box<RotatePlan>),
    /// `tagline/rollback`
    Rollback(Box<RollbackPlan>),
}

/// How an action ended well.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The step's outputs: those that `tagline-actions` lists for it.
    pub outputs: IndexMap<String, String>,
    /// One line: `1.2.3 serves 100 %`.
    pub summary: String,
    /// What is to be removed later.
    pub retire: Vec<Retirement>,
}

impl Outcome {
    /// Of an action that works by Jobs and notes: what it leaves is done at its time.
    fn of(done: Done, site: &Site) -> Self {
        let retire = done.later.into_iter().map(|later| Retirement {
            environment: site.environment.clone(),
            target: site.target.clone(),
            unit: site.repository.clone(),
            release: String::new(),
            version: site.version.clone(),
            services: Vec::new(),
            objects: vec![(later.note, later.uid)],
            fate: later.after_run.map_or(Fate::Recorded, |run| Fate::RunEnded { run }),
            due: later.due,
        });
        Self { outputs: done.outputs, summary: done.summary, retire: retire.collect() }
    }
}

impl ActionPlan {
    /// `sha256:…` over everything in it: what an approval binds.
    pub fn digest(&self) -> String {
        let bytes = serde_json::to_vec(self).expect("texts, numbers and maps with text keys are always JSON");
        format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
    }

    /// What it is going to do, in lines for people: what changes, in which order, what is worth a warning.
    pub fn summary(&self) -> Vec<String> {
        match &self.kind {
            Kind::Deploy(plan) => plan.summary(),
            Kind::Rollback(plan) => plan.summary(),
            Kind::Migrate(plan) => plan.summary(),
            Kind::Operate(plan) => plan.summary(),
            Kind::RotateSecret(plan) => plan.summary(),
            Kind::SmokeTest(plan) => plan.summary(),
            Kind::Analyse(plan) => plan.summary(),
        }
    }

    /// What is worth a warning before an approval.
    pub fn warnings(&self) -> &[String] {
        match &self.kind {
            Kind::Deploy(plan) => &plan.warnings,
            Kind::Rollback(plan) => &plan.warnings,
            Kind::Migrate(plan) => &plan.warnings,
            Kind::Operate(plan) => &plan.warnings,
            _ => &[],
        }
    }
}

/// Renders, reads the cluster and asks it for a dry run; changes nothing. `past`: what was delivered to this environment
/// before, the newest first; a rollback chooses from it.
///
/// # Errors
/// Everything that stands against it, found before the first change: [`Failure::evidence`] has one line for each.
pub async fn plan(site: &Site, action: &Action, past: &[Past], cluster: &Cluster) -> Result<ActionPlan, DeliveryError> {
    plan_when(site, action, past, cluster, When::Due).await
}

/// When a plan is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    /// Before the run begins: to be looked at, not to be carried out. Images may be stand-ins, and what earlier jobs bring
    /// about is not there.
    Early,
    /// To be carried out.
    Due,
}

async fn plan_when(
    site: &Site,
    action: &Action,
    past: &[Past],
    cluster: &Cluster,
    when: When,
) -> Result<ActionPlan, DeliveryError> {
    let asked = action.require(&site.environment, site.protected);
    if !asked.is_empty() {
        let lines = asked.iter().map(ToString::to_string);
        return Err(many("the step lacks what its environment asks for", lines).of_input(&asked[0].key).into());
    }
    let kind = match kind(site, action, past, cluster, when).await {
        Ok(kind) => kind,
        Err(error) => return Err(preflight::unplanned(cluster, error).await),
    };
    rights::require(&kind, cluster).await?;
    let version = match &kind {
        Kind::Rollback(plan) => plan.version.clone(),
        _ => site.version.clone(),
    };
    let environment = site.environment.clone();
    let uses = action.name().to_owned();
    Ok(ActionPlan { format: FORMAT, uses, environment, version, target: site.target.clone(), kind })
}

async fn kind(site: &Site, action: &Action, past: &[Past], cluster: &Cluster, when: When) -> Result<Kind, PlanError> {
    Ok(match action {
        Action::Deploy(inputs) => Kind::Deploy(Box::new(deploy::plan(site, inputs, past, cluster, when).await?)),
        Action::Rollback(inputs) => Kind::Rollback(Box::new(rollback::plan(site, inputs, past, cluster).await?)),
        Action::Migrate(inputs) => Kind::Migrate(Box::new(migrate::plan(site, inputs, cluster).await?)),
        Action::SmokeTest(inputs) => Kind::SmokeTest(Box::new(smoke::action::plan(site, inputs, cluster).await?)),
        Action::Analyse(inputs) => {
            // Queries are tried against the samples of this moment, whatever time a test's clock shows.
            let now = jiff::Timestamp::now();
            Kind::Analyse(Box::new(analyse::action::plan(site, inputs, cluster, now).await?))
        }
        Action::Operate(inputs) => Kind::Operate(Box::new(Box::pin(operate::plan(site, inputs, cluster)).await?)),
        Action::RotateSecret(inputs) => {
            let window = past.iter().find_map(Past::window);
            Kind::RotateSecret(Box::new(Box::pin(rotate::plan(site, inputs, window, cluster)).await?))
        }
    })
}

/// Carries a plan out. Begun again after a crash it goes on from where it was. What failed is undone as the plan says before
/// the error is given back.
///
/// # Errors
/// With what it means for users in [`Failure::effect`]; [`crate::Stop`] where it was to end.
pub async fn apply(
    plan: &ActionPlan,
    site: &Site,
    cluster: &Cluster,
    progress: &dyn Progress,
) -> Result<Outcome, DeliveryError> {
    if plan.format != FORMAT {
        let why = format!("the plan has form {}, this build carries out {FORMAT}", plan.format);
        return Err(Failure::new("the plan is of another build", why).next("plan it again").into());
    }
    if plan.target != site.target {
        let why = format!("planned for {}, asked for {}", plan.target, site.target);
        return Err(Failure::new("the plan is for another place", why).next("plan it again").into());
    }
    let done: Later<'_, Result<Outcome, DeliveryError>> = Box::pin(carry_out(plan, site, cluster, progress));
    tokio::select! {
        biased;
        done = done => done,
        failure = limit::overdue(plan, site, cluster, progress) => Err(failure.into()),
    }
}

async fn carry_out(
    plan: &ActionPlan,
    site: &Site,
    cluster: &Cluster,
    progress: &dyn Progress,
) -> Result<Outcome, DeliveryError> {
    match &plan.kind {
        Kind::Deploy(plan) => deploy::apply(plan, site, cluster, progress).await,
        Kind::Rollback(plan) => rollback::apply(plan, site, cluster, progress).await,
        Kind::Migrate(plan) => Ok(Outcome::of(migrate::apply(plan, site, cluster, progress).await?, site)),
        // Boxed, so that the futures of all actions are not as large as those of the longest.
        Kind::Operate(plan) => Ok(Outcome::of(Box::pin(operate::apply(plan, site, cluster, progress)).await?, site)),
        Kind::RotateSecret(plan) => {
            Ok(Outcome::of(Box::pin(rotate::apply(plan, site, cluster, progress)).await?, site))
        }
        Kind::SmokeTest(plan) => Ok(tested(&smoke::action::apply(plan, site, cluster, progress).await?)),
        Kind::Analyse(plan) => Ok(analysed(analyse::action::apply(plan, site, cluster, progress).await?.as_ref())),
    }
}

/// The outputs of a smoke test in which everything was good.
fn tested(report: &SmokeReport) -> Outcome {
    let passed = report.rows.iter().filter(|row| row.passed).count();
    let outputs = [
        ("passed", passed.to_string()),
        ("failed", (report.rows.len() - passed).to_string()),
        ("report", json!(report).to_string()),
    ];
    Outcome { outputs: named(outputs), summary: report.summary(), retire: Vec::new() }
}

/// The outputs of an analysis that passed, or of one that recorded a baseline.
fn analysed(report: Option<&AnalyseReport>) -> Outcome {
    let (verdict, summary) = match report {
        Some(report) => ("passed", format!("{} holds every limit", report.version)),
        None => ("recorded", "the baseline is stored".to_owned()),
    };
    let outputs = [("verdict", verdict.to_owned()), ("report", json!(report).to_string())];
    Outcome { outputs: named(outputs), summary, retire: Vec::new() }
}

fn named<const N: usize>(outputs: [(&str, String); N]) -> IndexMap<String, String> {
    outputs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Several findings as one failure: the first is the cause, all are evidence.
pub(crate) fn many(what: &str, lines: impl Iterator<Item = String>) -> Failure {
    job::refused(what, lines.collect())
}
