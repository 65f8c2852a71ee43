//! Bringing a backup back: nobody writes meanwhile, and the live database is left as it is unless that was asked for.
//!
//! Its Job gets `TAGLINE_BACKUP`, `TAGLINE_INTO` (the new database; empty where it is restored in place), `TAGLINE_SWAP`
//! (`true` where writers are stopped: the new database takes the live one's name) and `TAGLINE_IN_PLACE`; `{backup}` and
//! `{into}` in its arguments stand for the same.
//!
//! Invariants:
//! - How many pods each writer had is written into the cluster before the first one is stopped, and stays there until that
//!   writer is started again: the first count is the one that counts, whichever attempt brings it back.
//! - Whatever fails before the Job begins, and whatever fails beside the live database, every writer is started again; one
//!   that cannot be is named.

use serde_json::{Value, json};

use super::field::{Change, Field, Place};
use super::note::Note;
use super::plan::OperatePlan;
use super::put::{put, settle};
use crate::cluster::Cluster;
use crate::inputs::operate::RestoreKnobs;
use crate::job::{self, Done, JobPlan, Scope, Work};
use crate::progress::{once, recorded};
use crate::{DeliveryError, Failure, Milestone, Object, ObjectId, Progress, Site, Stop};

/// See the module.
pub(super) async fn apply(
    knobs: &RestoreKnobs,
    plan: &OperatePlan,
    site: &Site,
    cluster: &Cluster,
    progress: &dyn Progress,
) -> Result<Done, DeliveryError> {
    Restore { knobs, plan, site, cluster, progress }.apply().await
}

struct Restore<'a> {
    knobs: &'a RestoreKnobs,
    plan: &'a OperatePlan,
    site: &'a Site,
    cluster: &'a Cluster,
    progress: &'a dyn Progress,
}

