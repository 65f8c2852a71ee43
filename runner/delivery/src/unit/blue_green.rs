//! A unit that is set up beside the live one: which objects are there twice, which move, and how each is named.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::around::{left_behind, preview, unsuitable};
use super::members::{counts, drives, mark};
use super::rolling::pace;
use super::{COLOUR, RELEASE, Role, Unit, WORKLOAD, role, slug};
use crate::Object;
use crate::inputs::{DeployInputs, Names};

/// One of two places that releases take in turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Colour {
    /// The first, where nothing is there.
    Blue,
    /// The other.
    Green,
}

impl Colour {
    /// The one that is not this.
    pub const fn other(self) -> Self {
        match self {
            Self::Blue => Self::Green,
            Self::Green => Self::Blue,
        }
    }

    /// As it stands in names and labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Blue => "blue",
            Self::Green => "green",
        }
    }
}

impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A name's colour and what is before it: `shop-blue` is the blue `shop`.
pub fn colour_of(name: &str) -> (&str, Option<Colour>) {
    let of = |colour: Colour| Some((name.strip_suffix(colour.as_str())?.strip_suffix('-')?, Some(colour)));
    of(Colour::Blue).or_else(|| of(Colour::Green)).unwrap_or((name, None))
}

/// A workload that is there twice while a release goes out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Swap {
    /// Its name in the manifests.
    pub base: String,
    /// The new one, under its own name.
    pub object: Object,
}

/// What a blue-green delivery applies, and where it moves what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BlueGreenShape {
    /// The colour that is set up; None with names by release.
    pub colour: Option<Colour>,
    /// Applied in place before anything else: configuration, accounts, what is no part of the switch.
    pub in_place: Vec<Object>,
    /// The new workloads.
    pub swaps: Vec<Swap>,
    /// The Services that are switched, with the selector that they get.
    pub services: Vec<Object>,
    /// For each of them, in the same order, a Service that selects the new release before the switch.
    pub previews: Vec<Object>,
    /// Autoscalers, driving the new workloads.
    pub autoscalers: Vec<Object>,
    /// Disruption budgets, counting the new pods.
    pub budgets: Vec<Object>,
    /// Applied in place after the switch: CronJobs, which would run new code before.
    pub after: Vec<Object>,
}

/// Longest name of a workload: its pods' names add a hash and a suffix.
const LONGEST: usize = 63;

/// Shapes a unit for standing beside the live one. `colour`: the place that is free, with names by colours. `selectors`: what
/// the workloads of that colour that exist already select their pods by, by the manifests' name; it cannot be changed.
///
/// # Errors
/// One line for each object that cannot be delivered so.
pub fn beside(
    unit: &Unit,
    inputs: &DeployInputs,
    colour: Colour,
    selectors: &BTreeMap<String, BTreeMap<String, String>>,
) -> Result<BlueGreenShape, Vec<String>> {
    let delivered = unit.delivered(&inputs.workloads)?;
    let chosen = unit.services(&inputs.services, &delivered)?;
    let mut wrong = unsuitable(unit, &delivered, &chosen);
    wrong.extend(left_behind(unit, &delivered, &chosen, inputs.preview_service.as_deref()));
    let colour = (inputs.names == Names::Colours).then_some(colour);
    let is = |list: &[&Object], object: &Object| list.iter().any(|each| each.id() == object.id());

    let mut shape = BlueGreenShape {
        colour,
        in_place: Vec::new(),
        swaps: Vec::new(),
        services: Vec::new(),
        previews: Vec::new(),
        autoscalers: Vec::new(),
        budgets: Vec::new(),
        after: Vec::new(),
    };
    for object in &unit.objects {
        let own = match role(object) {
            Role::Workload if is(&delivered, object) => {
                let base = base_of(object, colour);
                if shape.swaps.iter().any(|swap| swap.base == base) {
                    wrong.push(format!(
                        "Deployment \"{base}\" is rendered in both colours; render the one, without a colour"
                    ));
                }
                let mut new = swap(unit, object, base, colour, selectors.get(base));
                pace(&mut new, inputs.min_ready, inputs.progress_deadline);
                shape.swaps.push(Swap { base: base.to_owned(), object: new });
                continue;
            }
            Role::Service if is(&chosen, object) => &mut shape.services,
            Role::Autoscaler if delivered.iter().any(|each| drives(object, each)) => &mut shape.autoscalers,
            Role::Budget if delivered.iter().any(|each| counts(object, &each.pod_labels())) => &mut shape.budgets,
            Role::Scheduled => &mut shape.after,
            _ => &mut shape.in_place,
        };
        own.push(object.clone());
    }
    for service in &mut shape.services {
        mark(service, "/spec/selector", RELEASE, unit.release.as_str());
    }
    for budget in &mut shape.budgets {
        mark(budget, "/spec/selector/matchLabels", RELEASE, unit.release.as_str());
    }
    for autoscaler in &mut shape.autoscalers {
        let target = autoscaler.text("/spec/scaleTargetRef/name");
        let target = colour.map_or(target, |_| colour_of(target).0);
        let new = shape.swaps.iter().find(|swap| swap.base == target).map(|swap| swap.object.name().to_owned());
        autoscaler.set("/spec/scaleTargetRef/name", json!(new));
    }
    let only = shape.services.len() == 1;
    let name = inputs.preview_service.as_deref();
    if name.is_some() && !only {
        wrong.push(format!("preview-service names one Service, {} are switched; leave it out", shape.services.len()));
    }
    shape.previews = shape.services.iter().map(|service| preview(unit, service, name)).collect();
    if wrong.is_empty() { Ok(shape) } else { Err(wrong) }
}

