//! Adoption: a live Service's selector that would take in the new pods too is narrowed to the live ones first.

use std::collections::{BTreeMap, BTreeSet};

use super::survey::HASH;
use crate::Object;
use crate::cluster::{Cluster, ClusterError, Labels};
use crate::object::selects;
use crate::rollout::is_ready;
use crate::unit::{BlueGreenShape, RELEASE};

/// How live pods are told from new ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Narrowing {
    /// The selector does not take in the new pods, or has none of its own to be kept.
    NotNeeded,
    /// To this selector.
    To(Labels),
    /// Nothing tells them apart: why, and what to do about it.
    Impossible(String),
}

/// How a live Service is narrowed, by the pods that it selects now. One request where it has to be.
pub(crate) async fn narrowing(
    cluster: &Cluster,
    service: &Object,
    shape: &BlueGreenShape,
    live: &BTreeMap<String, &Object>,
) -> Result<Narrowing, ClusterError> {
    let selector = service.texts("/spec/selector");
    let new: Vec<Labels> = shape.swaps.iter().map(|swap| swap.object.pod_labels()).collect();
    if !new.iter().any(|labels| selects(&selector, labels)) {
        return Ok(Narrowing::NotNeeded);
    }
    let templates: Vec<Labels> =
        live.values().map(|each| each.pod_labels()).filter(|labels| selects(&selector, labels)).collect();
    let pods = serving(cluster.pods(&selector).await?);
    Ok(narrowed(service, &templates, &pods, &new))
}

/// The pods that users reach; where none is ready, those that may get ready.
fn serving(mut pods: Vec<Object>) -> Vec<Object> {
    let ended = |pod: &Object| pod.is_terminating() || matches!(pod.text("/status/phase"), "Succeeded" | "Failed");
    pods.retain(|pod| !ended(pod));
    if pods.iter().any(is_ready) {
        pods.retain(is_ready);
    }
    pods
}

/// The first label that all live pods share and no new pod has: the release's, the template's hash, then any other of the
/// live templates.
fn narrowed(service: &Object, templates: &[Labels], pods: &[Object], new: &[Labels]) -> Narrowing {
    match (templates, pods) {
        // Nothing of it runs: what it selects has no pods to be kept.
        ([], []) => return Narrowing::NotNeeded,
        ([], [pod, ..]) => {
            return Narrowing::Impossible(format!(
                "{} sends users to {}, which is of no workload that this release takes the place of: give the Service a \
                 selector that new pods lack, or deliver with strategy: rolling",
                service.id(),
                pod.id()
            ));
        }
        _ => {}
    }
    let selector = service.texts("/spec/selector");
    let pods: Vec<Labels> = pods.iter().map(Object::labels).collect();
    let shared = |all: &[Labels], key: &str| {
        let values: BTreeSet<_> = all.iter().map(|labels| labels.get(key)).collect();
        values.into_iter().exactly_one().flatten().cloned()
    };
    let new_have = |key: &str, value: &String| new.iter().any(|labels| labels.get(key) == Some(value));
    let live_have = |key: &str, value: &String| pods.iter().all(|labels| labels.get(key) == Some(value));
    let of_template = |key: &str| shared(templates, key).filter(|value| !new_have(key, value) && live_have(key, value));
    let hash = || shared(&pods, HASH).filter(|_| templates.len() == 1);
    let other = || {
        let keys = templates[0].keys().filter(|key| !selector.contains_key(*key));
        keys.into_iter().find_map(|key| Some((key.clone(), of_template(key)?)))
    };
    let found = of_template(RELEASE).map(|value| (RELEASE.to_owned(), value));
    let found = found.or_else(|| Some((HASH.to_owned(), hash()?))).or_else(other);
    let Some((key, value)) = found else {
        return Narrowing::Impossible(format!(
            "{} sends users to pods of several workloads or templates, or to none yet, and they share no label that new pods \
             lack: wait until no rollout is under way, or deliver once with strategy: rolling, which marks them",
            service.id()
        ));
    };
    let mut narrowed = selector;
    narrowed.insert(key, value);
    Narrowing::To(narrowed)
}

