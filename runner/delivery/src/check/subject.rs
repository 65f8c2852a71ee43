//! Whose pods are looked at.

use serde::{Deserialize, Serialize};

use crate::Object;
use crate::cluster::{Cluster, ClusterError, Labels};
use crate::object::selects;

/// Label of workloads and their pods: the workload's name in the manifests.
const WORKLOAD: &str = "tagline.dev/workload";
/// What ends the names of blue-green workloads: the release's id or the colour.
const ENDS: [&str; 2] = ["tagline.dev/release", "tagline.dev/colour"];

/// One release of a unit, and how its pods are known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// The unit's name.
    pub unit: String,
    /// The release's version: `1.2.3`.
    pub version: String,
    /// The release's id.
    pub release: String,
    /// A pod belongs to it that has all labels of one of these.
    pub pods: Vec<Labels>,
    /// The names of its workloads in the cluster: how Prometheus' past finds pods that are gone.
    pub workloads: Vec<String>,
    /// The port that the unit's Service sends to, where it is known.
    pub port: Option<u16>,
}

impl Subject {
    /// Whether a pod belongs to it.
    pub fn has(&self, pod: &Object) -> bool {
        let labels = pod.labels();
        self.pods.iter().any(|wanted| selects(wanted, &labels))
    }

    /// Its pods at present, each once: those that [`count`](counts).
    ///
    /// # Errors
    /// Those of reaching the server, and a missing right.
    pub async fn list(&self, cluster: &Cluster) -> Result<Vec<Object>, ClusterError> {
        let mut pods: Vec<Object> = Vec::new();
        for labels in self.pods.iter().filter(|labels| !labels.is_empty()) {
            let found = cluster.pods(labels).await?;
            pods.extend(found.into_iter().filter(counts));
        }
        pods.sort_by_key(|pod| pod.name().to_owned());
        pods.dedup_by(|a, b| a.uid() == b.uid());
        Ok(pods)
    }
}

/// The pod is one of its workload's: neither on its way out nor ended. An evicted pod stays as an object for long, and has been
/// replaced.
pub(crate) fn counts(pod: &Object) -> bool {
    !pod.is_terminating() && !["Succeeded", "Failed"].contains(&pod.text("/status/phase"))
}

/// The pod belongs to the workload that manifests call so.
pub(crate) fn is_of_workload(pod: &Object, workload: &str) -> bool {
    if let Some(name) = pod.labels().get(WORKLOAD) {
        return name == workload;
    }
    // `shop-5d8f7c9b4-abcde` is of `shop`, and so is `shop-v1-2-3-1a2b3c4d-5d8f7c9b4-abcde`, but not of `shop-front`.
    let labels = pod.labels();
    let owner = pod.list("/metadata/ownerReferences").first().and_then(|owner| owner["name"].as_str());
    let mut name = owner.unwrap_or_default();
    for label in ["pod-template-hash"].iter().chain(&ENDS) {
        let end = labels.get(*label).and_then(|end| name.strip_suffix(end.as_str())?.strip_suffix('-'));
        name = end.unwrap_or(name);
    }
    name == workload
}

/// The port for requests to a pod: what the step says, else the port of its first container that names one.
pub(crate) fn port_of(pod: &Object, said: Option<u16>) -> Option<u16> {
    let mut containers = pod.list("/spec/containers").iter();
    let first = containers.find_map(|container| container["ports"][0]["containerPort"].as_u64());
    said.or_else(|| u16::try_from(first?).ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_that_was_evicted_or_goes_does_not_count() {
        let pod = |phase: &str, ends: Option<&str>| {
            Object(json!({"kind": "Pod", "metadata": {"deletionTimestamp": ends}, "status": {"phase": phase}}))
        };
        assert!(counts(&pod("Running", None)) && counts(&pod("Pending", None)));
        assert!(!counts(&pod("Failed", None)) && !counts(&pod("Succeeded", None)));
        assert!(!counts(&pod("Running", Some("2026-01-01T00:00:00Z"))));
    }

    #[test]
    fn an_adopted_pod_belongs_to_the_workload_that_made_it() {
        let pod = |labels, owner: &str| {
            Object(json!({"kind": "Pod", "metadata": {"labels": labels, "ownerReferences": [{"name": owner}]}}))
        };
        let adopted = pod(json!({"pod-template-hash": "5d8f"}), "shop-5d8f");
        assert!(is_of_workload(&adopted, "shop") && !is_of_workload(&adopted, "sho"));
        assert!(is_of_workload(&pod(json!({}), "db"), "db"));
        let ours = pod(json!({"pod-template-hash": "5d8f", ENDS[0]: "v1-2-3-1a2b"}), "shop-v1-2-3-1a2b-5d8f");
        assert!(is_of_workload(&ours, "shop") && !is_of_workload(&ours, "shop-v1-2-3-1a2b"));
        assert!(is_of_workload(&pod(json!({WORKLOAD: "shop"}), "other-5d8f"), "shop"));
    }
}