fn base_of(object: &Object, colour: Option<Colour>) -> &str {
    if colour.is_some() { colour_of(object.name()).0 } else { object.name() }
}

/// The new workload: own name, own pods.
fn swap(
    unit: &Unit,
    object: &Object,
    base: &str,
    colour: Option<Colour>,
    fixed: Option<&BTreeMap<String, String>>,
) -> Object {
    let mut new = object.clone();
    let suffix = colour.map_or(unit.release.as_str(), |colour| colour.as_str());
    let head: String = base.chars().take(LONGEST - 1 - suffix.len()).collect();
    new.set("/metadata/name", json!(format!("{}-{suffix}", head.trim_end_matches(['-', '.']))));
    for labels in ["/metadata/labels", "/spec/template/metadata/labels"] {
        mark(&mut new, labels, WORKLOAD, &slug(base, LONGEST));
    }
    let (key, value) = match colour {
        Some(colour) => (COLOUR, colour.as_str()),
        None => (RELEASE, unit.release.as_str()),
    };
    mark(&mut new, "/metadata/labels", key, value);
    let selector = fixed.cloned().unwrap_or_else(|| {
        let mut selector = new.texts("/spec/selector/matchLabels");
        selector.insert(key.to_owned(), value.to_owned());
        selector
    });
    for (key, value) in &selector {
        mark(&mut new, "/spec/template/metadata/labels", key, value);
    }
    new.set("/spec/selector/matchLabels", json!(selector));
    new
}

#[cfg(test)]
mod tests {
    use indexmap::IndexMap;

    use super::*;
    use crate::inputs::Action;
    use crate::object::selects;

