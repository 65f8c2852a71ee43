//! What is live now: found from the Services' selectors, never from a label on a Deployment alone. Where no Service tells,
//! it is the release that was proved last.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::proof::proved;
use crate::cluster::{Cluster, ClusterError, Labels};
use crate::object::selects;
use crate::unit::{Colour, RELEASE, Role, UNIT, VERSION, WORKLOAD, colour_of, role, slug};
use crate::{Object, ObjectId};

/// What Deployments mark the pods of one template with: in no template, but in selectors that were narrowed.
pub(super) const HASH: &str = "pod-template-hash";

/// The release that has the traffic.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveRelease {
    /// Its id; of what Tagline has not made `adopted-` and the start of its UID.
    pub release: String,
    /// Its version: what its pods say, else their image's tag or digest.
    pub version: String,
}

/// What a survey lists.
const LOOKED_AT: [(&str, &str); 4] =
    [("v1", "Service"), ("apps/v1", "Deployment"), ("apps/v1", "StatefulSet"), ("apps/v1", "DaemonSet")];

/// The Services and workloads of the namespace, as they are.
#[derive(Default)]
pub(crate) struct Survey {
    /// Services by name.
    pub(crate) services: BTreeMap<String, Object>,
    /// Deployments by name.
    pub(crate) deployments: BTreeMap<String, Object>,
    /// StatefulSets and DaemonSets.
    pub(crate) others: Vec<Object>,
    /// For each template hash that a Service selects by: the Deployments that made pods of it, where that is known.
    pub(crate) hashes: BTreeMap<String, BTreeSet<String>>,
}

impl Survey {
    /// Looks: four requests, and one for each Service that selects by a template's hash.
    pub(crate) async fn take(cluster: &Cluster) -> Result<Self, ClusterError> {
        let by_name = |objects: Vec<Object>| objects.into_iter().map(|each| (each.name().to_owned(), each)).collect();
        let none = Labels::new();
        let lists = LOOKED_AT.map(|(api_version, kind)| cluster.list(api_version, kind, &none));
        let all = try_join_all(lists).await?.into_iter().flatten();
        let (services, workloads): (Vec<_>, Vec<_>) = all.partition(|each| each.kind() == "Service");
        let (deployments, others) = workloads.into_iter().partition(|each| each.kind() == "Deployment");
        let mut hashes = BTreeMap::new();
        for hash in services.iter().filter_map(|each| each.texts("/spec/selector").remove(HASH)) {
            let sets = cluster.list("apps/v1", "ReplicaSet", &Labels::from([(HASH.to_owned(), hash.clone())])).await?;
            let owners: BTreeSet<String> = sets.iter().filter_map(owner).collect();
            if !owners.is_empty() {
                hashes.insert(hash, owners);
            }
        }
        Ok(Self { services: by_name(services), deployments: by_name(deployments), others, hashes })
    }

    /// All workloads.
    pub(crate) fn workloads(&self) -> impl Iterator<Item = &Object> {
        self.deployments.values().chain(&self.others)
    }

    /// The workload of that kind and name, if it is there to stay.
    pub(crate) fn workload(&self, wanted: &Object) -> Option<&Object> {
        let mut all = self.workloads().filter(|each| !each.is_terminating());
        all.find(|each| each.kind() == wanted.kind() && each.name() == wanted.name())
    }

    /// Whether a Service sends its traffic to a workload's pods. A template's hash is no label of the template: whose it is
    /// is known from its `ReplicaSet`, and where that is gone it may be anybody's.
    pub(crate) fn routes(&self, service: &Object, workload: &Object) -> bool {
        let mut selector = service.texts("/spec/selector");
        let labels = workload.pod_labels();
        let Some(hash) = selector.remove(HASH) else { return selects(&selector, &labels) };
        let fits = selector.iter().all(|(key, value)| labels.get(key) == Some(value));
        let made = |owners: &BTreeSet<String>| owners.contains(workload.name());
        fits && workload.kind() == "Deployment" && self.hashes.get(&hash).is_none_or(made)
    }

