//! Baselines that outlive a run: in a ConfigMap beside the unit. It has no label of the unit, so pruning leaves it.

use serde_json::json;

use crate::Object;
use crate::check::Baseline;
use crate::cluster::{Apply, Cluster, ClusterError};

/// The manager of stored baselines: each key is written by itself.
const MANAGER: &str = "tagline-baseline";

fn name(unit: &str) -> String {
    format!("tagline-baseline-{unit}")
}

/// Stores a baseline under a key: `stored`, or the id of the release that came after it.
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
    cluster.apply(&object, Apply::by(MANAGER)).await.map(|_| ())
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
