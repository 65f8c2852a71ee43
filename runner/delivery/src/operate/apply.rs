//! Carrying an operation out.

use std::time::Duration;

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::field::Change;
use super::note::Note;
use super::plan::{Act, OperatePlan};
use super::put::{put, same, settle};
use super::sql::{self, Row};
use super::undo::undo;
use super::{exec, restore};
use crate::cluster::Cluster;
use crate::inputs::operate::{FlagKnobs, FlagStore, Rows, Verb};
use crate::job::{self, Done, Ended, JobPlan, Scope, Work};
use crate::migrate::take_backup;
use crate::progress::{once, recorded};
use crate::{DeliveryError, Failure, Milestone, Progress, Site, Stop, UNCHANGED};

/// Does it, or undoes it.
///
/// # Errors
/// It did not come up and is put back; a statement failed and changed nothing. Cancelled: it is put back.
pub async fn apply(
    plan: &OperatePlan,
    site: &Site,
    cluster: &Cluster,
    progress: &dyn Progress,
) -> Result<Done, DeliveryError> {
    let run = Run { plan, site, cluster, progress };
    if plan.inputs.undo {
        return run.undo_all().await;
    }
    match &plan.inputs.verb {
        Verb::Backup { .. } => run.backup().await,
        Verb::Sql { sql, expect_rows, .. } => run.sql(sql, *expect_rows).await,
        Verb::Flag(knobs @ FlagKnobs { store: FlagStore::Sql { table, .. }, .. }) => run.flag(knobs, table).await,
        Verb::Restore(knobs) => restore::apply(knobs, plan, site, cluster, progress).await,
        Verb::Exec { container, command, pods, .. } => {
            exec::apply(plan, container.as_deref(), command, *pods, cluster, progress).await
        }
        _ => run.acts().await,
    }
}

struct Run<'a> {
    plan: &'a OperatePlan,
    site: &'a Site,
    cluster: &'a Cluster,
    progress: &'a dyn Progress,
}

