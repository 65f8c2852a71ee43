//! Carrying an operation out, and undoing one.

use std::time::Duration;

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::field::Change;
use super::note::Note;
use super::plan::{Act, OperatePlan};
use super::{OPERATE, exec, restore, sql};
use crate::cluster::{Cluster, ClusterError, Filter, Patch, Tries};
use crate::inputs::operate::{FlagKnobs, FlagStore, Rows, Verb};
use crate::job::{self, Done, Ended, JobPlan, Later, Scope, Work};
use crate::migrate::take_backup;
use crate::progress::{once, recorded};
use crate::rollout::{Wait, WaitError, wait_for, wait_ready};
use crate::{DeliveryError, Failure, Milestone, Object, Progress, Site, UNCHANGED};

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
        Note::new(what, self.site, self.plan.inputs.reason.as_deref(), due)
    }

    async fn acts(&self) -> Result<Done, DeliveryError> {
        let plan = self.plan;
        let text = format!("{} begun", plan.inputs.verb.name());
        // What this very step found: a way back goes there, not to what an older operation found.
        let found: Vec<Change> = once(self.progress, "begun", &text, self.found()).await?;
        let mut later = Vec::new();
        for act in plan.acts.iter().filter(|act| act.remembered) {
            let own = |change: &&Change| act.changes.iter().any(|each| each.id == change.id);
            let mut note = self.note(&act.what);
            note.before = found.iter().filter(own).cloned().collect();
            let (note, there) = note.keep(self.cluster, plan.inputs.verb.name()).await?;
            later.extend(note.due.map(|due| Later { note: there.id(), uid: there.uid().to_owned(), due }));
        }
        let done = self.carry_out().await;
        if let Err(error) = done {
            return Err(self.back(&found, error).await);
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

    async fn carry_out(&self) -> Result<(), DeliveryError> {
        let mut objects = Vec::new();
        for change in self.plan.acts.iter().flat_map(|act: &Act| &act.changes) {
            objects.push(put(self.cluster, change).await?);
        }
        settle(self.cluster, &objects, *self.plan.inputs.timeout, self.progress).await
    }

    /// Puts back what this step found.
    async fn back(&self, found: &[Change], error: DeliveryError) -> DeliveryError {
        if matches!(error, DeliveryError::Stopped(crate::Stop::EngineEnds)) {
            return error;
        }
        let back = async {
            for change in found.iter().rev() {
                put(self.cluster, change).await?;
            }
            Ok::<(), DeliveryError>(())
        };
        let effect = match back.await {
            Ok(()) => "what was there before is put back".to_owned(),
            Err(error) => format!("and it could not be put back: {error}"),
        };
        self.progress.say(effect.clone());
        for act in self.plan.acts.iter().filter(|act| act.remembered) {
            // Only what this step has written down: an older operation is still in force.
            if let Ok(Some((note, there))) = Note::get(self.cluster, &Note::name_of(&act.what)).await
                && note.before.iter().all(|change| found.contains(change))
                && let Err(error) = Note::forget(self.cluster, &there).await
            {
                self.progress.warn(format!("{} stays: {error}", there.id()));
            }
        }
        match error {
            DeliveryError::Failed(failure) => failure.effect(effect).into(),
            stopped @ DeliveryError::Stopped(_) => stopped,
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
        let changes = sql::flag_changes(table, &rows, &knobs.value).map_err(failed)?;
        let (set, back): (Vec<String>, Vec<String>) = changes.into_iter().unzip();
        let mut note = self.note(&what);
        note.statements = back;
        note.job.clone_from(&self.plan.job);
        let (note, there) = note.keep(self.cluster, "flag").await?;
        let later = note.due.map(|due| Later { note: there.id(), uid: there.uid().to_owned(), due });
        let count = u64::try_from(set.len()).unwrap_or(u64::MAX);
        self.query(&sql::transaction(&set, Rows::Exactly(count)), "flag").await?;
        let text = format!("flag {}{of} is {}: {count} rows", knobs.key, knobs.value);
        self.reached("operated", &text, json!({"before": rows})).await?;
        let done = Done { summary: text, later: later.into_iter().collect(), ..Done::default() };
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

async fn run_job(
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

/// Puts back what a note remembers, and takes the note away.
pub(super) async fn undo(
    note: &Note,
    there: &Object,
    site: &Site,
    cluster: &Cluster,
    progress: &dyn Progress,
) -> Result<(), DeliveryError> {
    for (id, uid) in &note.delete {
        let there = cluster.get(id).await?.is_some_and(|now| now.uid() == uid);
        if let Some(reader) = crate::rotate::reader_of(cluster, &id.name).await?.filter(|_| there) {
            let why = format!("{reader} still refers to {id}");
            return Err(Failure::new(format!("{} cannot be ended", note.what), why)
                .next("release it anew, or rotate again")
                .into());
        }
    }
    if let Some(job) = &note.job {
        let count = u64::try_from(note.statements.len()).unwrap_or(u64::MAX);
        let query = sql::transaction(&note.statements, Rows::Exactly(count));
        let plan = if note.statements.is_empty() { job.clone() } else { job.clone().filled("sql", &query) };
        let (unit, timeout) = (site.repository.as_str(), Duration::from_mins(10));
        let work = Work { plan: &plan, purpose: "undo", unit, scope: Scope::Later, retries: 0, timeout };
        job::run(cluster, site, &work, progress).await?;
    }
    let mut objects = Vec::new();
    for change in note.before.iter().rev() {
        // Only what is gone for good is passed over: any other failure keeps the note, and the next undo goes on.
        if find(cluster, change).await?.is_none() {
            progress.warn(format!("{} is not there any more; there is nothing to put back", change.id));
            continue;
        }
        let object = put(cluster, change).await?;
        objects.push(release_fields(cluster, object).await?);
    }
    settle(cluster, &objects, Duration::from_mins(10), progress).await?;
    for (id, uid) in &note.delete {
        if let Some(now) = cluster.get(id).await?.filter(|now| now.uid() == uid) {
            use crate::cluster::{Precondition, Propagation};
            cluster.delete(id, &Precondition::same(&now), Propagation::Background).await?;
            progress.say(format!("{id} is removed"));
        }
    }
    let data = json!({"note": note.what});
    progress.record(Milestone { name: "undone".to_owned(), text: format!("undone: {}", note.what), data }).await?;
    Note::forget(cluster, there).await?;
    Ok(())
}

/// The object that a change was decided on; none where it is gone, whatever bears its name now.
async fn find(cluster: &Cluster, change: &Change) -> Result<Option<Object>, ClusterError> {
    let found = cluster.get(&change.id).await?;
    Ok(found.filter(|found| found.uid() == change.uid && !found.is_terminating()))
}

/// The same; that it is gone is a failure.
async fn same(cluster: &Cluster, change: &Change) -> Result<Object, DeliveryError> {
    find(cluster, change).await?.ok_or_else(|| {
        let why = "another one bears its name, or none";
        Failure::new(format!("{} is not there any more", change.id), why).next("plan it again").into()
    })
}

/// Sets the places, if they are not so already; gives back the object as it is then.
pub(crate) async fn put(cluster: &Cluster, change: &Change) -> Result<Object, DeliveryError> {
    let mut tries = Tries::default();
    loop {
        let now = same(cluster, change).await?;
        let wanted = change.on(&now);
        if wanted == now {
            return Ok(now);
        }
        let patch = difference(&now, &wanted);
        match cluster.patch(&change.id, OPERATE, &Patch::Merge(patch)).await {
            Err(error) if tries.again(&error) => {}
            patched => return Ok(patched?),
        }
    }
}

/// A merge patch from one to the other, for this version of the object only.
fn difference(now: &Object, wanted: &Object) -> Value {
    let mut patch = merge(&now.0, &wanted.0).unwrap_or_else(|| json!({}));
    patch["metadata"]["resourceVersion"] = json!(now.resource_version());
    patch
}

fn merge(now: &Value, wanted: &Value) -> Option<Value> {
    match (now, wanted) {
        _ if now == wanted => None,
        (Value::Object(now), Value::Object(wanted)) => {
            let mut patch = serde_json::Map::new();
            for key in now.keys().filter(|key| !wanted.contains_key(*key)) {
                patch.insert(key.clone(), Value::Null);
            }
            for (key, value) in wanted {
                match now.get(key) {
                    Some(old) => patch.extend(merge(old, value).map(|part| (key.clone(), part))),
                    None => drop(patch.insert(key.clone(), value.clone())),
                }
            }
            Some(patch.into())
        }
        _ => Some(wanted.clone()),
    }
}

/// What is put back belongs to whoever applies it next. On an object that never holds still it stays with us: it is put back
/// all the same.
async fn release_fields(cluster: &Cluster, mut object: Object) -> Result<Object, ClusterError> {
    let mut tries = Tries::default();
    loop {
        let entries = object.list("/metadata/managedFields");
        let others: Vec<&Value> = entries.iter().filter(|entry| entry["manager"] != OPERATE).collect();
        if others.len() == entries.len() || others.is_empty() {
            return Ok(object);
        }
        let patch = json!({"metadata": {"resourceVersion": object.resource_version(), "managedFields": others}});
        match cluster.patch(&object.id(), OPERATE, &Patch::Merge(patch)).await {
            // Its controller was quicker.
            Err(error @ ClusterError::Changed { .. }) => {
                object = cluster.get(&object.id()).await?.ok_or(error)?;
                if !tries.one_more() {
                    return Ok(object);
                }
            }
            patched => return patched,
        }
    }
}

/// Waits until what was changed runs so: ready, or, with 0 replicas, gone.
pub(crate) async fn settle(
    cluster: &Cluster,
    objects: &[Object],
    timeout: Duration,
    progress: &dyn Progress,
) -> Result<(), DeliveryError> {
    let (idle, busy): (Vec<Object>, Vec<Object>) =
        objects.iter().cloned().partition(|each| each.number("/spec/replicas") == Some(0));
    let wait = Wait { timeout, ..Wait::default() };
    // Watches share one filter: workloads of one namespace need not have a label in common.
    for workload in &busy {
        match wait_ready(cluster, std::slice::from_ref(workload), &wait, progress).await {
            Ok(_) => {}
            Err(WaitError::Stopped(stop)) => return Err(stop.into()),
            Err(WaitError::Cluster(error)) => return Err(error.into()),
            Err(WaitError::NotReady { why, pods, .. }) => {
                let scene = crate::diagnose::scene(cluster, &pods, std::slice::from_ref(workload)).await;
                let what = format!("{} does not come up", workload.id());
                let cause = scene.cause().unwrap_or_default();
                let why = if cause.what.is_empty() { why } else { format!("{}: {}", cause.what, cause.why) };
                return Err(Failure { what, why, ..cause }.into());
            }
        }
    }
    for workload in idle.iter().filter(|each| each.template_pointer().is_some()) {
        let labels = workload.texts("/spec/selector/matchLabels");
        let gone = |pods: &[Object]| pods.is_empty().then_some(());
        let ended = wait_for(cluster, ("v1", "Pod"), Filter::labels(&labels), timeout, progress, gone).await;
        match ended {
            Ok(Some(())) => progress.say(format!("{} has no pods any more", workload.id())),
            Ok(None) => {
                let why = format!("its pods were still there after {} s", timeout.as_secs());
                return Err(Failure::new(format!("{} does not stop", workload.id()), why).into());
            }
            Err(WaitError::Stopped(stop)) => return Err(stop.into()),
            Err(WaitError::Cluster(error)) => return Err(error.into()),
            Err(WaitError::NotReady { why, .. }) => return Err(Failure::new(why, "").into()),
        }
    }
    Ok(())
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
