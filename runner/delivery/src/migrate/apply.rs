//! Carrying a migration out.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::plan::SCHEMA;
use super::version::Said;
use super::{MigratePlan, Version, earlier, take_backup};
use crate::cluster::{Cluster, MANAGER, Patch};
use crate::inputs::migrate::Direction;
use crate::job::{self, Done, Ended, JobPlan, Scope, Work};
use crate::progress::{once, recorded};
use crate::{DeliveryError, Failure, Milestone, Progress, Site, UNCHANGED};

/// Asking for the version takes no longer.
const STATUS: Duration = Duration::from_mins(5);
/// The first question for the version: nothing was changed yet.
const BEFORE: &str = "status-before";
/// What is to be done about a schema that was left half-way.
const MEND: &str = "look at what it left, mend it by hand, take the mark away with the tool (golang-migrate: force), then: \
                    tagline rerun RUN --failed";

/// The data of the milestone `begun`.
#[derive(Debug, Serialize, Deserialize)]
struct Begun {
    from: Option<Version>,
    /// Complete migrations that did not count any more by then.
    #[serde(default)]
    void: Vec<String>,
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
    let begun: Begun = once(progress, "begun", &text, run.begin()).await?;
    if let Some(from) = &begun.from {
        progress.say(format!("the schema is at {from}"));
        let mut problems = plan.problems(from);
        problems.extend(plan.is_below(from));
        if !problems.is_empty() {
            return Err(job::refused("the migration cannot run", problems).into());
        }
        let pending = plan.pending(from);
        if pending.is_empty() && !plan.files.is_empty() {
            if let Some(to) = plan.to.as_ref().filter(|to| *to != from) {
                progress.warn(format!("the schema is at {from}, beyond {to}: it stays there"));
            }
            run.verify().await?;
            let summary = format!("the schema is at {from}: nothing to do");
            run.migrated(&summary, json!({})).await?;
            return Ok(run.done(&begun, Some(from), "", summary));
        }
        for one in &pending {
            progress.say(format!("to do: {}", one.file_of(plan.inputs.direction)));
        }
    }
    run.back_up().await?;
    let ended = run.migrate(&begun).await?;
    let to = run.status("status-after").await?;
    run.remember(&ended, to.as_ref()).await?;
    run.reached(to.as_ref())?;
    run.verify().await?;
    let at = to.as_ref().map_or_else(String::new, |to| format!(": the schema is at {to}"));
    let text = format!("migrated by Job/{}{at}", ended.name);
    run.migrated(&text, json!({"job": ended.name, "from": begun.from, "to": to})).await?;
    Ok(run.done(&begun, to.as_ref(), &ended.name, text))
}

struct Run<'a> {
    plan: &'a MigratePlan,
    site: &'a Site,
    cluster: &'a Cluster,
    progress: &'a dyn Progress,
}

impl Run<'_> {
    /// Which migrations were made before is looked up first: what ends after that counts.
    async fn begin(&self) -> Result<Begun, DeliveryError> {
        let jobs = earlier::of_unit(self.cluster, &self.plan.unit).await?;
        let from = self.status(BEFORE).await?;
        let void = earlier::void(&jobs, self.plan, &self.site.version, from.as_ref());
        Ok(Begun { from, void })
    }

    async fn migrated(&self, text: &str, data: Value) -> Result<(), DeliveryError> {
        if recorded(self.progress, "migrated").is_none() {
            let milestone = Milestone { name: "migrated".to_owned(), text: text.to_owned(), data };
            self.progress.record(milestone).await?;
        }
        Ok(())
    }

    async fn job(&self, plan: &JobPlan, purpose: &str, scope: Scope<'_>) -> Result<Ended, DeliveryError> {
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

    /// The version in force; None where nobody can be asked. A schema that was left half-way has none.
    async fn status(&self, purpose: &str) -> Result<Option<Version>, DeliveryError> {
        match self.said(purpose).await? {
            Some(Said { dirty: Some(at), .. }) => {
                let why = "a migration ended half-way: nobody knows which of its changes are there";
                let effect = if purpose == BEFORE { UNCHANGED } else { "nothing was deployed" };
                Err(Failure::new(format!("the schema is dirty at {at}"), why).effect(effect).next(MEND).into())
            }
            said => Ok(said.map(|said| said.version)),
        }
    }

    async fn said(&self, purpose: &str) -> Result<Option<Said>, DeliveryError> {
        let args = &self.plan.inputs.status_args;
        if args.is_empty() {
            return Ok(None);
        }
        let ended = self.job(&self.told(args), purpose, Scope::Step).await?;
        let said = Said::read(ended.result.as_ref(), &ended.log);
        if said.is_none() {
            let why =
                format!("Job/{} printed no version: {}", ended.name, ended.log.lines().last().unwrap_or("nothing"));
            return Err(Failure::new("the schema's version is not known", why)
                .next("status-args must print `version N`, or JSON with `version`")
                .into());
        }
        Ok(said)
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

    async fn migrate(&self, begun: &Begun) -> Result<Ended, DeliveryError> {
        let inputs = &self.plan.inputs;
        let down = inputs.direction == Direction::Down && !inputs.down_args.is_empty();
        let plan = self.told(if down { &inputs.down_args } else { &[] });
        match self.job(&plan, "migrate", Scope::Release { void: &begun.void }).await {
            Err(DeliveryError::Failed(failure)) => Err(self.left(*failure).await.into()),
            other => other,
        }
    }

    /// With what the failed migration left behind, where that can be asked.
    async fn left(&self, failure: Failure) -> Failure {
        let known = Some(failure.next.clone()).filter(|next| !next.is_empty());
        let correct = "correct the migration and tag a new version, or remove what stopped it and run again";
        let next = known.unwrap_or_else(|| correct.to_owned());
        let (at, next) = match self.said("status-failed").await {
            Ok(Some(Said { dirty: Some(at), .. })) => (format!("the schema is dirty at {at}"), MEND.to_owned()),
            Ok(Some(said)) => (format!("the schema is at {}", said.version), next),
            _ => ("what it committed before it failed stays".to_owned(), next),
        };
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
                    .effect("the schema is migrated and not as it should be; nothing was deployed")
                    .next(next)
                    .into())
            }
            Err(stopped) => Err(stopped),
        }
    }

    /// The version that was to be reached is reached: exactly that, where it is known which migrations were pending.
    fn reached(&self, to: Option<&Version>) -> Result<(), DeliveryError> {
        let missed = |now: &Version| match self.plan.is_reached(now) {
            Some(true) => !self.plan.files.is_empty() && Some(now) != self.plan.to.as_ref(),
            reached => reached.is_some(),
        };
        match (to, &self.plan.to) {
            (Some(now), Some(wanted)) if missed(now) => {
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