impl Run<'_> {
    fn note(&self, what: &str) -> Note {
        let due = self.plan.inputs.lasting.map(|lasting| {
            let lasting = SignedDuration::try_from(*lasting).unwrap_or(SignedDuration::MAX);
            self.progress.now().saturating_add(lasting).unwrap_or(jiff::Timestamp::MAX)
        });
        let ends_with = self.plan.inputs.finally.then_some(self.site.run);
        Note { ends_with, ..Note::new(what, self.site, self.plan.inputs.reason.as_deref(), due) }
    }

    /// What is written down about an act of which this step found so much.
    fn note_of(&self, act: &Act, found: &[Change]) -> Note {
        let own = |change: &&Change| act.changes.iter().any(|each| each.id == change.id);
        let mut note = self.note(&act.what);
        note.before = found.iter().filter(own).cloned().collect();
        note.set.clone_from(&act.changes);
        note.reread = act.changes.first().filter(|_| act.rereads).map(|change| change.id.clone());
        note
    }

    async fn acts(&self) -> Result<Done, DeliveryError> {
        let plan = self.plan;
        let text = format!("{} begun", plan.inputs.verb.name());
        // What this very step found: a way back goes there, not to what an older operation found.
        let found: Vec<Change> = once(self.progress, "begun", &text, self.found()).await?;
        let remembered = || plan.acts.iter().filter(|act| act.remembered);
        let notes: Vec<Note> = remembered().map(|act| self.note_of(act, &found)).collect();
        if let Err(error) = self.carry_out(&notes).await {
            return Err(self.back(&found, &notes, error).await);
        }
        let mut later = Vec::new();
        for note in &notes {
            later.extend(note.confirm(self.cluster).await?);
        }
        let after: Vec<Change> = plan.acts.iter().flat_map(|act| act.changes.clone()).collect();
        let changed = found.iter().zip(&after).any(|(found, after)| found.fields != after.fields);
        let whats: Vec<&str> = plan.acts.iter().map(|act| act.what.as_str()).collect();
        let text = format!("{}{}", whats.join(", "), if changed { "" } else { ": already so" });
        if recorded(self.progress, "operated").is_none() {
            let data = json!({"before": found, "after": after});
            self.progress.record(Milestone { name: "operated".to_owned(), text: text.clone(), data }).await?;
        }
        let done = Done { summary: text, later, ..Done::default() };
        Ok(done.output("changed", changed.to_string()).output("before", said(&found)).output("after", said(&after)))
    }

    async fn found(&self) -> Result<Vec<Change>, DeliveryError> {
        let mut found = Vec::new();
        for change in self.plan.acts.iter().flat_map(|act| &act.changes) {
            found.push(change.now(&same(self.cluster, change).await?));
        }
        Ok(found)
    }

    async fn carry_out(&self, notes: &[Note]) -> Result<(), DeliveryError> {
        for note in notes {
            note.keep(self.cluster, self.plan.inputs.verb.name()).await?;
        }
        let mut objects = Vec::new();
        for change in self.plan.acts.iter().flat_map(|act: &Act| &act.changes) {
            objects.push(put(self.cluster, change).await?);
        }
        settle(self.cluster, &objects, *self.plan.inputs.timeout, self.progress).await
    }

    /// Puts back what this step found, and forgets it where it is put back.
    async fn back(&self, found: &[Change], notes: &[Note], error: DeliveryError) -> DeliveryError {
        if matches!(error, DeliveryError::Stopped(Stop::EngineEnds)) {
            return error;
        }
        let back = async {
            for change in found.iter().rev() {
                put(self.cluster, change).await?;
            }
            Ok::<(), DeliveryError>(())
        };
        let effect = match back.await {
            Ok(()) => {
                self.drop_fresh(notes).await;
                "what was there before is put back".to_owned()
            }
            Err(error) => {
                format!(
                    "and it could not be put back: {error}; it is remembered: the same step with undo: true does it"
                )
            }
        };
        self.progress.say(effect.clone());
        match error {
            DeliveryError::Failed(failure) => failure.effect(effect).into(),
            stopped @ DeliveryError::Stopped(_) => stopped,
        }
    }

    /// Forgets what this step has written down of something that did not come to be.
    async fn drop_fresh(&self, notes: &[Note]) {
        for note in notes {
            if let Err(error) = note.drop_fresh(self.cluster).await {
                self.progress.warn(format!("ConfigMap/{} stays: {error}", note.name));
            }
        }
    }

    async fn undo_all(&self) -> Result<Done, DeliveryError> {
        let mut undone = Vec::new();
        for (id, uid) in &self.plan.undone {
            let found = Note::get(self.cluster, &id.name).await?.filter(|(_, there)| there.uid() == uid);
            if let Some((note, there)) = found {
                undo(&note, &there, self.site, self.cluster, self.progress).await?;
                undone.push(note.what);
            }
        }
        let before = recorded(self.progress, "undone").is_some();
        let text = match undone.as_slice() {
            [] if before => "undone".to_owned(),
            [] => "nothing to undo".to_owned(),
            whats => format!("undone: {}", whats.join(", ")),
        };
        Ok(Done { summary: text, ..Done::default() }.output("changed", (!undone.is_empty() || before).to_string()))
    }

    async fn job(&self, plan: &JobPlan, purpose: &str) -> Result<Ended, DeliveryError> {
        let timeout = *self.plan.inputs.timeout;
        run_job(plan, purpose, timeout, self.site, self.cluster, self.progress).await
    }

    async fn query(&self, statement: &str, purpose: &str) -> Result<Value, DeliveryError> {
        let job = self.plan.job.clone().ok_or_else(|| Failure::new("the plan has no Job", ""))?;
        let ended = self.job(&job.filled("sql", statement), purpose).await?;
        let why = "print rows plainly: psql -X -At, or demo db query";
        ended.result.ok_or_else(|| Failure::new(format!("Job/{} printed no result", ended.name), "").next(why).into())
    }

    async fn sql(&self, statements: &str, expected: Rows) -> Result<Done, DeliveryError> {
        let query = sql::transaction(&sql::statements(statements), expected);
        let rows = self.query(&query, "sql").await?["rows"].as_u64().unwrap_or(0);
        let text = format!("{rows} rows");
        self.reached("operated", &text, json!({"rows": rows})).await?;
        Ok(Done { summary: text, ..Done::default() }
            .output("changed", (rows > 0).to_string())
            .output("after", rows.to_string()))
    }

    async fn backup(&self) -> Result<Done, DeliveryError> {
        let backup = self.plan.backup.as_ref().ok_or_else(|| Failure::new("the plan has no backup", ""))?;
        let timeout = *self.plan.inputs.timeout;
        let taken = take_backup(backup, &self.site.repository, self.site, self.cluster, timeout, self.progress).await?;
        let text = format!("backed up as {}: {} bytes", taken.name, taken.size);
        self.reached("backed-up", &text, serde_json::to_value(&taken).unwrap_or_default()).await?;
        Ok(Done { summary: text, ..Done::default() }.output("changed", "true").output("backup", taken.name))
    }

    /// Reads the rows, writes them down, sets them in one transaction that touches exactly these.
    async fn flag(&self, knobs: &FlagKnobs, table: &str) -> Result<Done, DeliveryError> {
        let tenant = knobs.tenant.as_deref();
        let of = tenant.map(|tenant| format!(" of {tenant}")).unwrap_or_default();
        let what = format!("flag {}{of} in {table}", knobs.key);
        let read = async { self.query(&sql::flag_rows(table, &knobs.key, tenant), "flag-read").await };
        let found: Value = once(self.progress, "begun", &format!("{what} was read"), read).await?;
        let rows = found["rows"].as_array().cloned().unwrap_or_default();
        if rows.is_empty() {
            let why = format!("flag \"{}\"{of} matches 0 rows of {table}", knobs.key);
            return Err(Failure::new("the flag is not known", why).effect(UNCHANGED).into());
        }
        let failed = |why: String| Failure::new(format!("{table} is no table of flags"), why).effect(UNCHANGED);
        let rows_of = Row::of_flag(table, &rows, &knobs.value).map_err(failed)?;
        let set: Vec<String> = rows_of.iter().map(Row::forward).collect();
        let mut note = self.note(&what);
        note.rows = rows_of;
        note.job.clone_from(&self.plan.job);
        note.keep(self.cluster, "flag").await?;
        let count = u64::try_from(set.len()).unwrap_or(u64::MAX);
        if let Err(error) = self.query(&sql::transaction(&set, Rows::Exactly(count)), "flag").await {
            // The transaction has changed nothing.
            if !matches!(error, DeliveryError::Stopped(Stop::EngineEnds)) {
                self.drop_fresh(&[note]).await;
            }
            return Err(error);
        }
        let later = note.confirm(self.cluster).await?;
        let text = format!("flag {}{of} is {}: {count} rows", knobs.key, knobs.value);
        self.reached("operated", &text, json!({"before": rows})).await?;
        let done = Done { summary: text, later, ..Done::default() };
        Ok(done
            .output("changed", "true")
            .output("before", Value::from(rows).to_string())
            .output("after", knobs.value.clone()))
    }

    async fn reached(&self, name: &str, text: &str, data: Value) -> Result<(), DeliveryError> {
        if recorded(self.progress, name).is_none() {
            self.progress.record(Milestone { name: name.to_owned(), text: text.to_owned(), data }).await?;
        }
        Ok(())
    }
}

pub(super) async fn run_job(
    plan: &JobPlan,
    purpose: &str,
    timeout: Duration,
    site: &Site,
    cluster: &Cluster,
    progress: &dyn Progress,
) -> Result<Ended, DeliveryError> {
    let work = Work { plan, purpose, unit: &site.repository, scope: Scope::Step, retries: 0, timeout };
    job::run(cluster, site, &work, progress).await
}

/// Short values for outputs; variables without theirs.
fn said(changes: &[Change]) -> String {
    let value = |value: &Option<Value>| match value {
        Some(Value::Object(_)) => "set".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => "none".to_owned(),
    };
    let fields = changes.iter().flat_map(|change| change.fields.iter().map(|field| value(&field.value)));
    fields.collect::<Vec<_>>().join(", ")
}
