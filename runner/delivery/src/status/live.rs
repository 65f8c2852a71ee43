//! The Services: whom each selects, and how many endpoints are ready.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Found;
use crate::Object;
use crate::cluster::Endpoints;
use crate::object::selects;
use crate::rollout::of_template;

/// One Service.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ServiceStatus {
    /// Its name.
    pub name: String,
    /// Its selector.
    pub selector: BTreeMap<String, String>,
    /// The workloads whose pods it selects.
    pub workloads: Vec<String>,
    /// Ready endpoints; None where they cannot be read.
    pub ready: Option<usize>,
    /// Endpoints that are not.
    pub not_ready: Option<usize>,
}

/// The Services that select something by labels.
pub(super) fn services(found: &Found) -> Vec<ServiceStatus> {
    let with_selector = found.services.iter().filter(|service| !service.texts("/spec/selector").is_empty());
    with_selector.map(|service| one(service, found)).collect()
}

fn one(service: &Object, found: &Found) -> ServiceStatus {
    let selector = service.texts("/spec/selector");
    let of_service = |slice: &&Object| slice.text("/metadata/labels/kubernetes.io~1service-name") == service.name();
    let slices: Vec<Object> = found.slices.iter().filter(of_service).cloned().collect();
    let endpoints = Endpoints::from_slices(&slices);
    let seen = !found.lacks(&["EndpointSlice"]);
    let selected = |workload: &&Object| {
        let pods = found.pods.iter().filter(|pod| of_template(workload, pod));
        selects(&selector, &workload.pod_labels()) || pods.into_iter().any(|pod| selects(&selector, &pod.labels()))
    };
    ServiceStatus {
        name: service.name().to_owned(),
        workloads: found.workloads.iter().filter(selected).map(|one| one.name().to_owned()).collect(),
        selector,
        ready: seen.then_some(endpoints.ready.len()),
        not_ready: seen.then_some(endpoints.not_ready.len()),
    }
}
