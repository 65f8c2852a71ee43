//! What was there before anything was changed: what every way back returns to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::survey::{LiveRelease, id_in, release_of, settled};
use crate::cluster::Cluster;
use crate::{DeliveryError, Object, ObjectId};

/// An object as it was, and which one it was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// Without what the server sets; a Secret without its values.
    pub object: Object,
    /// Its UID.
    pub uid: String,
}

impl Kept {
    /// Of an object that was read.
    pub(crate) fn of(object: &Object) -> Self {
        Self { object: settled(object), uid: object.uid().to_owned() }
    }

    /// The release that it was of.
    pub fn release(&self) -> LiveRelease {
        let mut object = self.object.clone();
        object.set("/metadata/uid", self.uid.clone().into());
        release_of(&object)
    }

    /// How many pods it had.
    pub fn replicas(&self) -> u32 {
        self.object.number("/spec/replicas").and_then(|count| u32::try_from(count).ok()).unwrap_or(1)
    }
}

/// The data of the milestone `begun`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// What was live; None where nothing was.
    pub live: Option<LiveRelease>,
    /// The workloads that were live, by their name in the manifests.
    pub workloads: BTreeMap<String, Kept>,
    /// Everything else that the delivery touches and that was there.
    pub objects: Vec<Kept>,
    /// What it touches and that was not there.
    pub absent: Vec<ObjectId>,
    /// For each Service: what its selector is narrowed to while two releases stand side by side. Only those that need it.
    #[serde(default)]
    pub narrowed: BTreeMap<String, BTreeMap<String, String>>,
    /// Where the release itself was live, but not proved: what it stands in the places of and still runs.
    #[serde(default)]
    pub replaced: Vec<Kept>,
}

impl Snapshot {
    /// Reads all objects that a delivery is going to touch, in place. `allowed` is asked of each that is there, and of what
    /// it is to be.
    pub(crate) async fn take<'a>(
        cluster: &Cluster,
        touched: impl Iterator<Item = &'a Object>,
        allowed: impl Fn(&Object, &Object) -> Result<(), DeliveryError>,
    ) -> Result<Self, DeliveryError> {
        let mut snapshot = Self::default();
        for object in touched {
            let id = id_in(object, cluster);
            match cluster.get(&id).await? {
                Some(live) if !live.is_terminating() => {
                    allowed(&live, object)?;
                    snapshot.objects.push(Kept::of(&live));
                }
                _ => snapshot.absent.push(id),
            }
        }
        Ok(snapshot)
    }

    /// An object as it was.
    pub fn object(&self, kind: &str, name: &str) -> Option<&Kept> {
        self.objects.iter().find(|kept| kept.object.kind() == kind && kept.object.name() == name)
    }

    /// It was not there.
    pub fn was_absent(&self, id: &ObjectId) -> bool {
        self.absent.iter().any(|absent| absent.kind == id.kind && absent.name == id.name)
    }

    /// `1.2.2`, or `nothing`.
    pub fn version(&self) -> &str {
        self.live.as_ref().map_or("nothing", |live| &live.version)
    }
}
