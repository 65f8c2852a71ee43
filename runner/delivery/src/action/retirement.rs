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
        Fate::Recorded => crate::operate::retire(retirement, cluster, progress).await,
    }
}