    /// The Deployment that is live in the place of a workload. `services`: the names of the Services that select it in the
    /// manifests; `alone`: no other workload of the unit is behind them.
    ///
    /// # Errors
    /// One line where several could be meant.
    pub(crate) fn counterpart(&self, base: &str, services: &[&str], alone: bool) -> Result<Option<&Object>, String> {
        let found: Vec<&Object> = services.iter().filter_map(|name| self.services.get(*name)).collect();
        let behind = |each: &&Object| runs(each) && found.iter().any(|service| self.routes(service, each));
        let all: Vec<&Object> = self.deployments.values().filter(behind).collect();
        let own: Vec<&Object> = all.iter().copied().filter(|each| belongs(each, base)).collect();
        match (own.as_slice(), all.as_slice()) {
            ([one], _) => Ok(Some(one)),
            ([], [one]) if alone => Ok(Some(one)),
            ([], _) => Ok(None),
            (several, _) => Err(format!(
                "Service {} selects pods of {} at once; leave it one release before the next",
                services.join(", "),
                named(several)
            )),
        }
    }

    /// The Deployment in the place of a workload that no Service selects: of the release that is live, or in its colour, or
    /// the one that runs and is of no release.
    pub(crate) fn beside(&self, base: &str, live: Option<&LiveRelease>, colour: Option<Colour>) -> Option<&Object> {
        let own: Vec<&Object> = self.deployments.values().filter(|each| belongs(each, base)).collect();
        let of_release =
            |each: &&&Object| live.is_some_and(|live| each.pod_labels().get(RELEASE) == Some(&live.release));
        let of_colour = |each: &&&Object| colour.is_some() && colour_of(each.name()).1 == colour;
        let found = own.iter().find(of_release).or_else(|| own.iter().find(of_colour));
        found.or_else(|| own.iter().find(|each| is_plain(each) && runs(each))).copied()
    }

    /// The Deployment that is live in the place of a workload of a unit without Services: of those that run the one that was
    /// proved last, else the one of no release, else the only one.
    ///
    /// # Errors
    /// One line where several could be meant.
    pub(crate) fn running(&self, base: &str) -> Result<Option<&Object>, String> {
        let all = self.in_place_of(base);
        if let Some(last) = all.iter().filter(|each| proved(each).is_some()).max_by_key(|each| proved(each)) {
            return Ok(Some(last));
        }
        let plain: Vec<&Object> = all.iter().copied().filter(|each| is_plain(each)).collect();
        match (plain.as_slice(), all.as_slice()) {
            ([one], _) | ([], [one]) => Ok(Some(one)),
            ([], []) => Ok(None),
            _ => Err(format!("{} run at once and no Service says which is live; scale what is not to 0", named(&all))),
        }
    }

    /// The Deployments that run in a workload's place, whatever their release.
    pub(crate) fn in_place_of(&self, base: &str) -> Vec<&Object> {
        self.deployments.values().filter(|each| belongs(each, base) && runs(each)).collect()
    }

    /// The selector of a Service that has one.
    pub(crate) fn selector(&self, service: &str) -> Option<Labels> {
        let selector = self.services.get(service)?.texts("/spec/selector");
        (!selector.is_empty()).then_some(selector)
    }
}

/// The release that is live of a unit that is changed in place: that of the first of its workloads, in the manifests' order,
/// for which `now` knows one. The same rule for what is planned and for what is begun.
pub(crate) fn live_in_place(objects: &[Object], now: impl Fn(&Object) -> Option<LiveRelease>) -> Option<LiveRelease> {
    objects.iter().filter(|object| role(object) == Role::Workload).find_map(now)
}

fn owner(replica_set: &Object) -> Option<String> {
    let owner = replica_set.list("/metadata/ownerReferences").iter().find(|each| each["kind"] == "Deployment")?;
    Some(owner["name"].as_str()?.to_owned())
}

fn named(workloads: &[&Object]) -> String {
    workloads.iter().map(|each| each.id().to_string()).collect::<Vec<_>>().join(" and ")
}

/// Of no release: not made by Tagline.
fn is_plain(deployment: &Object) -> bool {
    !deployment.pod_labels().contains_key(RELEASE)
}

/// Whether a Deployment stands in a workload's place, whatever its release.
fn belongs(deployment: &Object, base: &str) -> bool {
    let marked = deployment.labels().get(WORKLOAD).is_some_and(|each| *each == slug(base, 63));
    marked || deployment.name() == base || colour_of(deployment.name()).0 == base
}

fn runs(deployment: &Object) -> bool {
    deployment.number("/spec/replicas").unwrap_or(1) > 0 && !deployment.is_terminating()
}

/// The release that a workload's pods are of.
pub(crate) fn release_of(workload: &Object) -> LiveRelease {
    let release = workload.pod_labels().get(RELEASE).cloned();
    let release = release.unwrap_or_else(|| format!("adopted-{}", workload.uid().chars().take(8).collect::<String>()));
    LiveRelease { release, version: version_of(workload) }
}

