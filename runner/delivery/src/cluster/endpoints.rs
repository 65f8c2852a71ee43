//! Which pods a Service sends traffic to, as EndpointSlices have it: the truth about a switch.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Cluster, ClusterError, Labels};
use crate::{Object, ObjectId};

/// One pod behind a Service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// The pod's name; empty where the endpoint is no pod.
    pub pod: String,
    /// The pod's UID.
    pub uid: String,
    /// Its first address.
    pub ip: String,
    /// It is on its way out: still answered by some proxies.
    pub terminating: bool,
    /// The pod's labels; filled in by [`Cluster::labelled_endpoints`] only.
    pub labels: Labels,
}

impl Endpoint {
    /// The release it belongs to, where its labels are known.
    pub fn release(&self) -> Option<&str> {
        self.labels.get("tagline.dev/release").map(String::as_str)
    }
}

/// The pods behind a Service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Endpoints {
    /// Those that get traffic.
    pub ready: Vec<Endpoint>,
    /// Those that get none.
    pub not_ready: Vec<Endpoint>,
}

impl Endpoints {
    /// Of a Service's EndpointSlices: an endpoint named by several slices (IPv4 and IPv6, a slice being split) counts once.
    pub fn from_slices(slices: &[Object]) -> Self {
        let mut seen: BTreeMap<String, (bool, Endpoint)> = BTreeMap::new();
        for endpoint in slices.iter().flat_map(|slice| slice.list("/endpoints")) {
            let text = |pointer: &str| endpoint.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
            let is = |pointer: &str| endpoint.pointer(pointer).and_then(Value::as_bool);
            let found = Endpoint {
                pod: if text("/targetRef/kind") == "Pod" { text("/targetRef/name") } else { String::new() },
                uid: text("/targetRef/uid"),
                ip: text("/addresses/0"),
                terminating: is("/conditions/terminating").unwrap_or(false),
                labels: Labels::new(),
            };
            // Absent means ready (discovery.k8s.io/v1, EndpointConditions).
            let ready = is("/conditions/ready").unwrap_or(true);
            let key = if found.uid.is_empty() { found.ip.clone() } else { found.uid.clone() };
            let place = seen.entry(key).or_insert((ready, found));
            place.0 |= ready;
        }
        let (ready, not_ready): (Vec<_>, Vec<_>) = seen.into_values().partition(|(ready, _)| *ready);
        let only = |pairs: Vec<(bool, Endpoint)>| pairs.into_iter().map(|(_, endpoint)| endpoint).collect();
        Self { ready: only(ready), not_ready: only(not_ready) }
    }

    /// The releases that get traffic, and how many pods each; pods without the label count as ``.
    pub fn releases(&self) -> BTreeMap<String, usize> {
        let mut count = BTreeMap::new();
        for endpoint in &self.ready {
            *count.entry(endpoint.release().unwrap_or_default().to_owned()).or_default() += 1;
        }
        count
    }
}

/// The labels that a Service's EndpointSlices have: for [`Cluster::watch`] of `discovery.k8s.io/v1` `EndpointSlice`.
pub fn slices_of(service: &str) -> Labels {
    Labels::from([("kubernetes.io/service-name".to_owned(), service.to_owned())])
}

impl Cluster {
    /// The pods behind a Service, without their labels. One request.
    ///
    /// # Errors
    /// Those of reaching the server, and a missing right.
    pub async fn endpoints(&self, service: &str) -> Result<Endpoints, ClusterError> {
        let slices = self.list("discovery.k8s.io/v1", "EndpointSlice", &slices_of(service)).await?;
        Ok(Endpoints::from_slices(&slices))
    }

    /// The pods behind a Service with their labels: one request, and one for each pod.
    ///
    /// # Errors
    /// Those of reaching the server, and a missing right.
    pub async fn labelled_endpoints(&self, service: &str) -> Result<Endpoints, ClusterError> {
        let mut endpoints = self.endpoints(service).await?;
        for endpoint in endpoints.ready.iter_mut().chain(&mut endpoints.not_ready) {
            if endpoint.pod.is_empty() {
                continue;
            }
            let pod = self.get(&ObjectId::new("v1", "Pod", self.namespace(), &endpoint.pod)).await?;
            endpoint.labels = pod.map(|pod| pod.labels()).unwrap_or_default();
        }
        Ok(endpoints)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_endpoint_in_two_slices_counts_once_and_silence_means_ready() {
        let pod = |name: &str, ready: Value| {
            json!({"addresses": ["10.0.0.1"], "conditions": {"ready": ready},
            "targetRef": {"kind": "Pod", "name": name, "uid": name}})
        };
        let slices = [
            Object(json!({"endpoints": [pod("a", json!(true)), pod("b", json!(false))]})),
            Object(json!({"endpoints": [pod("a", json!(true)), {"addresses": ["10.0.0.9"]}]})),
            Object(json!({"endpoints": null})),
        ];
        let endpoints = Endpoints::from_slices(&slices);
        assert_eq!(endpoints.ready.iter().map(|each| each.pod.as_str()).collect::<Vec<_>>(), ["", "a"]);
        assert_eq!(endpoints.not_ready.len(), 1);
    }
}
