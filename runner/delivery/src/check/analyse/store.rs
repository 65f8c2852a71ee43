//! Baselines that outlive a run: in a ConfigMap beside the unit. It has no label of the unit, so pruning leaves it.
//!
//! An apply removes the keys that its manager no longer sends. So what a person recorded has a manager of its own and stays;
//! of what deliveries measured on their way only the newest stays.

use serde_json::json;

use crate::Object;
use crate::check::Baseline;
use crate::cluster::{Apply, Cluster, ClusterError};

/// The key of a baseline that `baseline: record` stored; other keys are ids of releases.
pub const STORED: &str = "stored";

/// The manager of a key: of what was recorded, or of what deliveries measure.
fn manager(key: &str) -> &'static str {
    if key == STORED { "tagline-baseline-stored" } else { "tagline-baseline-before" }
}

fn name(unit: &str) -> String {
    format!("tagline-baseline-{unit}")
}

/// Stores a baseline under a key: [`STORED`], or the id of the release that came after it.
///
/// # Errors
/// Those of writing to the cluster.
pub async fn save(cluster: &Cluster, unit: &str, key: &str, baseline: &Baseline) -> Result<(), ClusterError> {
    let text = json!(baseline).to_string();
    let object = Object(json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name(unit), "labels": {"tagline.dev/baseline-of": unit}},
        "data": {key: text},
    }));
    cluster.apply(&object, Apply::by(manager(key))).await.map(|_| ())
}

/// A stored baseline; None where there is none, or none that this build understands.
///
/// # Errors
/// Those of reading from the cluster.
pub async fn load(cluster: &Cluster, unit: &str, key: &str) -> Result<Option<Baseline>, ClusterError> {
    let stored = cluster.get(&cluster.id("v1", "ConfigMap", &name(unit))).await?;
    let text = stored.and_then(|object| object.texts("/data").remove(key));
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
}
