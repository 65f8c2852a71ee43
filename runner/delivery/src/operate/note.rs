//! What an operation found and what it set, written into the cluster beside what it changed.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::sql::Row;
use super::{Change, OPERATE};
use crate::action::{Fate, Retired, Retirement};
use crate::cluster::{Cluster, ClusterError, Patch, Precondition, Propagation};
use crate::job::{JobPlan, Later};
use crate::{DeliveryError, Failure, Milestone, Object, ObjectId, Progress, Site};

/// Label of a note: the operation.
const LABEL: &str = "tagline.dev/operation";

/// What an operation found, and what it set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Note {
    /// The ConfigMap's name: the same for the same operation on the same thing.
    pub name: String,
    /// `scale Deployment/shop`
    pub what: String,
    /// What was there, in the order in which it was changed.
    pub before: Vec<Change>,
    /// What was set there, each in its turn: what bears another value by then was changed by somebody else, and stays.
    #[serde(default)]
    pub set: Vec<Change>,
    /// Rows of a table, the same for them.
    #[serde(default)]
    pub rows: Vec<Row>,
    /// Runs the statements that put rows back; without rows, it runs as it is.
    pub job: Option<JobPlan>,
    /// A ConfigMap whose readers start again once it is put back: those that read it then.
    #[serde(default)]
    pub reread: Option<ObjectId>,
    /// Objects that go once it is done: a Secret that nobody reads any more.
    #[serde(default)]
    pub delete: Vec<(ObjectId, String)>,
    /// The Secret that whoever still reads what goes is sent to.
    #[serde(default)]
    pub successor: Option<String>,
    /// Why, which run, and `by` which step it was written first.
    pub facts: BTreeMap<String, String>,
    /// It is undone then.
    pub due: Option<Timestamp>,
    /// It is undone when this run ends.
    #[serde(default)]
    pub ends_with: Option<u64>,
}

/// The fact that says which step wrote it first.
const BY: &str = "by";

fn step(site: &Site) -> String {
    format!("{}/{}/{}/{}", site.run, site.job, site.attempt, site.step)
}

impl Note {
    /// The name of the note about this.
    pub fn name_of(what: &str) -> String {
        format!("tagline-operation-{}", &hex::encode(Sha256::digest(what))[..16])
    }

    /// An empty one.
    pub fn new(what: &str, site: &Site, reason: Option<&str>, due: Option<Timestamp>) -> Self {
        let mut facts = BTreeMap::from([("run".to_owned(), site.run.to_string()), (BY.to_owned(), step(site))]);
        facts.extend(reason.map(|reason| ("reason".to_owned(), reason.to_owned())));
        Self {
            name: Self::name_of(what),
            what: what.to_owned(),
            before: Vec::new(),
            set: Vec::new(),
            rows: Vec::new(),
            job: None,
            reread: None,
            delete: Vec::new(),
            successor: None,
            facts,
            due,
            ends_with: None,
        }
    }

    /// Reads the note about this, with the ConfigMap that holds it.
    ///
    /// # Errors
    /// Those of reaching the cluster.
    pub async fn get(cluster: &Cluster, name: &str) -> Result<Option<(Self, Object)>, ClusterError> {
        let found = cluster.get(&cluster.id("v1", "ConfigMap", name)).await?.filter(|found| !found.is_terminating());
        Ok(found.and_then(|found| Some((serde_json::from_str(found.text("/data/note")).ok()?, found))))
    }

    /// Every note of the namespace, with the ConfigMaps that hold them: the operations in force.
    ///
    /// # Errors
    /// Those of reaching the cluster.
    pub async fn all(cluster: &Cluster) -> Result<Vec<(Self, Object)>, ClusterError> {
        let resource = cluster.served("v1", "ConfigMap").await?;
        let base = resource.path(cluster.namespace(), None, None);
        let labelled = [("labelSelector", Some(LABEL.to_owned()))];
        let (found, _) = cluster.list_at(&resource, "ConfigMap", &base, &labelled).await?;
        let there = found.into_iter().filter(|found| !found.is_terminating());
        Ok(there.filter_map(|found| Some((serde_json::from_str(found.text("/data/note")).ok()?, found))).collect())
    }

