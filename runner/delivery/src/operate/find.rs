//! Which live objects are meant.

use serde_json::Value;

use crate::Object;
use crate::cluster::{Cluster, ClusterError, Labels};
use crate::inputs::{WorkloadRef, did_you_mean};
use crate::object::selects;
use crate::render::config::references;
use crate::unit::WORKLOAD;

const KINDS: [&str; 3] = ["Deployment", "StatefulSet", "DaemonSet"];

/// Everything in the namespace that runs pods for long, with the Services.
pub(crate) struct Live {
    all: Vec<Object>,
    services: Vec<Object>,
}

/// Looks: four requests.
pub(crate) async fn workloads(cluster: &Cluster) -> Result<Live, ClusterError> {
    let none = Labels::new();
    let mut all = Vec::new();
    for kind in KINDS {
        all.extend(cluster.list("apps/v1", kind, &none).await?);
    }
    all.retain(|each| !each.is_terminating());
    Ok(Live { all, services: cluster.list("v1", "Service", &none).await? })
}

impl Live {
    /// The workload that is meant: by its own name, or, of a release that stands under a name of its own, by its name in the
    /// manifests; then the one that a Service selects.
    pub(crate) fn find(&self, wanted: &WorkloadRef) -> Result<&Object, String> {
        let kind = |each: &&Object| wanted.kind.as_deref().is_none_or(|kind| kind == each.kind());
        let exact = self.all.iter().filter(kind).find(|each| each.name() == wanted.name);
        let of_name = |each: &&Object| each.labels().get(WORKLOAD).is_some_and(|name| *name == wanted.name);
        let mut found: Vec<&Object> = self.all.iter().filter(kind).filter(of_name).collect();
        if found.len() > 1 {
            let live = |each: &&&Object| {
                let labels = each.pod_labels();
                self.services.iter().any(|service| selects(&service.texts("/spec/selector"), &labels))
            };
            let selected: Vec<&Object> = found.iter().filter(live).copied().collect();
            if !selected.is_empty() {
                found = selected;
            }
        }
        match (exact, found.as_slice()) {
            (Some(exact), _) => Ok(exact),
            (None, [one]) => Ok(one),
            (None, []) => {
                let names: Vec<&str> = self.all.iter().map(Object::name).collect();
                let guess = did_you_mean(&wanted.name, names.iter().copied());
                Err(format!("there is no workload {wanted}; there are: {}{guess}", names.join(", ")))
            }
            (None, several) => {
                let names: Vec<&str> = several.iter().map(|each| each.name()).collect();
                Err(format!("{wanted} may be each of {}; name one", names.join(", ")))
            }
        }
    }

    /// All of them.
    pub(crate) fn into_all(self) -> Vec<Object> {
        self.all
    }

    /// Those whose pods read a ConfigMap or Secret.
    pub(crate) fn readers(&self, kind: &str, name: &str) -> Vec<&Object> {
        let reads = |each: &&Object| references(each).iter().any(|(of, to)| of == kind && to == name);
        self.all.iter().filter(reads).collect()
    }
}

/// The container that is meant: the named one, or the only one.
pub(super) fn container(workload: &Object, wanted: Option<&str>) -> Result<String, String> {
    let names = containers(workload);
    match (wanted, names.as_slice()) {
        (Some(wanted), _) if names.iter().any(|name| name == wanted) => Ok(wanted.to_owned()),
        (None, [one]) => Ok(one.clone()),
        (Some(wanted), _) => {
            let guess = did_you_mean(wanted, names.iter().map(String::as_str));
            Err(format!("container \"{wanted}\" not in {}; it has: {}{guess}", workload.name(), names.join(", ")))
        }
        (None, _) => Err(format!("{} has several containers; give container: {}", workload.name(), names.join(", "))),
    }
}

pub(super) fn containers(workload: &Object) -> Vec<String> {
    let at = workload.template_pointer().unwrap_or("/none");
    let all = workload.list(&format!("{at}/spec/containers")).iter();
    all.filter_map(|each| each.get("name").and_then(Value::as_str).map(str::to_owned)).collect()
}
