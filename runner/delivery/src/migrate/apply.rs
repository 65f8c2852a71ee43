//! Carrying a migration out.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::plan::SCHEMA;
use super::{MigratePlan, Version, take_backup};
use crate::cluster::{Cluster, MANAGER, Patch};
use crate::inputs::migrate::Direction;
use crate::job::{self, Done, Ended, JobPlan, Scope, Work};
use crate::progress::{once, recorded};
use crate::{DeliveryError, Failure, Milestone, Progress, Site};

/// Asking for the version takes no longer.
const STATUS: Duration = Duration::from_mins(5);

/// The data of the milestone `begun`.
#[derive(Debug, Serialize, Deserialize)]
struct Begun {
    from: Option<Version>,
}

/// Takes the backup, runs the migration once, and reads the version back.
///
/// # Errors
/// What failed and what it left; its Jobs have ended then. Cancelled: the same.
pub async fn apply(
    plan: &MigratePlan,
    site: &Site,
    cluster: &Cluster,
    progress: &dyn Progress,
) -> Result<Done, DeliveryError> {
    let run = Run { plan, site, cluster, progress };
    let text = format!("migration of {} begun", plan.unit);
    let begun: Begun = once(progress, "begun", &text, async {
        Ok::<_, DeliveryError>(Begun { from: run.status("status-before").await? })
    })
    .await?;
    if let Some(from) = &begun.from {
        progress.say(format!("the schema is at {from}"));
        // Once it has begun to run, what was pending is not any more.
        if recorded(progress, "migrated").is_none() {
            let problems = plan.problems(from);
            if !problems.is_empty() {
                return Err(job::refused("the migration cannot run", problems).into());
            }
        }
        let pending = plan.pending(from);
        if pending.is_empty() && !plan.files.is_empty() && recorded(progress, "migrated").is_none() {
            let summary = format!("the schema is at {from}: nothing to do");
            progress.record(Milestone { name: "migrated".to_owned(), text: summary.clone(), data: json!({}) }).await?;
            return Ok(run.done(&begun, Some(from), "", summary));
        }
        for one in &pending {
            progress.say(format!("to do: {}", one.file_of(plan.inputs.direction)));
        }
    }
    run.back_up().await?;
    let ended = run.migrate().await?;
    run.verify().await?;
    let to = run.status("status-after").await?;
    run.reached(to.as_ref())?;
    run.remember(&ended, to.as_ref()).await?;
    let at = to.as_ref().map_or_else(String::new, |to| format!(": the schema is at {to}"));
    let text = format!("migrated by Job/{}{at}", ended.name);
    if recorded(progress, "migrated").is_none() {
        let data = json!({"job": ended.name, "from": begun.from, "to": to});
        progress.record(Milestone { name: "migrated".to_owned(), text: text.clone(), data }).await?;
    }
    Ok(run.done(&begun, to.as_ref(), &ended.name, text))
}

struct Run<'a> {
    plan: &'a MigratePlan,
    site: &'a Site,
    cluster: &'a Cluster,
    progress: &'a dyn Progress,
}

