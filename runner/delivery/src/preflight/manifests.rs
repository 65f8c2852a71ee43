//! What manifests alone show.

use std::collections::BTreeSet;

use super::Problem;
use crate::Object;
use crate::object::selects;

/// Selectors that match no pod template among the objects: Services (those without a selector are somebody else's), PDBs,
/// and workloads whose selector is not in their own template.
pub fn selectors(objects: &[Object]) -> Vec<Problem> {
    let templates: Vec<_> =
        objects.iter().filter(|object| object.template_pointer().is_some()).map(Object::pod_labels).collect();
    let mut problems = Vec::new();
    for object in objects {
        let (place, selector) = match object.kind() {
            "Service" => ("spec.selector", object.texts("/spec/selector")),
            "PodDisruptionBudget" => ("spec.selector.matchLabels", object.texts("/spec/selector/matchLabels")),
            _ => continue,
        };
        if selector.is_empty() || templates.iter().any(|labels| selects(&selector, labels)) {
            continue;
        }
        let pairs: Vec<_> = selector.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let message = format!("{} selects no pod: no pod template has {}", object.id(), pairs.join(","));
        problems.push(Problem::new(message, format!("correct {place}, or the labels of the pod template")));
    }
    for object in objects.iter().filter(|object| object.template_pointer() == Some("/spec/template")) {
        let selector = object.texts("/spec/selector/matchLabels");
        if !selector.is_empty() && !selects(&selector, &object.pod_labels()) {
            let message = format!("{} does not select its own pods", object.id());
            problems
                .push(Problem::new(message, "make spec.selector.matchLabels a part of spec.template.metadata.labels"));
        }
    }
    problems.into_iter().map(|problem| Problem { of_input: true, ..problem }).collect()
}

/// Every image that the objects' pods use, once.
pub fn images(objects: &[Object]) -> BTreeSet<String> {
    let mut images = BTreeSet::new();
    for object in objects {
        let Some(template) = object.template_pointer() else { continue };
        for key in ["initContainers", "containers"] {
            let containers = object.list(&format!("{template}/spec/{key}"));
            images.extend(containers.iter().filter_map(|container| container["image"].as_str().map(str::to_owned)));
        }
    }
    images
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_selector_without_pods_is_told() {
        let workload = Object(json!({"kind": "Deployment", "metadata": {"name": "w"}, "spec": {
            "selector": {"matchLabels": {"app": "x"}},
            "template": {"metadata": {"labels": {"app": "w"}}, "spec": {"containers": [{"image": "a"}, {"image": "a"}]}}}}));
        let service =
            |selector| Object(json!({"kind": "Service", "metadata": {"name": "s"}, "spec": {"selector": selector}}));
        let objects = [workload, service(json!({"app": "w"})), service(json!({"app": "v"})), service(json!(null))];
        let said: Vec<_> = selectors(&objects).into_iter().map(|problem| problem.message).collect();
        assert_eq!(
            said,
            ["Service/s selects no pod: no pod template has app=v", "Deployment/w does not select its own pods"]
        );
        assert_eq!(images(&objects), BTreeSet::from(["a".to_owned()]));
    }
}
