//! Which live objects are meant.

use serde_json::Value;

use crate::Object;
use crate::cluster::{Cluster, ClusterError, Labels};
use crate::inputs::{WorkloadRef, did_you_mean};
use crate::object::selects;
use crate::render::config::references;
use crate::unit::{PREVIEW, WORKLOAD};

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
            let selected: Vec<&Object> = found.iter().filter(|each| self.is_selected(each)).copied().collect();
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

    /// Whether a Service sends requests to its pods. One that shows a release before it is live does not count.
    fn is_selected(&self, workload: &Object) -> bool {
        let labels = workload.pod_labels();
        let mut services = self.services.iter().filter(|service| !service.labels().contains_key(PREVIEW));
        services.any(|service| selects(&service.texts("/spec/selector"), &labels))
    }

    /// Which of the names that stand for a ConfigMap or Secret is in use: the one that workloads read which a Service
    /// selects, for a release that is kept for the way back reads its own; where none of these reads one, the one that
    /// anything reads, or its own name. `others` may read it too.
    ///
    /// # Errors
    /// Several are in use, and its own name is none of them.
    pub(crate) fn in_use<'n>(
        &self,
        kind: &str,
        base: &'n str,
        names: &[&'n str],
        others: &[Object],
    ) -> Result<Option<&'n str>, String> {
        let refers = |each: &Object, name: &str| references(each).iter().any(|(of, to)| of == kind && to == name);
        let live = |name: &&&str| self.all.iter().any(|each| self.is_selected(each) && refers(each, name));
        let read = |name: &&&str| self.all.iter().chain(others).any(|each| refers(each, name));
        let mut used: Vec<&str> = names.iter().filter(live).copied().collect();
        if used.is_empty() {
            used = names.iter().filter(read).copied().collect();
        }
        if used.is_empty() {
            used = names.iter().filter(|name| **name == base).copied().collect();
        }
        match used.as_slice() {
            [] => Ok(None),
            [one] => Ok(Some(*one)),
            several if several.contains(&base) => Ok(Some(base)),
            several => Err(format!("{base} may be each of {}; name one", several.join(", "))),
        }
    }

    /// All of them.
    pub(crate) fn all(&self) -> &[Object] {
        &self.all
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

/// Whether an object stands for another under a name by content: `NAME-` and ten letters, ours or kustomize's.
pub(crate) fn named_by_content(name: &str, base: &str) -> bool {
    let hash = name.strip_prefix(base).and_then(|rest| rest.strip_prefix('-')).unwrap_or_default();
    hash.len() == 10 && hash.chars().all(|c| c.is_ascii_hexdigit() || "ghkmt".contains(c))
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A Deployment of a release that reads a ConfigMap.
    fn reader(name: &str, release: &str, map: &str) -> Object {
        Object(json!({"kind": "Deployment", "metadata": {"name": name}, "spec": {"template": {
            "metadata": {"labels": {"app": "shop", "release": release}},
            "spec": {"containers": [{"name": "c", "envFrom": [{"configMapRef": {"name": map}}]}]}}}}))
    }

    fn service(release: &str, labels: &Value) -> Object {
        let selector = json!({"app": "shop", "release": release});
        Object(
            json!({"kind": "Service", "metadata": {"name": release, "labels": labels}, "spec": {"selector": selector}}),
        )
    }

    const OLD: &str = "conf-0123456789";
    const NEW: &str = "conf-abcdef0123";

    #[test]
    fn what_the_live_release_reads_is_in_use() {
        let all = vec![reader("shop-v1", "v1", OLD), reader("shop-v2", "v2", NEW)];
        let in_use = |live: &Live, names: &[&'static str]| live.in_use("ConfigMap", "conf", names, &[]);
        let live = Live { all: all.clone(), services: vec![service("v2", &json!({}))] };
        assert_eq!(in_use(&live, &[OLD, NEW]), Ok(Some(NEW)));
        // It was the other way round while v2 was only shown.
        let services = vec![service("v1", &json!({})), service("v2", &json!({PREVIEW: "shop"}))];
        assert_eq!(in_use(&Live { all: all.clone(), services }, &[OLD, NEW]), Ok(Some(OLD)));
        // Nothing tells them apart.
        let nobody = Live { all, services: Vec::new() };
        assert_eq!(in_use(&nobody, &[OLD, NEW]), Err(format!("conf may be each of {OLD}, {NEW}; name one")));
        assert_eq!(in_use(&nobody, &["conf", "conf-other"]), Ok(Some("conf")));
        assert_eq!(in_use(&nobody, &["conf-other"]), Ok(None));
    }

    #[test]
    fn a_name_by_content_is_no_longer_name() {
        assert!(named_by_content(OLD, "conf") && named_by_content("conf-2456789bcg", "conf"));
        assert!(!named_by_content("conf-production", "conf") && !named_by_content("config-0123456789", "conf"));
    }
}
