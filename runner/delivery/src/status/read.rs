//! Reads a namespace: each kind once, and what may not be read is told instead of ending the view.

use std::collections::BTreeMap;

use super::{EnvironmentStatus, Found, Unread, is_troubled, usage};
use crate::Object;
use crate::cluster::{Cluster, ClusterError, Labels};
use crate::diagnose;
use crate::operate::Note;

/// Logs of so many pods in trouble are read, and so many of their last lines shown.
const LOGS: usize = 3;
const LINES: usize = 5;

/// Reads a namespace.
///
/// # Errors
/// The cluster cannot be asked at all. A kind that cannot be read is told in the status; a cluster that measures no usage is
/// nothing that is missing.
pub async fn read(cluster: &Cluster) -> Result<EnvironmentStatus, ClusterError> {
    let mut reading = Reading { cluster, unread: Vec::new() };
    let mut found = Found {
        services: reading.list("v1", "Service").await?,
        slices: reading.list("discovery.k8s.io/v1", "EndpointSlice").await?,
        pods: reading.list("v1", "Pod").await?,
        autoscalers: reading.list("autoscaling/v2", "HorizontalPodAutoscaler").await?,
        budgets: reading.list("policy/v1", "PodDisruptionBudget").await?,
        events: reading.list("v1", "Event").await?,
        notes: reading.or_unread("ConfigMap", Note::all(cluster).await)?,
        usage: usage::read(cluster).await,
        ..Found::default()
    };
    for kind in ["Deployment", "StatefulSet", "DaemonSet"] {
        found.workloads.extend(reading.list("apps/v1", kind).await?);
    }
    found.logs = logs(cluster, &found.pods).await;
    found.unread = reading.unread;
    Ok(EnvironmentStatus::of(cluster.target().clone(), &found))
}

struct Reading<'a> {
    cluster: &'a Cluster,
    unread: Vec<Unread>,
}

impl Reading<'_> {
    async fn list(&mut self, api_version: &str, kind: &str) -> Result<Vec<Object>, ClusterError> {
        let listed = self.cluster.list(api_version, kind, &Labels::new()).await;
        self.or_unread(kind, listed)
    }

    /// Nothing, and a word why, where the cluster answers and does not give it.
    fn or_unread<T>(&mut self, kind: &str, read: Result<Vec<T>, ClusterError>) -> Result<Vec<T>, ClusterError> {
        match read {
            Err(
                error @ (ClusterError::Forbidden { .. }
                | ClusterError::Denied { .. }
                | ClusterError::NotServed { .. }
                | ClusterError::NotFound(_)
                | ClusterError::Refused { .. }),
            ) => {
                self.unread.push(Unread { kind: kind.to_owned(), why: error.to_string(), next: error.next() });
                Ok(Vec::new())
            }
            read => read,
        }
    }
}

/// The last lines of the first pods in trouble; a log that cannot be read is left out.
async fn logs(cluster: &Cluster, pods: &[Object]) -> BTreeMap<String, Vec<String>> {
    let mut logs = BTreeMap::new();
    for pod in pods.iter().filter(|pod| is_troubled(pod)).take(LOGS) {
        if let Some(text) = diagnose::log(cluster, pod).await {
            logs.insert(pod.name().to_owned(), last(&text));
        }
    }
    logs
}

fn last(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines.iter().skip(lines.len().saturating_sub(LINES)).map(|line| (*line).to_owned()).collect()
}