/// The version of a workload's pods: what they are marked with, else their first image's tag, else its digest.
pub(crate) fn version_of(workload: &Object) -> String {
    let template = workload.template_pointer().unwrap_or("/spec/template");
    let marked = workload.texts(&format!("{template}/metadata/annotations")).remove(VERSION);
    let mut labels = workload.pod_labels();
    let version = marked.or_else(|| labels.remove("app.kubernetes.io/version")).or_else(|| labels.remove("version"));
    version.unwrap_or_else(|| {
        let containers = workload.list(&format!("{template}/spec/containers"));
        let image = containers.first().and_then(|each| each["image"].as_str()).unwrap_or_default();
        let tail = image.rsplit('/').next().unwrap_or(image);
        match tail.split_once("@sha256:") {
            Some((name, digest)) => format!("{name}@{}", digest.chars().take(12).collect::<String>()),
            None => tail.split_once(':').map_or(tail, |(_, tag)| tag).trim_start_matches('v').to_owned(),
        }
    })
}

/// As [`Object::id`], in the target's namespace where it names none.
pub(crate) fn id_in(object: &Object, cluster: &Cluster) -> ObjectId {
    let mut id = object.id();
    id.namespace.get_or_insert_with(|| cluster.namespace().to_owned());
    id
}

/// An object as it could be applied again: what the server or its controllers set is left out.
pub(crate) fn settled(object: &Object) -> Object {
    let mut object = object.clone();
    for pointer in [
        "/status",
        "/metadata/uid",
        "/metadata/resourceVersion",
        "/metadata/generation",
        "/metadata/creationTimestamp",
        "/metadata/managedFields",
        "/metadata/selfLink",
        "/metadata/ownerReferences",
        "/metadata/annotations/deployment.kubernetes.io~1revision",
        "/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration",
        "/spec/template/metadata/creationTimestamp",
        "/spec/healthCheckNodePort",
    ] {
        object.remove(pointer);
    }
    if object.kind() == "Service" && object.text("/spec/clusterIP") != "None" {
        object.remove("/spec/clusterIP");
        object.remove("/spec/clusterIPs");
    }
    if object.kind() == "Secret" {
        for pointer in ["/data", "/stringData"] {
            object.remove(pointer);
        }
    }
    if object.0.pointer("/metadata/annotations").and_then(Value::as_object).is_some_and(serde_json::Map::is_empty) {
        object.remove("/metadata/annotations");
    }
    object
}

