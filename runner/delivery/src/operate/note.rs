//! What an operation found, written into the cluster beside what it changed.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{Change, OPERATE};
use crate::action::{Retired, Retirement};
use crate::cluster::{Cluster, ClusterError, Patch, Precondition, Propagation};
use crate::job::JobPlan;
use crate::{DeliveryError, Failure, Milestone, Object, ObjectId, Progress, Site};

/// Label of a note: the operation.
const LABEL: &str = "tagline.dev/operation";

/// What an operation found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Note {
    /// The ConfigMap's name: the same for the same operation on the same thing.
    pub name: String,
    /// `scale Deployment/shop`
    pub what: String,
    /// What was there, in the order in which it was changed.
    pub before: Vec<Change>,
    /// Statements that put rows back, each touching one row, and the Job that runs them.
    pub statements: Vec<String>,
    /// See `statements`.
    pub job: Option<JobPlan>,
    /// Objects that go once it is done: a Secret that nobody reads any more.
    #[serde(default)]
    pub delete: Vec<(ObjectId, String)>,
    /// Why, and which run.
    pub facts: BTreeMap<String, String>,
    /// It is undone then.
    pub due: Option<Timestamp>,
}

impl Note {
    /// The name of the note about this.
    pub fn name_of(what: &str) -> String {
        format!("tagline-operation-{}", &hex::encode(Sha256::digest(what))[..16])
    }

    /// An empty one.
    pub fn new(what: &str, site: &Site, reason: Option<&str>, due: Option<Timestamp>) -> Self {
        let mut facts = BTreeMap::from([("run".to_owned(), site.run.to_string())]);
        facts.extend(reason.map(|reason| ("reason".to_owned(), reason.to_owned())));
        let (before, statements, delete) = (Vec::new(), Vec::new(), Vec::new());
        Self { name: Self::name_of(what), what: what.to_owned(), before, statements, job: None, delete, facts, due }
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

    /// Writes it down where there is none yet; adds what an older one does not know. Gives back what stands there then.
    ///
    /// # Errors
    /// Those of reaching the cluster.
    pub async fn keep(&self, cluster: &Cluster, operation: &str) -> Result<(Self, Object), ClusterError> {
        if let Some((mut older, there)) = Self::get(cluster, &self.name).await? {
            let known = older.clone();
            older.add(self);
            if older == known {
                return Ok((known, there));
            }
            let text = serde_json::to_string(&older).unwrap_or_default();
            let patch = json!({"metadata": {"resourceVersion": there.resource_version()}, "data": {"note": text}});
            let there = cluster.patch(&there.id(), OPERATE, &Patch::Merge(patch)).await?;
            return Ok((older, there));
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
        if newer.due.is_some() {
            self.due = newer.due;
        }
    }

    /// Takes it away once it is undone.
    ///
    /// # Errors
    /// Those of reaching the cluster.
    pub async fn forget(cluster: &Cluster, there: &Object) -> Result<(), ClusterError> {
        cluster.delete(&there.id(), &Precondition::same(there), Propagation::Background).await.map(drop)
    }
}

/// Does what the notes of a retirement say, unless it was done before or another note bears the name.
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
        if let Some(due) = note.due.filter(|due| *due > progress.now()) {
            return Err(Failure::new(format!("{} is not due", note.what), format!("it was put off until {due}")).into());
        }
        super::apply::undo(&note, &there, &site(retirement, &note, uid), cluster, progress).await?;
        removed.push(note.what);
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
