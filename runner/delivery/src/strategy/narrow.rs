//! Adoption: a live Service's selector that would take in the new pods too is narrowed to the live ones first.

use std::collections::{BTreeMap, BTreeSet};

use crate::Object;
use crate::cluster::{Cluster, ClusterError, Labels};
use crate::object::selects;
use crate::rollout::is_ready;
use crate::unit::{BlueGreenShape, RELEASE};

/// What Deployments mark the pods of one template with.
const HASH: &str = "pod-template-hash";

/// How live pods are told from new ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Narrowing {
    /// The selector does not take in the new pods.
    NotNeeded,
    /// To this selector.
    To(Labels),
    /// Nothing tells them apart: several workloads are behind one selector and share no label that new pods lack.
    Impossible,
}

/// How a live selector is narrowed, by the pods that it selects now. One request where it has to be.
pub(crate) async fn narrowing(
    cluster: &Cluster,
    selector: &Labels,
    shape: &BlueGreenShape,
    live: &BTreeMap<String, &Object>,
) -> Result<Narrowing, ClusterError> {
    let new: Vec<Labels> = shape.swaps.iter().map(|swap| swap.object.pod_labels()).collect();
    if !new.iter().any(|labels| selects(selector, labels)) {
        return Ok(Narrowing::NotNeeded);
    }
    let templates: Vec<Labels> =
        live.values().map(|each| each.pod_labels()).filter(|labels| selects(selector, labels)).collect();
    let pods = cluster.pods(selector).await?;
    let pods: Vec<Labels> =
        pods.iter().filter(|pod| is_ready(pod) && !pod.is_terminating()).map(Object::labels).collect();
    Ok(narrowed(selector, &templates, &pods, &new))
}

/// The first label that all live pods share and no new pod has: the release's, the template's hash, then any other of the
/// live templates.
fn narrowed(selector: &Labels, templates: &[Labels], pods: &[Labels], new: &[Labels]) -> Narrowing {
    if templates.is_empty() {
        // Nothing of it runs: what it selects has no pods to be kept.
        return Narrowing::NotNeeded;
    }
    let shared = |all: &[Labels], key: &str| {
        let values: BTreeSet<_> = all.iter().map(|labels| labels.get(key)).collect();
        values.into_iter().exactly_one().flatten().cloned()
    };
    let tells = |key: &str, value: &String| !new.iter().any(|labels| labels.get(key) == Some(value));
    let of_template = |key: &str| shared(templates, key).filter(|value| tells(key, value));
    let hash = || shared(pods, HASH).filter(|_| templates.len() == 1 && !pods.is_empty());
    let other = || {
        let keys = templates[0].keys().filter(|key| !selector.contains_key(*key));
        keys.into_iter().find_map(|key| Some((key.clone(), of_template(key)?)))
    };
    let found = of_template(RELEASE).map(|value| (RELEASE.to_owned(), value));
    let found = found.or_else(|| Some((HASH.to_owned(), hash()?))).or_else(other);
    found.map_or(Narrowing::Impossible, |(key, value)| {
        let mut narrowed = selector.clone();
        narrowed.insert(key, value);
        Narrowing::To(narrowed)
    })
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
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn one_plain_deployment_is_told_by_its_hash() {
        let selector = labels(&[("app", "shop")]);
        let pod = labels(&[("app", "shop"), (HASH, "h1")]);
        let new = [labels(&[("app", "shop"), (RELEASE, "new")])];
        let template = [labels(&[("app", "shop")])];
        assert_eq!(
            narrowed(&selector, &template, &[pod.clone(), pod.clone()], &new),
            Narrowing::To(labels(&[("app", "shop"), (HASH, "h1")]))
        );
        let rolling = labels(&[("app", "shop"), (HASH, "h2")]);
        assert_eq!(narrowed(&selector, &template, &[pod, rolling], &new), Narrowing::Impossible);
    }

    #[test]
    fn several_workloads_need_a_label_in_common() {
        let selector = labels(&[("app", "shop")]);
        let new = [labels(&[("app", "shop"), ("pool", "a"), ("version", "2"), (RELEASE, "new")])];
        let of = |pool: &str, version: &str| labels(&[("app", "shop"), ("pool", pool), ("version", version)]);
        assert_eq!(
            narrowed(&selector, &[of("a", "1"), of("b", "1")], &[], &new),
            Narrowing::To(labels(&[("app", "shop"), ("version", "1")]))
        );
        assert_eq!(narrowed(&selector, &[of("a", "2"), of("b", "2")], &[], &new), Narrowing::Impossible);
        let released = |pool: &str| labels(&[("app", "shop"), ("pool", pool), (RELEASE, "old")]);
        assert_eq!(
            narrowed(&selector, &[released("a"), released("b")], &[], &new),
            Narrowing::To(labels(&[("app", "shop"), (RELEASE, "old")]))
        );
    }
}