/// The objects of the unit that bear its label and are of other releases' workloads: those that stand by.
pub(crate) fn is_of(object: &Object, unit: &str) -> bool {
    object.labels().get(UNIT).is_some_and(|each| each == unit)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::unit::PROVED;

    #[expect(clippy::needless_pass_by_value, reason = "tests hand over what they have just made")]
    fn survey(deployments: &[(&str, &str, i64)], selector: Value) -> Survey {
        let deployment = |(name, colour, replicas): &(&str, &str, i64)| {
            let object = Object(
                json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "uid": "0123456789"},
                "spec": {"replicas": replicas, "template": {"metadata": {"labels": {"app": "shop", "deployment": colour}}}}}),
            );
            ((*name).to_owned(), object)
        };
        let service = Object(json!({"kind": "Service", "metadata": {"name": "shop"}, "spec": {"selector": selector}}));
        Survey {
            services: BTreeMap::from([("shop".to_owned(), service)]),
            deployments: deployments.iter().map(deployment).collect(),
            ..Survey::default()
        }
    }

    #[test]
    fn live_is_what_the_service_selects() {
        let pair = [("shop-blue", "blue", 3), ("shop-green", "green", 3)];
        let survey = survey(&pair, json!({"app": "shop", "deployment": "green"}));
        let live = survey.counterpart("shop", &["shop"], true).unwrap().unwrap();
        assert_eq!(live.name(), "shop-green");
        assert_eq!(release_of(live).release, "adopted-01234567");
    }

    #[test]
    fn a_name_of_any_kind_is_adopted_where_one_deployment_is_behind_the_service() {
        let found = survey(&[("old-name", "x", 1), ("idle", "x", 0)], json!({"app": "shop"}));
        assert_eq!(found.counterpart("shop", &["shop"], true).unwrap().map(Object::name), Some("old-name"));
        assert_eq!(found.counterpart("shop", &["shop"], false).unwrap(), None);
    }

    #[test]
    fn two_releases_behind_one_service_are_refused() {
        let pair = [("shop-blue", "blue", 3), ("shop-green", "green", 3)];
        let wrong = survey(&pair, json!({"app": "shop"})).counterpart("shop", &["shop"], true).unwrap_err();
        assert!(wrong.contains("Deployment/shop-blue and Deployment/shop-green"), "{wrong}");
    }

    #[test]
    fn a_version_is_what_the_pods_say() {
        let of = |image: &str, annotations: Value| {
            version_of(&Object(
                json!({"kind": "Deployment", "spec": {"template": {"metadata": {"annotations": annotations},
                "spec": {"containers": [{"image": image}]}}}}),
            ))
        };
        assert_eq!(of("r:5000/a/shop:v1.2.2", json!({})), "1.2.2");
        assert_eq!(of("r:5000/a/shop:v1.2.2", json!({VERSION: "1.2.3"})), "1.2.3");
        assert_eq!(of(&format!("shop@sha256:{}", "a".repeat(64)), json!({})), "shop@aaaaaaaaaaaa");
        assert_eq!(of("shop", json!({})), "shop");
    }

    /// A Service that was narrowed to one template: a release that never got its traffic is not behind it.
    #[test]
    fn what_a_narrowed_service_selects_is_live() {
        let all = [("shop", "x", 2), ("shop-v2", "x", 2)];
        let mut survey = survey(&all, json!({"app": "shop", HASH: "h1"}));
        survey.deployments.get_mut("shop-v2").unwrap().set("/metadata/labels", json!({WORKLOAD: "shop"}));
        survey.hashes.insert("h1".to_owned(), BTreeSet::from(["shop".to_owned()]));
        assert_eq!(survey.counterpart("shop", &["shop"], true).unwrap().map(Object::name), Some("shop"));
        let routed = |survey: &Survey, name: &str| survey.routes(&survey.services["shop"], &survey.deployments[name]);
        assert!(routed(&survey, "shop") && !routed(&survey, "shop-v2"));
        survey.hashes.clear();
        assert!(routed(&survey, "shop"), "a hash that nobody knows any more may be anybody's");
    }

    /// Three releases of a worker: the one proved last is live, however many pods the one before keeps.
    #[test]
    fn without_a_service_the_release_that_was_proved_last_is_live() {
        let names = [("worker-v1", "x", 1), ("worker-v2", "x", 2), ("worker-v3", "x", 2)];
        let mut survey = survey(&names, json!({"app": "shop"}));
        for (name, at) in [("v1", Some("2026-11-01T00:00:00Z")), ("v2", Some("2026-11-02T00:00:00Z")), ("v3", None)] {
            let deployment = survey.deployments.get_mut(&format!("worker-{name}")).unwrap();
            deployment.set("/metadata/labels", json!({WORKLOAD: "worker"}));
            deployment.set("/spec/template/metadata/labels", json!({RELEASE: name}));
            if let Some(at) = at {
                deployment.set("/metadata/annotations", json!({PROVED: format!("{name} {at}")}));
            }
        }
        assert_eq!(survey.running("worker").unwrap().map(Object::name), Some("worker-v2"));
        // Without any proof two that run are not told apart, and one is.
        for deployment in survey.deployments.values_mut() {
            deployment.remove("/metadata/annotations");
        }
        let wrong = survey.running("worker").unwrap_err();
        assert!(wrong.starts_with("Deployment/worker-v1 and Deployment/worker-v2 and"), "{wrong}");
        survey.deployments.retain(|name, _| name == "worker-v1");
        assert_eq!(survey.running("worker").unwrap().map(Object::name), Some("worker-v1"));
        assert_eq!(survey.running("web").unwrap(), None);
    }

    #[test]
    fn a_unit_in_place_is_live_whatever_kind_its_workloads_are() {
        let set = |kind: &str| {
            Object(json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "db"},
                "spec": {"template": {"metadata": {"labels": {RELEASE: "v1"}}}}}))
        };
        for kind in ["StatefulSet", "DaemonSet", "Deployment"] {
            let mut survey = survey(&[], json!({}));
            survey.others.push(set(kind));
            let rendered = [set(kind)];
            let planned = live_in_place(&rendered, |each| survey.workload(each).map(release_of));
            assert_eq!(planned.map(|live| live.release).as_deref(), Some("v1"), "{kind}");
        }
        assert_eq!(live_in_place(&[set("StatefulSet")], |_| None), None);
    }
}