trait ExactlyOne: Iterator + Sized {
    fn exactly_one(mut self) -> Option<Self::Item> {
        let first = self.next()?;
        self.next().is_none().then_some(first)
    }
}

impl<I: Iterator> ExactlyOne for I {}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn service(selector: &[(&str, &str)]) -> Object {
        Object(json!({"kind": "Service", "metadata": {"name": "shop"}, "spec": {"selector": labels(selector)}}))
    }

    fn pod(pairs: &[(&str, &str)]) -> Object {
        Object(json!({"kind": "Pod", "metadata": {"name": "shop-0", "labels": labels(pairs)}}))
    }

    #[test]
    fn one_plain_deployment_is_told_by_its_hash() {
        let shop = service(&[("app", "shop")]);
        let old = pod(&[("app", "shop"), (HASH, "h1")]);
        let new = [labels(&[("app", "shop"), (RELEASE, "new")])];
        let template = [labels(&[("app", "shop")])];
        assert_eq!(
            narrowed(&shop, &template, &[old.clone(), old.clone()], &new),
            Narrowing::To(labels(&[("app", "shop"), (HASH, "h1")]))
        );
        // A rollout under way, and one that has no pod yet.
        let rolling = pod(&[("app", "shop"), (HASH, "h2")]);
        for pods in [&[old, rolling][..], &[]] {
            assert!(matches!(narrowed(&shop, &template, pods, &new), Narrowing::Impossible(_)), "{pods:?}");
        }
    }

    #[test]
    fn several_workloads_need_a_label_in_common() {
        let shop = service(&[("app", "shop")]);
        let new = [labels(&[("app", "shop"), ("pool", "a"), ("version", "2"), (RELEASE, "new")])];
        let of = |pool: &str, version: &str| labels(&[("app", "shop"), ("pool", pool), ("version", version)]);
        let one = [of("a", "1"), of("b", "1")];
        assert_eq!(narrowed(&shop, &one, &[], &new), Narrowing::To(labels(&[("app", "shop"), ("version", "1")])));
        // A pod of something else behind the same Service would lose its users.
        let stranger = narrowed(&shop, &one, &[pod(&[("app", "shop"), ("version", "0")])], &new);
        assert!(matches!(stranger, Narrowing::Impossible(_)), "{stranger:?}");
        let two = narrowed(&shop, &[of("a", "2"), of("b", "2")], &[], &new);
        assert!(matches!(two, Narrowing::Impossible(_)), "{two:?}");
        let released = |pool: &str| labels(&[("app", "shop"), ("pool", pool), (RELEASE, "old")]);
        assert_eq!(
            narrowed(&shop, &[released("a"), released("b")], &[], &new),
            Narrowing::To(labels(&[("app", "shop"), (RELEASE, "old")]))
        );
    }

    /// A StatefulSet behind the Service, or several Deployments of other names: new pods must not join them untested.
    #[test]
    fn pods_of_no_known_workload_are_no_reason_to_go_on() {
        let shop = service(&[("app", "shop")]);
        let new = [labels(&[("app", "shop"), (RELEASE, "new")])];
        let Narrowing::Impossible(why) = narrowed(&shop, &[], &[pod(&[("app", "shop")])], &new) else { panic!() };
        assert!(why.starts_with("Service/shop sends users to Pod/shop-0, which is of no workload"), "{why}");
        assert_eq!(narrowed(&shop, &[], &[], &new), Narrowing::NotNeeded);
    }

    #[test]
    fn pods_that_are_not_ready_count_where_none_is() {
        let of = |name: &str, ready: &str, phase: &str| {
            Object(json!({"kind": "Pod", "metadata": {"name": name}, "status": {"phase": phase,
                "conditions": [{"type": "Ready", "status": ready}]}}))
        };
        let names = |pods| serving(pods).iter().map(|pod| pod.name().to_owned()).collect::<Vec<_>>();
        let (starts, ended) = (of("starts", "False", "Running"), of("ended", "False", "Succeeded"));
        assert_eq!(names(vec![starts.clone(), ended.clone()]), ["starts"]);
        assert_eq!(names(vec![starts, ended, of("serves", "True", "Running")]), ["serves"]);
    }
}
