//! What pods use, where the cluster measures it (metrics.k8s.io).

use std::collections::BTreeMap;

use serde::Serialize;

use crate::Object;
use crate::cluster::{Cluster, Labels};

/// CPU and memory of one pod, a value for each container, as the cluster writes them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// `12m`.
    pub cpu: Vec<String>,
    /// `34Mi`.
    pub memory: Vec<String>,
}

/// By pod; empty where nothing measures.
pub(super) async fn read(cluster: &Cluster) -> BTreeMap<String, Usage> {
    if cluster.served("metrics.k8s.io/v1beta1", "PodMetrics").await.is_err() {
        return BTreeMap::new();
    }
    let measured = cluster.list("metrics.k8s.io/v1beta1", "PodMetrics", &Labels::new()).await.unwrap_or_default();
    measured.iter().map(|pod| (pod.name().to_owned(), of(pod))).collect()
}

fn of(pod: &Object) -> Usage {
    let all = |key: &str| {
        let containers = pod.list("/containers").iter();
        containers.filter_map(|one| one["usage"][key].as_str().map(str::to_owned)).collect()
    };
    Usage { cpu: all("cpu"), memory: all("memory") }
}
