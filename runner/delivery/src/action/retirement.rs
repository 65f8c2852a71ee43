//! What is removed later: the old release of a blue-green delivery, and configuration that no release needs any more.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::cluster::Cluster;
use crate::{DeliveryError, ObjectId, Progress, Target};

/// A removal with its time. Bound to UIDs: what bears the same names by then is something else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retirement {
    /// The environment's name.
    pub environment: String,
    /// Where.
    pub target: Target,
    /// The unit.
    pub unit: String,
    /// The release that goes.
    pub release: String,
    /// Its version, for people.
    pub version: String,
    /// The unit's Services: whatever they select by then stays.
    pub services: Vec<String>,
    /// What goes, with the UIDs that it had: workloads first.
    pub objects: Vec<(ObjectId, String)>,
    /// How it goes.
    pub fate: Fate,
    /// Not before.
    pub due: Timestamp,
}

impl Retirement {
    /// Takes out what a later retirement of the unit also names: a release that was live again meanwhile is kept as long as
    /// that says. Gives a line for each object that stays.
    pub fn put_off(&mut self, others: &[Self]) -> Vec<String> {
        let same = |other: &&Self| {
            let places =
                (&other.environment, &other.target, &other.unit) == (&self.environment, &self.target, &self.unit);
            places && other.fate != Fate::Recorded && other.due > self.due
        };
        let later: Vec<&Self> = others.iter().filter(same).collect();
        let mut lines = Vec::new();
        self.objects.retain(|object| {
            let until = later.iter().filter(|other| other.objects.contains(object)).map(|other| other.due).max();
            lines.extend(until.map(|until| format!("{}: it is kept until {until}", object.0)));
            until.is_none()
        });
        lines
    }
}

/// How a release goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// Its objects are deleted.
    Delete,
    /// Its workloads are scaled to 0 and wait for the release after next (`names: colours`).
    Empty,
    /// What a note says is done: an operation is undone, an old account locked. The objects are notes.
    Recorded,
    /// The same, when a run has ended, however it ended.
    RunEnded {
        /// The run.
        run: u64,
    },
}

/// What became of a retirement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retired {
    /// What was removed, by name; empty where nothing was left.
    pub removed: Vec<String>,
    /// What stays, with why.
    pub kept: Vec<String>,
}

/// Carries a retirement out that is due: looks again first, and removes only what is still the same object, still of that
/// release, and selected by none of the unit's Services. Twice is as good as once.
///
/// # Errors
/// Those of reaching the cluster, and a missing right. What was removed before stays removed.
pub async fn retire(
    retirement: &Retirement,
    cluster: &Cluster,
    progress: &dyn Progress,
) -> Result<Retired, DeliveryError> {
    match retirement.fate {
        Fate::Delete | Fate::Empty => crate::strategy::retire(retirement, cluster, progress).await,
        Fate::Recorded | Fate::RunEnded { .. } => crate::operate::retire(retirement, cluster, progress).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1.1 is delivered over 1.0, taken back, and delivered again: the first removal of 1.0 leaves it to the second.
    #[test]
    fn what_a_later_retirement_names_is_kept_until_then() {
        let id = |kind: &str, name: &str| (ObjectId::new("v1", kind, "shop", name), "uid".to_owned());
        let first = Retirement {
            environment: "production".to_owned(),
            target: Target { context: "test".to_owned(), namespace: "shop".to_owned() },
            unit: "shop".to_owned(),
            release: "v1-0-1a2b3c4d".to_owned(),
            version: "1.0".to_owned(),
            services: vec!["shop".to_owned()],
            objects: vec![id("Deployment", "shop-v1"), id("ConfigMap", "only-first")],
            fate: Fate::Delete,
            due: "2026-11-20T00:00:00Z".parse().unwrap(),
        };
        let due = "2026-11-20T23:30:00Z".parse().unwrap();
        let second = Retirement { objects: vec![id("Deployment", "shop-v1")], due, ..first.clone() };
        let mut now = first.clone();
        assert_eq!(
            now.put_off(std::slice::from_ref(&second)),
            ["Deployment/shop-v1: it is kept until 2026-11-20T23:30:00Z"]
        );
        assert_eq!(now.objects, [id("ConfigMap", "only-first")]);

        let mut last = second.clone();
        assert!(last.put_off(&[first.clone(), second.clone()]).is_empty() && last == second, "the last one removes it");
        let other = Retirement { unit: "other".to_owned(), ..second.clone() };
        let elsewhere = Retirement { environment: "staging".to_owned(), ..second };
        let mut alone = first.clone();
        assert!(alone.put_off(&[other, elsewhere]).is_empty() && alone == first);
    }
}
