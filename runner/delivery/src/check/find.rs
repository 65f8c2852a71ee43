//! The release that a step of its own checks: found in the cluster by the marks that a deploy left.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::subject::{Subject, counts, is_of_workload};
use crate::cluster::{Cluster, ClusterError, Labels, TRAFFIC};
use crate::inputs::WorkloadRef;
use crate::unit::{PREVIEW, RELEASE, UNIT, VERSION, WORKLOAD};
use crate::{DeliveryError, Failure, Object};

/// What the cluster has of a unit.
pub(super) struct Found {
    unit: String,
    workloads: Vec<Object>,
    /// The Services that users' traffic goes through.
    pub(super) services: Vec<Object>,
}

impl Found {
    /// Reads the unit's workloads and Services. `service`: this one instead.
    pub(super) async fn read(cluster: &Cluster, unit: &str, service: Option<&str>) -> Result<Self, ClusterError> {
        let own = Labels::from([(UNIT.to_owned(), unit.to_owned())]);
        let mut workloads = Vec::new();
        for kind in ["Deployment", "StatefulSet", "DaemonSet"] {
            workloads.extend(cluster.list("apps/v1", kind, &own).await?);
        }
        let services = if let Some(name) = service {
            let id = cluster.id("v1", "Service", name);
            vec![cluster.get(&id).await?.ok_or_else(|| ClusterError::NotFound(id.to_string()))?]
        } else {
            let all = cluster.list("v1", "Service", &own).await?;
            all.into_iter().filter(|service| !service.labels().contains_key(PREVIEW)).collect()
        };
        Ok(Self { unit: unit.to_owned(), workloads, services })
    }

    /// The release of a version.
    pub(super) fn release(&self, version: &str) -> Result<Subject, Failure> {
        let of_version = |each: &&Object| each.annotations().get(VERSION).map(String::as_str) == Some(version);
        let of_version: Vec<&Object> = self.workloads.iter().filter(of_version).collect();
        let releases: BTreeSet<String> =
            of_version.iter().filter_map(|each| each.labels().get(RELEASE).cloned()).collect();
        // Two releases of one version: the newest is meant.
        let made = |release: &String| {
            let of = of_version.iter().filter(|each| each.labels().get(RELEASE) == Some(release));
            of.map(|each| each.text("/metadata/creationTimestamp").to_owned()).max()
        };
        let Some(release) = releases.into_iter().max_by_key(made) else {
            let why = format!("no workload of unit {} has version {version}", self.unit);
            return Err(Failure::new(format!("{version} is not in the cluster"), why)
                .next("deploy it first, or correct `name`"));
        };
        let own = |each: &&&Object| each.labels().get(RELEASE) == Some(&release);
        let workloads = of_version.iter().filter(own).map(|each| each.name().to_owned()).collect();
        Ok(Subject {
            unit: self.unit.clone(),
            version: version.to_owned(),
            pods: vec![Labels::from([(RELEASE.to_owned(), release.clone())])],
            release,
            workloads,
            port: self.port(),
        })
    }

    /// Whoever was there before this release: the unit's workloads by their names in the manifests and in the cluster.
    pub(super) fn before(&self, release: &Subject) -> Subject {
        let mut names = BTreeSet::new();
        for workload in &self.workloads {
            if let Some(name) = workload.labels().get(WORKLOAD) {
                names.insert(name.clone());
            }
            names.insert(workload.name().to_owned());
        }
        Subject {
            version: "before".to_owned(),
            release: String::new(),
            pods: Vec::new(),
            workloads: names.into_iter().collect(),
            ..release.clone()
        }
    }

    /// The port that the unit's Services send to, where it is a number.
    fn port(&self) -> Option<u16> {
        let mut ports = self.services.iter().flat_map(|service| service.list("/spec/ports"));
        ports.find_map(|port| u16::try_from(port["targetPort"].as_u64()?).ok())
    }

    /// The version that users get: of the pods that the Service selects.
    pub(super) async fn serves(&self, cluster: &Cluster) -> Result<String, ClusterError> {
        let Some(service) = self.services.first() else { return Ok("nothing".to_owned()) };
        let selector = service.texts("/spec/selector");
        if selector.is_empty() {
            return Ok("nothing".to_owned());
        }
        Ok(versions(&cluster.pods(&selector).await?))
    }

    /// The one version that users get.
    pub(super) async fn live(&self, cluster: &Cluster) -> Result<String, DeliveryError> {
        let serves = self.serves(cluster).await?;
        let of_unit = |each: &&Object| each.annotations().get(VERSION) == Some(&serves);
        if self.workloads.iter().any(|each| of_unit(&each)) {
            return Ok(serves);
        }
        let why = format!("{serves} of unit {} is live", self.unit);
        let next = "say which version is meant: expect-version";
        Err(Failure::new("there is no one release to test", why).next(next).into())
    }

    /// Since when the unit's traffic is where it is: when its selector was moved, else when the last pod was ready.
    pub(super) fn since(&self, pods: &[Object]) -> Option<Timestamp> {
        let moved = self.services.iter().flat_map(|service| service.list("/metadata/managedFields"));
        let moved = moved.filter(|entry| entry["manager"] == TRAFFIC).filter_map(|entry| entry["time"].as_str());
        let ready = pods.iter().flat_map(|pod| pod.list("/status/conditions"));
        let ready = ready.filter(|each| each["type"] == "Ready").filter_map(|each| each["lastTransitionTime"].as_str());
        let newest = |times: Vec<&str>| times.into_iter().filter_map(|time| time.parse().ok()).max();
        newest(moved.collect()).or_else(|| newest(ready.collect()))
    }
}

/// The versions of those pods that count, in one line.
fn versions(pods: &[Object]) -> String {
    let of = |pod: &Object| pod.annotations().get(VERSION).cloned().unwrap_or_else(|| "an unknown version".to_owned());
    let versions: BTreeSet<String> = pods.iter().filter(|pod| counts(pod)).map(of).collect();
    let versions: Vec<String> = versions.into_iter().collect();
    if versions.is_empty() { "nothing".to_owned() } else { versions.join(" and ") }
}

/// Those pods that belong to one of the workloads; all where none is named.
pub(super) fn of_workloads(pods: Vec<Object>, workloads: &[WorkloadRef]) -> Vec<Object> {
    let named = |pod: &Object| workloads.is_empty() || workloads.iter().any(|each| is_of_workload(pod, &each.name));
    pods.into_iter().filter(named).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_evicted_pod_of_before_serves_nobody() {
        let pod = |version: &str, phase: &str| {
            Object(json!({"kind": "Pod", "metadata": {"annotations": {VERSION: version}}, "status": {"phase": phase}}))
        };
        assert_eq!(versions(&[pod("1.2.2", "Failed"), pod("1.2.3", "Running")]), "1.2.3");
        assert_eq!(versions(&[pod("1.2.2", "Running"), pod("1.2.3", "Running")]), "1.2.2 and 1.2.3");
        assert_eq!(versions(&[pod("1.2.2", "Failed")]), "nothing");
    }
}