    fn inputs(extra: &[(&str, &str)]) -> DeployInputs {
        let mut with = IndexMap::from([("manifests".to_owned(), "k8s".to_owned())]);
        with.insert("strategy".to_owned(), "blue-green".to_owned());
        with.extend(extra.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        match Action::read("tagline/deploy@v1", &with) {
            Ok(Action::Deploy(inputs)) => *inputs,
            other => panic!("{other:?}"),
        }
    }

    fn unit() -> Unit {
        let deployment = |name: &str| {
            Object(json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
            "spec": {"selector": {"matchLabels": {"pool": name}},
                "template": {"metadata": {"labels": {"app": "shop", "pool": name}}}}}))
        };
        Unit::new(
            "shop",
            "1.2.3",
            vec![
                Object(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}})),
                Object(json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "shop"}, "spec":
                    {"type": "NodePort", "selector": {"app": "shop"}, "ports": [{"port": 80, "nodePort": 30080}]}})),
                deployment("web"),
                deployment("critical"),
                Object(
                    json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "h"},
                    "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "critical"}}}),
                ),
                Object(json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "p"},
                    "spec": {"selector": {"matchLabels": {"app": "shop"}}}})),
                Object(json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "j"}})),
            ],
        )
    }

    #[test]
    fn each_object_has_its_place_and_the_release_in_what_selects() {
        let unit = unit();
        let shape = beside(&unit, &inputs(&[]), Colour::Blue, &BTreeMap::new()).unwrap();
        let names: Vec<_> = shape.swaps.iter().map(|swap| swap.object.name()).collect();
        assert_eq!(names, [format!("web-{}", unit.release), format!("critical-{}", unit.release)]);
        let release = |map: BTreeMap<String, String>| map.get(RELEASE) == Some(&unit.release.0);
        let web = &shape.swaps[0].object;
        assert!(release(web.texts("/spec/selector/matchLabels")) && release(web.pod_labels()));
        assert!(release(shape.services[0].texts("/spec/selector")));
        assert!(release(shape.budgets[0].texts("/spec/selector/matchLabels")));
        assert_eq!(shape.autoscalers[0].text("/spec/scaleTargetRef/name"), names[1]);
        assert_eq!(shape.previews[0].0["spec"]["ports"], json!([{"port": 80}]));
        assert_eq!((shape.in_place[0].kind(), shape.after[0].kind()), ("ConfigMap", "CronJob"));
        assert!(selects(&shape.services[0].texts("/spec/selector"), &web.pod_labels()));
    }

    #[test]
    fn colours_keep_what_a_workload_selects_by() {
        let fixed = BTreeMap::from([("deployment".to_owned(), "green".to_owned())]);
        let selectors = BTreeMap::from([("web".to_owned(), fixed.clone())]);
        let shape = beside(&unit(), &inputs(&[("names", "colours")]), Colour::Green, &selectors).unwrap();
        let web = &shape.swaps[0].object;
        assert_eq!((web.name(), web.texts("/spec/selector/matchLabels")), ("web-green", fixed));
        assert_eq!(web.pod_labels()["deployment"], "green");
        let critical = &shape.swaps[1].object;
        assert_eq!(critical.texts("/spec/selector/matchLabels")[COLOUR], "green");
        assert_eq!((colour_of("web-blue"), colour_of("blue")), (("web", Some(Colour::Blue)), ("blue", None)));
    }

    /// KEDA's ScaledObject goes with the traffic as an autoscaler does: its target has another name with each release.
    #[test]
    fn a_scaled_object_drives_the_new_workload() {
        let mut unit = unit();
        unit.objects
            .push(Object(json!({"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": "s"},
            "spec": {"scaleTargetRef": {"name": "web"}, "minReplicaCount": 3}})));
        let shape = beside(&unit, &inputs(&[]), Colour::Blue, &BTreeMap::new()).unwrap();
        let scaled = shape.autoscalers.iter().find(|each| each.kind() == "ScaledObject").unwrap();
        assert_eq!(scaled.text("/spec/scaleTargetRef/name"), shape.swaps[0].object.name());
        assert_eq!(crate::unit::first_pods(&shape.autoscalers, &shape.swaps[0].object), 3);
    }

    #[test]
    fn a_service_of_the_same_pods_is_switched_too_or_refused() {
        let mut unit = unit();
        for (name, selector) in [("shop-grpc", json!({"pool": "web"})), ("other", json!({"app": "other"}))] {
            unit.objects.push(Object(json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
                "spec": {"selector": selector}})));
        }
        let shaped = |with: &[(&str, &str)]| beside(&unit, &inputs(with), Colour::Blue, &BTreeMap::new());
        assert_eq!(shaped(&[]).unwrap().services.len(), 2);
        assert_eq!(shaped(&[("service", "shop, shop-grpc")]).unwrap().services.len(), 2);
        assert!(shaped(&[("service", "shop"), ("preview-service", "shop-grpc")]).is_ok(), "only tests use it");
        let wrong = shaped(&[("service", "shop")]).unwrap_err();
        assert!(
            wrong.len() == 1 && wrong[0].starts_with("Service \"shop-grpc\" selects pods of Deployment/web"),
            "{wrong:?}"
        );
    }

    #[test]
    fn what_a_switch_would_pull_apart_is_refused() {
        let wrong = beside(&unit(), &inputs(&[("workloads", "web")]), Colour::Blue, &BTreeMap::new()).unwrap_err();
        assert_eq!(
            wrong,
            [
                "Service \"shop\" selects Deployment/critical too, which is not switched; name it in workloads, or give the \
              Service a narrower selector"
            ]
        );
    }
}