    /// Writes it down where there is none yet; adds what an older one does not know, but for its end: that stays as it is
    /// until this operation has come to be ([`Self::confirm`]). Gives back what stands there then.
    ///
    /// # Errors
    /// Those of reaching the cluster.
    pub async fn keep(&self, cluster: &Cluster, operation: &str) -> Result<(Self, Object), ClusterError> {
        if let Some((older, there)) = Self::get(cluster, &self.name).await? {
            let mut both = older.clone();
            both.add(self);
            return if both == older { Ok((older, there)) } else { both.write(cluster, &there).await };
        }
        let text = serde_json::to_string(self).unwrap_or_default();
        let object = Object(json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": self.name, "namespace": cluster.namespace(), "labels": {LABEL: operation}},
            "data": {"what": self.what, "note": text},
        }));
        match cluster.create(&object, OPERATE).await {
            Err(error @ ClusterError::AlreadyExists { .. }) => Self::get(cluster, &self.name).await?.ok_or(error),
            created => Ok((self.clone(), created?)),
        }
    }

    async fn write(self, cluster: &Cluster, there: &Object) -> Result<(Self, Object), ClusterError> {
        let text = serde_json::to_string(&self).unwrap_or_default();
        let patch = json!({"metadata": {"resourceVersion": there.resource_version()}, "data": {"note": text}});
        let there = cluster.patch(&there.id(), OPERATE, &Patch::Merge(patch)).await?;
        Ok((self, there))
    }

    fn add(&mut self, newer: &Self) {
        for change in &newer.before {
            match self.before.iter_mut().find(|known| known.id == change.id && known.uid == change.uid) {
                Some(known) => {
                    for field in &change.fields {
                        if !known.fields.iter().any(|one| one.place == field.place) {
                            known.fields.push(field.clone());
                        }
                    }
                }
                None => self.before.push(change.clone()),
            }
        }
        for change in newer.set.iter().filter(|change| !self.set.contains(change)).cloned().collect::<Vec<_>>() {
            self.set.push(change);
        }
        Row::merge(&mut self.rows, &newer.rows);
        self.reread = self.reread.take().or_else(|| newer.reread.clone());
    }

    /// The operation has come to be: from now on what it says about its end counts, not what an older one said. Gives back
    /// what is to be done later.
    ///
    /// # Errors
    /// Those of reaching the cluster.
    pub async fn confirm(&self, cluster: &Cluster) -> Result<Vec<Later>, ClusterError> {
        if self.due.is_none() && self.ends_with.is_none() {
            return Ok(Vec::new());
        }
        let Some((mut note, mut there)) = Self::get(cluster, &self.name).await? else { return Ok(Vec::new()) };
        if (note.due, note.ends_with) != (self.due, self.ends_with) {
            (note.due, note.ends_with) = (self.due, self.ends_with);
            there = note.write(cluster, &there).await?.1;
        }
        let later = |due, after_run| Later { note: there.id(), uid: there.uid().to_owned(), due, after_run };
        let timed = self.due.map(|due| later(due, None));
        let at_end = self.ends_with.map(|run| later(Timestamp::UNIX_EPOCH, Some(run)));
        Ok(timed.into_iter().chain(at_end).collect())
    }

    /// Takes it away where this very step wrote it and nothing came of it: an older operation is still in force.
    ///
    /// # Errors
    /// Those of reaching the cluster.
    pub async fn drop_fresh(&self, cluster: &Cluster) -> Result<(), ClusterError> {
        match Self::get(cluster, &self.name).await? {
            Some((note, there)) if note.facts.get(BY) == self.facts.get(BY) => Self::forget(cluster, &there).await,
            _ => Ok(()),
        }
    }

    /// Takes it away once it is undone.
    ///
    /// # Errors
    /// Those of reaching the cluster.
    pub async fn forget(cluster: &Cluster, there: &Object) -> Result<(), ClusterError> {
        cluster.delete(&there.id(), &Precondition::same(there), Propagation::Background).await.map(drop)
    }

    /// Whether what waits for this end may undo it now.
    fn is_due(&self, fate: Fate, now: Timestamp) -> Result<bool, Failure> {
        match (fate, self.due) {
            (Fate::RunEnded { run }, _) => Ok(self.ends_with == Some(run)),
            (_, Some(due)) if due > now => {
                Err(Failure::new(format!("{} is not due", self.what), format!("it was put off until {due}")))
            }
            (_, due) => Ok(due.is_some()),
        }
    }
}

