//! Services that stand in a release's way: found from what the cluster has, before anything is changed. Pure.

use super::{DeployPlan, Shape, Survey};
use crate::Object;
use crate::strategy::is_of;
use crate::unit::{BlueGreenShape, PREVIEW, RELEASE, Role, RollingShape, Unit, role};

/// A line for each of them.
pub(super) fn in_the_way(plan: &DeployPlan, shape: &Shape, survey: &Survey) -> Vec<String> {
    match shape {
        Shape::Rolling(shape) => apart(shape, survey),
        Shape::BlueGreen(shape) => previews(&plan.unit(), shape, survey),
    }
}

/// Services that send their traffic to one blue-green release alone. Pods in place would get none of it, and where the
/// selector is taken by force both releases serve, of which the old one is never scaled down.
fn apart(shape: &RollingShape, survey: &Survey) -> Vec<String> {
    let services = shape.objects.iter().filter(|object| role(object) == Role::Service);
    let line = |service: &Object| {
        let release = survey.selector(service.name())?.remove(RELEASE)?;
        Some(format!(
            "Service/{} sends its traffic to the blue-green release {release} alone: a release in place would get none; \
             strategy: blue-green",
            service.name()
        ))
    };
    services.filter_map(line).collect()
}

/// Services that bear the name of one that is made for the tests of this release, and removed after them.
fn previews(unit: &Unit, shape: &BlueGreenShape, survey: &Survey) -> Vec<String> {
    let line = |preview: &Object| {
        let name = preview.name();
        let own = |there: &Object| there.labels().contains_key(PREVIEW) && is_of(there, &unit.name);
        let why = if unit.of(Role::Service).any(|each| each.name() == name) {
            "is among the manifests"
        } else if survey.services.get(name).is_some_and(|there| !own(there)) {
            "is there already"
        } else {
            return None;
        };
        Some(format!(
            "Service/{name} {why}: the Service of that name is made for the tests of a release and removed after them; give \
             preview-service a name that is free"
        ))
    };
    shape.previews.iter().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::*;
    use crate::inputs::{Action, DeployInputs};
    use crate::unit::{Colour, UNIT, beside};

    fn inputs(extra: &[(&str, &str)]) -> DeployInputs {
        let all = [&[("manifests", "k8s"), ("strategy", "blue-green")][..], extra].concat();
        let with = all.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        match Action::read("tagline/deploy@v1", &with) {
            Ok(Action::Deploy(inputs)) => *inputs,
            other => panic!("{other:?}"),
        }
    }

    fn service(name: &str, selector: &Value, labels: &Value) -> Object {
        Object(json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "labels": labels},
            "spec": {"selector": selector, "ports": [{"port": 80}]}}))
    }

    fn unit(services: &[&str]) -> Unit {
        let mut objects: Vec<Object> =
            services.iter().map(|name| service(name, &json!({"app": *name}), &json!({}))).collect();
        objects.push(Object(json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "shop"},
            "spec": {"selector": {"matchLabels": {"app": "shop"}}, "template": {"metadata": {"labels": {"app": "shop"}}}}})));
        Unit::new("shop", "1.2.3", objects)
    }

    fn survey(services: Vec<Object>) -> Survey {
        let services = services.into_iter().map(|each| (each.name().to_owned(), each)).collect();
        Survey { services, ..Survey::default() }
    }

    #[test]
    fn in_place_nothing_gets_the_traffic_of_a_blue_green_release() {
        let shape = RollingShape { objects: unit(&["shop"]).objects };
        let live = |selector: Value| survey(vec![service("shop", &selector, &json!({}))]);
        let lines = apart(&shape, &live(json!({"app": "shop", RELEASE: "v1-2-2-0"})));
        assert_eq!(lines.len(), 1);
        assert!(
            lines[0].starts_with("Service/shop sends its traffic to the blue-green release v1-2-2-0 alone"),
            "{lines:?}"
        );
        assert!(lines[0].ends_with("strategy: blue-green"), "{lines:?}");
        assert_eq!(apart(&shape, &live(json!({"app": "shop"}))), [""; 0]);
        assert_eq!(apart(&shape, &survey(Vec::new())), [""; 0]);
    }

    #[test]
    fn a_preview_takes_no_service_s_name() {
        let refused = |services: &[&str], extra: &[(&str, &str)], there: Vec<Object>| {
            let unit = unit(services);
            let shape = beside(&unit, &inputs(extra), Colour::Blue, &BTreeMap::new()).unwrap();
            previews(&unit, &shape, &survey(there)).join("; ")
        };
        let named = [("preview-service", "next")];
        let next = |labels: Value| vec![service("next", &json!({"app": "x"}), &labels)];
        assert!(refused(&["shop", "next"], &named, Vec::new()).starts_with("Service/next is among the manifests: "));
        assert!(refused(&["shop"], &named, next(json!({}))).starts_with("Service/next is there already: "));
        assert!(refused(&["shop"], &named, next(json!({UNIT: "shop"}))).starts_with("Service/next is there already: "));
        // What a release that was killed has left is its own.
        assert_eq!(refused(&["shop"], &named, next(json!({UNIT: "shop", PREVIEW: "true"}))), "");
        assert_eq!(refused(&["shop"], &[], next(json!({}))), "", "another name");
    }
}