impl Run<'_> {
    async fn job(&self, plan: &JobPlan, purpose: &str, scope: Scope) -> Result<Ended, DeliveryError> {
        let inputs = &self.plan.inputs;
        let main = purpose == "migrate";
        let work = Work {
            plan,
            purpose,
            unit: &self.plan.unit,
            scope,
            retries: if main { inputs.retries } else { 0 },
            timeout: if main { *inputs.timeout } else { STATUS.min(*inputs.timeout) },
        };
        job::run(self.cluster, self.site, &work, self.progress).await
    }

    /// The Job with what every migration is told.
    fn told(&self, args: &[String]) -> JobPlan {
        let inputs = &self.plan.inputs;
        let direction = if inputs.direction == Direction::Up { "up" } else { "down" };
        let to = inputs.to.clone().or_else(|| self.plan.to.as_ref().map(ToString::to_string)).unwrap_or_default();
        let plan = self.plan.job.clone().with_args(args).filled("to", &to).filled("direction", direction);
        plan.with_env("TAGLINE_DIRECTION", direction)
            .with_env("TAGLINE_TO", &to)
            .with_env("TAGLINE_LOCK_TIMEOUT_MS", &inputs.lock_timeout.as_millis().to_string())
            .with_env("TAGLINE_STATEMENT_TIMEOUT_MS", &inputs.statement_timeout.as_millis().to_string())
            .with_env("TAGLINE_BATCH", &inputs.batch.to_string())
    }

    /// The version in force; None where nobody can be asked.
    async fn status(&self, purpose: &str) -> Result<Option<Version>, DeliveryError> {
        let args = &self.plan.inputs.status_args;
        if args.is_empty() {
            return Ok(None);
        }
        let ended = self.job(&self.told(args), purpose, Scope::Step).await?;
        let version = Version::said(ended.result.as_ref(), &ended.log);
        if version.is_none() {
            let why =
                format!("Job/{} printed no version: {}", ended.name, ended.log.lines().last().unwrap_or("nothing"));
            return Err(Failure::new("the schema's version is not known", why)
                .next("status-args must print `version N`, or JSON with `version`")
                .into());
        }
        Ok(version)
    }

    async fn back_up(&self) -> Result<(), DeliveryError> {
        let Some(backup) = &self.plan.backup else { return Ok(()) };
        if recorded(self.progress, "backed-up").is_some() {
            return Ok(());
        }
        let plan = self.plan;
        let taken =
            take_backup(backup, &plan.unit, self.site, self.cluster, *plan.inputs.timeout, self.progress).await?;
        let text = format!("backed up as {}: {} bytes, {}", taken.name, taken.size, taken.at);
        let data = serde_json::to_value(&taken).unwrap_or_default();
        self.progress.record(Milestone { name: "backed-up".to_owned(), text, data }).await?;
        Ok(())
    }

    async fn migrate(&self) -> Result<Ended, DeliveryError> {
        let inputs = &self.plan.inputs;
        let down = inputs.direction == Direction::Down && !inputs.down_args.is_empty();
        let plan = self.told(if down { &inputs.down_args } else { &[] });
        match self.job(&plan, "migrate", Scope::Release).await {
            Err(DeliveryError::Failed(failure)) => Err(self.left(*failure).await.into()),
            other => other,
        }
    }

    /// With what the failed migration left behind, where that can be asked.
    async fn left(&self, failure: Failure) -> Failure {
        let at = match self.status("status-failed").await {
            Ok(Some(version)) => format!("the schema is at {version}"),
            _ => "what it committed before it failed stays".to_owned(),
        };
        let next = "correct the migration and tag a new version, or remove what stopped it and run again";
        let next = if failure.next.is_empty() { next.to_owned() } else { failure.next.clone() };
        failure.effect(format!("{at}; nothing was deployed")).next(next)
    }

    async fn verify(&self) -> Result<(), DeliveryError> {
        let args = &self.plan.inputs.verify_args;
        if args.is_empty() {
            return Ok(());
        }
        match self.job(&self.told(args), "verify", Scope::Step).await {
            Ok(_) => Ok(()),
            Err(DeliveryError::Failed(failure)) => {
                let next = "take it back: tagline/migrate with direction: down, or correct it by a new migration";
                Err(failure
                    .effect("the schema was migrated and is not as it should be; nothing was deployed")
                    .next(next)
                    .into())
            }
            Err(stopped) => Err(stopped),
        }
    }

    /// The version that was to be reached is reached.
    fn reached(&self, to: Option<&Version>) -> Result<(), DeliveryError> {
        match (to, &self.plan.to) {
            (Some(now), Some(wanted)) if now != wanted && !self.plan.files.is_empty() => {
                let why = format!("its Job was complete, and the schema is at {now}, not at {wanted}");
                Err(Failure::new("the migration did not do what it says", why)
                    .effect("nothing was deployed")
                    .next("look whether the image holds the same migrations as the commit")
                    .into())
            }
            _ => Ok(()),
        }
    }

    /// So that the next plan knows what is pending.
    async fn remember(&self, ended: &Ended, to: Option<&Version>) -> Result<(), DeliveryError> {
        let Some(to) = to else { return Ok(()) };
        let id = self.cluster.id("batch/v1", "Job", &ended.name);
        let patch = Patch::Merge(json!({"metadata": {"annotations": {SCHEMA: to.to_string()}}}));
        match self.cluster.patch(&id, MANAGER, &patch).await {
            Err(error) if !error.is_not_found() => Err(error.into()),
            _ => Ok(()),
        }
    }

    fn done(&self, begun: &Begun, to: Option<&Version>, job: &str, summary: String) -> Done {
        let said = |version: Option<&Version>| version.map(ToString::to_string).unwrap_or_default();
        let applied = match (&begun.from, to) {
            (Some(from), Some(to)) if to != from => self.plan.pending(from).len().to_string(),
            (Some(_), Some(_)) => "0".to_owned(),
            _ => String::new(),
        };
        let backup = recorded(self.progress, "backed-up").and_then(|one| Some(one.data["name"].as_str()?.to_owned()));
        Done { summary, ..Done::default() }
            .output("from", said(begun.from.as_ref()))
            .output("to", said(to))
            .output("applied", applied)
            .output("job", job)
            .output("backup", backup.unwrap_or_default())
    }
}
