//! What is live now: found from the Services' selectors, never from a label on a Deployment alone.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::cluster::{Cluster, ClusterError, Labels};
use crate::object::selects;
use crate::unit::{Colour, RELEASE, UNIT, VERSION, WORKLOAD, colour_of, slug};
use crate::{Object, ObjectId};

/// The release that has the traffic.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveRelease {
    /// Its id; of what Tagline has not made `adopted-` and the start of its UID.
    pub release: String,
    /// Its version: what its pods say, else their image's tag or digest.
    pub version: String,
}

/// The Services and Deployments of the namespace, as they are.
pub(crate) struct Survey {
    /// Services by name.
    pub(crate) services: BTreeMap<String, Object>,
    /// Deployments by name.
    pub(crate) deployments: BTreeMap<String, Object>,
}

impl Survey {
    /// Looks: two requests.
    pub(crate) async fn take(cluster: &Cluster) -> Result<Self, ClusterError> {
        let by_name = |objects: Vec<Object>| objects.into_iter().map(|each| (each.name().to_owned(), each)).collect();
        let none = Labels::new();
        let (services, deployments) =
            tokio::try_join!(cluster.list("v1", "Service", &none), cluster.list("apps/v1", "Deployment", &none))?;
        Ok(Self { services: by_name(services), deployments: by_name(deployments) })
    }

    /// The Deployment that is live in the place of a workload. `services`: the names of the Services that select it in the
    /// manifests; `alone`: no other workload of the unit is behind them.
    ///
    /// # Errors
    /// One line where several could be meant.
    pub(crate) fn counterpart(&self, base: &str, services: &[&str], alone: bool) -> Result<Option<&Object>, String> {
        let selectors: Vec<Labels> = services.iter().filter_map(|name| self.selector(name)).collect();
        if !selectors.is_empty() {
            let behind =
                |each: &&Object| runs(each) && selectors.iter().any(|selector| selects(selector, &each.pod_labels()));
            let all: Vec<&Object> = self.deployments.values().filter(behind).collect();
            let own: Vec<&Object> = all.iter().copied().filter(|each| belongs(each, base)).collect();
            return match (own.as_slice(), all.as_slice()) {
                ([one], _) => Ok(Some(one)),
                ([], [one]) if alone => Ok(Some(one)),
                ([], _) => Ok(None),
                (several, _) => Err(format!(
                    "Service {} selects pods of {} at once; leave it one release before the next",
                    services.join(", "),
                    several.iter().map(|each| each.id().to_string()).collect::<Vec<_>>().join(" and ")
                )),
            };
        }
        Ok(None)
    }

    /// The Deployment in the place of a workload that no Service selects: of the release that is live, or in its colour, or
    /// the one that runs.
    pub(crate) fn beside(&self, base: &str, live: Option<&LiveRelease>, colour: Option<Colour>) -> Option<&Object> {
        let own: Vec<&Object> = self.deployments.values().filter(|each| belongs(each, base)).collect();
        let of_release =
            |each: &&&Object| live.is_some_and(|live| each.pod_labels().get(RELEASE) == Some(&live.release));
        let of_colour = |each: &&&Object| colour.is_some() && colour_of(each.name()).1 == colour;
        let unmarked = |each: &&&Object| !each.pod_labels().contains_key(RELEASE) && runs(each);
        let found = own.iter().find(of_release).or_else(|| own.iter().find(of_colour));
        found.or_else(|| own.iter().find(unmarked)).copied()
    }

    /// The selector of a Service that has one.
    pub(crate) fn selector(&self, service: &str) -> Option<Labels> {
        let selector = self.services.get(service)?.texts("/spec/selector");
        (!selector.is_empty()).then_some(selector)
    }
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
}