impl Restore<'_> {
    async fn apply(&self) -> Result<Done, DeliveryError> {
        let before: Vec<Change> = once(self.progress, "begun", "restore begun", self.counts()).await?;
        let restored = match recorded(self.progress, "operated") {
            // The writers run again, or are about to: they are not stopped once more.
            Some(done) => done.data["restored"].clone(),
            None => self.restore(&before).await?,
        };
        if self.knobs.stop_writers {
            self.start(&before).await?;
        }
        let text = format!("{} is restored: {restored}", self.knobs.backup);
        let done = Done { summary: text, ..Done::default() };
        let done = done.output("changed", "true").output("backup", self.knobs.backup.clone());
        Ok(done.output("after", restored.to_string()))
    }

    /// Nobody writes, then the Job.
    async fn restore(&self, before: &[Change]) -> Result<Value, DeliveryError> {
        if let Err(error) = self.alone(before).await {
            return Err(self.failed(error, before, false).await);
        }
        let restored = match self.job().await {
            Ok(restored) => restored,
            Err(error) => return Err(self.failed(error, before, self.knobs.in_place.is_some()).await),
        };
        let text = format!("{} is restored: {restored}", self.knobs.backup);
        let data = json!({"restored": restored});
        self.progress.record(Milestone { name: "operated".to_owned(), text, data }).await?;
        Ok(restored)
    }

    async fn job(&self) -> Result<Value, DeliveryError> {
        let Self { knobs, plan, .. } = self;
        let job = plan.job.clone().ok_or_else(|| Failure::new("the plan has no Job", ""))?;
        let into = knobs.into.as_deref().unwrap_or_default();
        let swap = knobs.stop_writers && knobs.in_place.is_none();
        let job = job
            .filled("backup", &knobs.backup)
            .filled("into", into)
            .with_env("TAGLINE_BACKUP", &knobs.backup)
            .with_env("TAGLINE_INTO", into)
            .with_env("TAGLINE_SWAP", &swap.to_string())
            .with_env("TAGLINE_IN_PLACE", &knobs.in_place.is_some().to_string());
        let (unit, timeout) = (&self.site.repository, *plan.inputs.timeout);
        let work = Work { plan: &job, purpose: "restore", unit, scope: Scope::Step, retries: 0, timeout };
        Ok(job::run(self.cluster, self.site, &work, self.progress).await?.result.unwrap_or_default())
    }

    /// How many pods each writer has, or had before an earlier attempt stopped it.
    async fn counts(&self) -> Result<Vec<Change>, DeliveryError> {
        let mut all = Vec::new();
        for (id, uid) in &self.plan.workloads {
            let found = self.cluster.get(id).await?.filter(|found| found.uid() == uid);
            let now = found.as_ref().and_then(|found| found.number("/spec/replicas")).unwrap_or(1);
            let noted = Note::get(self.cluster, &Note::name_of(&stopped(id))).await?;
            all.push(set(id, uid, noted.and_then(|(note, _)| noted_count(&note, id, uid)).unwrap_or(now)));
        }
        Ok(all)
    }

    /// Nobody writes: each writer is written down, stopped, and seen to have no pod.
    async fn alone(&self, before: &[Change]) -> Result<(), DeliveryError> {
        if self.knobs.stop_writers {
            let mut objects = Vec::new();
            for change in before {
                let mut note = Note::new(&stopped(&change.id), self.site, self.plan.inputs.reason.as_deref(), None);
                note.before = vec![change.clone()];
                note.keep(self.cluster, "restore").await?;
                objects.push(put(self.cluster, &set(&change.id, &change.uid, 0)).await?);
            }
            settle(self.cluster, &objects, *self.plan.inputs.timeout, self.progress).await?;
        }
        self.confirm_stopped().await
    }

    /// Seen, not believed: no writer has a pod.
    async fn confirm_stopped(&self) -> Result<(), DeliveryError> {
        let mut running = Vec::new();
        for (id, _) in &self.plan.workloads {
            let Some(workload) = self.cluster.get(id).await? else { continue };
            let pods = self.cluster.pods(&workload.texts("/spec/selector/matchLabels")).await?;
            if !pods.is_empty() {
                running.push(format!("{} ({} pods)", id.name, pods.len()));
            }
        }
        if running.is_empty() {
            return Ok(());
        }
        let why = format!("writers still running: {}", running.join(", "));
        Err(Failure::new("nothing is restored", why).next("stop them, or stop-writers: true").into())
    }

    /// Every writer has as many pods as it had, and is forgotten; what each came to, for people.
    async fn put_back(&self, before: &[Change]) -> (Vec<Object>, Vec<String>, Vec<String>) {
        let (mut objects, mut started, mut left) = (Vec::new(), Vec::new(), Vec::new());
        for change in before {
            match put(self.cluster, change).await {
                Ok(object) => {
                    objects.push(object);
                    started.push(format!("{} is started again", change.id));
                    if let Err(error) = self.forget(&change.id).await {
                        self.progress.warn(format!("what is remembered of {} stays: {error}", change.id));
                    }
                }
                Err(error) => left.push(format!("{} stays stopped, it had {}: {error}", change.id, count(change))),
            }
        }
        (objects, started, left)
    }

    async fn forget(&self, writer: &ObjectId) -> Result<(), DeliveryError> {
        if let Some((_, there)) = Note::get(self.cluster, &Note::name_of(&stopped(writer))).await? {
            Note::forget(self.cluster, &there).await?;
        }
        Ok(())
    }

    async fn start(&self, before: &[Change]) -> Result<(), DeliveryError> {
        let (objects, _, left) = self.put_back(before).await;
        let ready = settle(self.cluster, &objects, *self.plan.inputs.timeout, self.progress).await;
        if left.is_empty() {
            return ready;
        }
        let failure = Failure::new("not every writer is started again", left.join("; "));
        let effect = format!("{} is restored", self.knobs.backup);
        Err(failure.effect(effect).next("run it again: how many there were is remembered").into())
    }

    /// Writers are started again, unless the live database is half restored: then nobody may write to what is there.
    async fn failed(&self, error: DeliveryError, before: &[Change], half: bool) -> DeliveryError {
        if matches!(error, DeliveryError::Stopped(Stop::EngineEnds)) {
            return error;
        }
        let effect = if half {
            let writers: Vec<String> =
                before.iter().map(|change| format!("{}, it had {}", change.id, count(change))).collect();
            let whose = if writers.is_empty() { String::new() } else { format!(" ({})", writers.join("; ")) };
            format!("the live database may be half restored; its writers stay stopped{whose}")
        } else {
            let mut said = vec!["the live database is as it was".to_owned()];
            if self.knobs.stop_writers {
                let (_, started, left) = self.put_back(before).await;
                said.extend(started.into_iter().chain(left));
            }
            said.join("; ")
        };
        self.progress.say(effect.clone());
        match error {
            DeliveryError::Failed(failure) => failure.effect(effect).into(),
            stopped @ DeliveryError::Stopped(_) => stopped,
        }
    }
}