/// Does what the notes of a retirement say, unless it was done before, another note bears the name, or a newer operation has
/// said another end.
///
/// # Errors
/// It cannot be done now: it is not due, or somebody still needs what is to go.
pub(crate) async fn retire(
    retirement: &Retirement,
    cluster: &Cluster,
    progress: &dyn Progress,
) -> Result<Retired, DeliveryError> {
    let mut removed = Vec::new();
    for (id, uid) in &retirement.objects {
        let Some((note, there)) = Note::get(cluster, &id.name).await?.filter(|(_, there)| there.uid() == uid) else {
            continue;
        };
        if note.is_due(retirement.fate, progress.now())? {
            super::undo::undo(&note, &there, &site(retirement, &note, uid), cluster, progress).await?;
            removed.push(note.what);
        }
    }
    let text =
        if removed.is_empty() { "nothing was left to do".to_owned() } else { format!("ended: {}", removed.join(", ")) };
    let retired = Retired { removed, kept: Vec::new() };
    let data = serde_json::to_value(&retired).unwrap_or_default();
    progress.record(Milestone { name: "deleted".to_owned(), text, data }).await?;
    Ok(retired)
}

/// For whom its Jobs run: the same each time it is tried, another for each note.
fn site(retirement: &Retirement, note: &Note, uid: &str) -> Site {
    Site {
        environment: retirement.environment.clone(),
        protected: false,
        target: retirement.target.clone(),
        kubeconfig: Vec::new(),
        repository: retirement.unit.clone(),
        version: retirement.version.clone(),
        commit: String::new(),
        run: note.facts.get("run").and_then(|run| run.parse().ok()).unwrap_or(0),
        identity: String::new(),
        job: format!("later-{uid}"),
        attempt: 1,
        step: 0,
        tree: std::path::PathBuf::new(),
        built: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::field::{Field, Place};
    use super::*;
    use crate::Target;

    fn site(run: u64) -> Site {
        let retirement = Retirement {
            environment: String::new(),
            target: Target { context: String::new(), namespace: String::new() },
            unit: String::new(),
            release: String::new(),
            version: String::new(),
            services: Vec::new(),
            objects: Vec::new(),
            fate: Fate::Recorded,
            due: Timestamp::UNIX_EPOCH,
        };
        let note = json!({"name": "n", "what": "x", "before": [], "job": null, "facts": {}, "due": null});
        Site { run, ..super::site(&retirement, &serde_json::from_value(note).unwrap(), "") }
    }

    fn note(run: u64, count: u64, due: Option<&str>) -> Note {
        let change = |count: u64| Change {
            id: ObjectId::new("apps/v1", "Deployment", "n", "shop"),
            uid: "1".to_owned(),
            fields: vec![Field { place: Place::At("/spec/replicas".to_owned()), value: Some(json!(count)) }],
        };
        let due = due.map(|due| due.parse().unwrap());
        Note { before: vec![change(count)], set: vec![change(count + 1)], ..Note::new("x", &site(run), None, due) }
    }

    #[test]
    fn the_first_thing_found_counts_and_everything_that_was_set() {
        let (mut first, second) = (note(1, 2, Some("2026-01-01T00:00:00Z")), note(2, 3, None));
        first.add(&second);
        first.add(&second);
        assert_eq!(first.before, note(1, 2, None).before);
        assert_eq!(first.set, [note(1, 2, None).set, second.set].concat());
        // What it says about its end counts when it has come to be only.
        let mut waits = note(1, 2, Some("2026-01-01T00:00:00Z"));
        waits.add(&note(2, 3, Some("2027-01-01T00:00:00Z")));
        assert_eq!(waits.due, note(1, 2, Some("2026-01-01T00:00:00Z")).due);
    }

    #[test]
    fn an_operation_ends_as_the_newest_one_has_said() {
        let now = "2026-06-01T00:00:00Z".parse().unwrap();
        let (timed, at_end) = (Fate::Recorded, Fate::RunEnded { run: 7 });
        let past = note(7, 1, Some("2026-01-01T00:00:00Z"));
        assert_eq!((past.is_due(timed, now), past.is_due(at_end, now)), (Ok(true), Ok(false)));
        let later = note(7, 1, Some("2027-01-01T00:00:00Z"));
        assert!(later.is_due(timed, now).unwrap_err().why.contains("put off until 2027"));
        // Of run 7, over whatever time an older one gave.
        let of_run = Note { ends_with: Some(7), ..note(7, 1, None) };
        assert_eq!((of_run.is_due(timed, now), of_run.is_due(at_end, now)), (Ok(false), Ok(true)));
        assert_eq!(of_run.is_due(Fate::RunEnded { run: 6 }, now), Ok(false));
    }
}
