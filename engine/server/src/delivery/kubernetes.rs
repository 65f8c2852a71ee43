//! The deliverer that speaks to Kubernetes, through the one crate that does.

use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use serde_json::Value;
use tagline_delivery::action::{self, ActionPlan, Fate, Past, Retired, Retirement};
use tagline_delivery::cluster::Cluster;
use tagline_delivery::inputs::Action;
use tagline_delivery::{DeliveryError, Failure, Milestone, Progress, Site};

use super::deliverer::{Delivered, Deliverer, Due, Earlier, Later, Prepared};

/// How long planning waits for an API server that is away. Nothing is under way then, and somebody waits for the answer.
const PATIENCE: Duration = Duration::from_mins(1);

/// Delivers to the cluster that an environment names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Kubernetes;

impl Deliverer for Kubernetes {
    fn plan<'a>(
        &'a self,
        site: &'a Site,
        uses: &'a str,
        with: &'a IndexMap<String, String>,
        past: &'a [Earlier],
    ) -> Later<'a, Result<Prepared, DeliveryError>> {
        Box::pin(async move {
            let action = Action::read(uses, with).map_err(|problems| {
                let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
                let why = lines.join("; ");
                Failure { evidence: lines, ..Failure::new("its inputs cannot be used", why) }
            })?;
            let past = past.iter().map(earlier).collect::<Result<Vec<Past>, Failure>>()?;
            let cluster = Cluster::connect(&site.target, &site.kubeconfig).await?.with_patience(PATIENCE);
            let plan = action::plan(site, &action, &past, &cluster).await?;
            let warnings = plan.warnings().iter().map(|warning| format!("warning: {warning}"));
            let summary = plan.summary().into_iter().chain(warnings).collect();
            let plan = serde_json::to_value(&plan).map_err(|error| unreadable(&error))?;
            Ok(Prepared { plan, summary })
        })
    }

    fn apply<'a>(
        &'a self,
        plan: &'a Value,
        site: &'a Site,
        progress: Arc<dyn Progress>,
    ) -> Later<'a, Result<Delivered, DeliveryError>> {
        Box::pin(async move {
            let plan = read(plan)?;
            let cluster = Cluster::connect(&site.target, &site.kubeconfig).await?.telling(progress.clone());
            let outcome = action::apply(&plan, site, &cluster, progress.as_ref()).await?;
            let due = |retirement: &Retirement| {
                let what = serde_json::to_value(retirement).map_err(|error| unreadable(&error))?;
                let after_run = matches!(retirement.fate, Fate::RunEnded { .. });
                Ok::<Due, Failure>(Due { at: retirement.due, after_run, what })
            };
            let retire = outcome.retire.iter().map(due).collect::<Result<Vec<Due>, Failure>>()?;
            Ok(Delivered { outputs: outcome.outputs, text: outcome.summary, retire })
        })
    }

    fn retire<'a>(
        &'a self,
        what: &'a Value,
        others: &'a [Value],
        site: &'a Site,
        progress: Arc<dyn Progress>,
    ) -> Later<'a, Result<Milestone, DeliveryError>> {
        Box::pin(async move {
            let mut retirement: Retirement =
                serde_json::from_value(what.clone()).map_err(|error| unreadable(&error))?;
            let others: Vec<Retirement> =
                others.iter().filter_map(|other| serde_json::from_value(other.clone()).ok()).collect();
            let kept = retirement.put_off(&others);
            let cluster = Cluster::connect(&retirement.target, &site.kubeconfig).await?;
            let mut retired = action::retire(&retirement, &cluster, progress.as_ref()).await?;
            retired.kept.extend(kept);
            Ok(came_of(&retirement, &retired))
        })
    }
}

/// What came of a retirement, as it is recorded: nothing of it is tried again.
fn came_of(retirement: &Retirement, retired: &Retired) -> Milestone {
    let version = &retirement.version;
    let removed = retired.removed.join(", ");
    let kept = retired.kept.join("; ");
    if matches!(retirement.fate, Fate::Recorded | Fate::RunEnded { .. }) {
        let text = if removed.is_empty() { "nothing was left to undo".to_owned() } else { format!("ended: {removed}") };
        return Milestone { name: "undone".to_owned(), text, data: Value::Null };
    }
    let (name, text) = match (removed.is_empty(), kept.is_empty()) {
        (true, true) => ("deleted", format!("nothing was left of {version}")),
        (false, true) => ("deleted", format!("{version} is removed: {removed}")),
        (false, false) => ("deleted", format!("{version} is removed: {removed}; stays: {kept}")),
        (true, false) => ("left", format!("{version} stays: {kept}")),
    };
    Milestone { name: name.to_owned(), text, data: Value::Null }
}

fn read(plan: &Value) -> Result<ActionPlan, Failure> {
    serde_json::from_value(plan.clone()).map_err(|error| unreadable(&error))
}

pub(super) fn earlier(earlier: &Earlier) -> Result<Past, Failure> {
    Ok(Past { plan: read(&earlier.plan)?, begun: earlier.begun.clone(), open: earlier.open })
}

fn unreadable(error: &serde_json::Error) -> Failure {
    Failure::new("a plan of this store is of another build", error.to_string()).next("run the release again")
}