/// What the note about a stopped writer is about.
fn stopped(writer: &ObjectId) -> String {
    format!("stop {writer} for a restore")
}

/// What the note says of this very writer; one that was made anew since has a count of its own.
fn noted_count(note: &Note, id: &ObjectId, uid: &str) -> Option<i64> {
    note.before.iter().find(|change| change.id == *id && change.uid == uid).map(count)
}

fn set(id: &ObjectId, uid: &str, count: i64) -> Change {
    let field = Field { place: Place::At("/spec/replicas".to_owned()), value: Some(json!(count)) };
    Change { id: id.clone(), uid: uid.to_owned(), fields: vec![field] }
}

fn count(change: &Change) -> i64 {
    change.fields.first().and_then(|field| field.value.as_ref()).and_then(Value::as_i64).unwrap_or(1)
}

/// The database that a backup is restored into where the step names none: after the namespace and the backup.
pub(super) fn new_database(namespace: &str, backup: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    let name: String = format!("{namespace}_{backup}").chars().map(plain).collect();
    // Its end tells backups apart.
    let name = &name[name.len().saturating_sub(62)..];
    if name.starts_with(|c: char| c.is_ascii_digit()) { format!("_{name}") } else { name.to_owned() }
}

/// Whether a Job works on a database of that name: one of its variables holds that one's address.
///
/// # Errors
/// Those of reaching the cluster.
pub(super) async fn is_live(database: &str, job: &JobPlan, cluster: &Cluster) -> Result<bool, DeliveryError> {
    let containers = job.object.list("/spec/template/spec/containers");
    let variables = containers.iter().flat_map(|one| one["env"].as_array().into_iter().flatten());
    for variable in variables {
        let value = match (variable["value"].as_str(), variable.pointer("/valueFrom/secretKeyRef")) {
            (Some(value), _) => Some(value.to_owned()),
            (None, Some(reference)) => {
                let name = reference["name"].as_str().unwrap_or_default();
                let secret = secret(cluster, name).await?;
                secret.and_then(|secret| {
                    crate::rotate::values(&secret).remove(reference["key"].as_str().unwrap_or_default())
                })
            }
            _ => None,
        };
        if value.as_deref().and_then(database_of) == Some(database) {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn secret(cluster: &Cluster, name: &str) -> Result<Option<Object>, DeliveryError> {
    Ok(cluster.get(&cluster.id("v1", "Secret", name)).await?)
}

/// The database in an address: `postgres://USER@HOST/NAME?…`.
fn database_of(address: &str) -> Option<&str> {
    let (_, rest) = address.split_once("://")?;
    let (_, path) = rest.split_once('/')?;
    path.split(['?', '#']).next().filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_database_is_named_after_its_backup() {
        assert_eq!(new_database("shop-prod", "Backup-20260103T1.2"), "shop_prod_backup_20260103t1_2");
        assert_eq!(new_database("3shop", "b"), "_3shop_b");
        let long = new_database(&"n".repeat(60), "backup-1");
        assert!(long.len() <= 63 && long.ends_with("_backup_1"), "{long}");
    }

    #[test]
    fn the_database_is_read_from_an_address() {
        let of = |address| database_of(address);
        assert_eq!(of("jdbc:postgresql://db:5432/shop?ssl=true"), Some("shop"));
        assert_eq!(
            (of("postgres://u:p@h/shop"), of("postgres://h"), of("shop"), of("postgres://h/?x")),
            (Some("shop"), None, None, None)
        );
    }

    #[test]
    fn an_earlier_attempts_count_is_that_writers_alone() {
        let id = ObjectId::new("apps/v1", "Deployment", "n", "orders");
        let text = json!({"name": "n", "what": stopped(&id), "before": [set(&id, "1", 3)], "job": null, "facts": {}, "due": null});
        let note: Note = serde_json::from_value(text).unwrap();
        assert_eq!((noted_count(&note, &id, "1"), noted_count(&note, &id, "2")), (Some(3), None));
    }
}
