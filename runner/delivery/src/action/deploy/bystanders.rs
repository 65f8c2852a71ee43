//! What the namespace has, is not rendered, and yet has to do with pods that are swapped: Services that select them,
//! autoscalers that drive them, disruption budgets that count them.
//!
//! Invariant: the engine moves what the manifests hold and nothing else. Something that would go on holding up the old release
//! and forget the new one is refused before anything is changed; with `deployment`, where the live objects are the manifests,
//! it is taken along instead.

use super::{DeployPlan, Survey};
use crate::cluster::{Cluster, ClusterError, Labels};
use crate::inputs::deploy::Follow;
use crate::inputs::{DeployInputs, Strategy};
use crate::strategy::is_of;
use crate::unit::{BlueGreenShape, Colour, PREVIEW, RELEASE, colour_of, counts, drives};
use crate::{Object, ObjectId};

/// The autoscalers and disruption budgets of a namespace.
#[derive(Debug, Default)]
pub(in crate::action) struct Followers {
    autoscalers: Vec<Object>,
    budgets: Vec<Object>,
}

impl Followers {
    /// Those that a delivery has to mind: none where nothing is swapped.
    pub(in crate::action) async fn take(cluster: &Cluster, inputs: &DeployInputs) -> Result<Self, ClusterError> {
        if !matches!(inputs.strategy, Strategy::BlueGreen(_)) {
            return Ok(Self::default());
        }
        let none = Labels::new();
        let (autoscalers, budgets) = tokio::try_join!(
            cluster.list("autoscaling/v2", "HorizontalPodAutoscaler", &none),
            cluster.list("policy/v1", "PodDisruptionBudget", &none)
        )?;
        Ok(Self { autoscalers, budgets })
    }

    /// Those that go from one colour of a Deployment to the other. A colour that has its own keeps it.
    pub(super) fn of(&self, live: &Object) -> impl Iterator<Item = &Object> {
        let idle = idle_name(live);
        let own = |target: &str| self.autoscalers.iter().any(|each| each.text("/spec/scaleTargetRef/name") == target);
        let both = idle.is_none_or(|idle| !own(&idle));
        let autoscalers = self.autoscalers.iter().filter(move |each| both && scaled_object(each).is_none());
        let common = |budget: &Object| {
            let selector = budget.texts("/spec/selector/matchLabels");
            !selector.values().any(|value| matches!(value.as_str(), "blue" | "green"))
        };
        let labels = live.pod_labels();
        let budgets = self.budgets.iter().filter(move |each| common(each) && counts(each, &labels));
        autoscalers.filter(move |each| drives(each, live)).chain(budgets)
    }
}

fn idle_name(live: &Object) -> Option<String> {
    let (base, colour) = colour_of(live.name());
    colour.map(Colour::other).map(|other| format!("{base}-{other}"))
}

/// The ScaledObject that made an autoscaler: it is what can be rendered.
fn scaled_object(autoscaler: &Object) -> Option<&str> {
    let owners = autoscaler.list("/metadata/ownerReferences");
    owners.iter().find(|owner| owner["kind"] == "ScaledObject")?["name"].as_str()
}

/// What stands against a switch beside these live workloads, and what is worth a warning.
pub(super) fn bystanders(
    plan: &DeployPlan,
    shape: &BlueGreenShape,
    live: &[&Object],
    survey: &Survey,
    followers: &Followers,
) -> (Vec<String>, Vec<String>) {
    let mut found = (Vec::new(), services(plan, shape, survey));
    let Strategy::BlueGreen(knobs) = &plan.inputs.strategy else { return found };
    let of_this_release = |each: &&&Object| each.pod_labels().get(RELEASE) == Some(&plan.release.0);
    for old in live.iter().filter(|each| !of_this_release(each)) {
        autoscalers(plan, shape, old, followers, &mut found);
        if knobs.pdb == Follow::Follow {
            budgets(plan, shape, old, followers, &mut found);
        }
    }
    found
}

fn is_rendered(plan: &DeployPlan, kind: &str, name: &str) -> bool {
    plan.rendered.iter().any(|each| each.kind() == kind && each.name() == name)
}

/// It goes at the end of the delivery.
fn is_pruned(plan: &DeployPlan, object: &Object) -> bool {
    plan.inputs.prune && is_of(object, &plan.unit)
}

/// Services of others: nobody switches them.
fn services(plan: &DeployPlan, shape: &BlueGreenShape, survey: &Survey) -> Vec<String> {
    let preview = |each: &Object| {
        each.labels().contains_key(PREVIEW) || shape.previews.iter().any(|preview| preview.name() == each.name())
    };
    let others = survey.services.values().filter(|each| !is_rendered(plan, "Service", each.name()) && !preview(each));
    let lines = others.filter_map(|service| {
        let swap = shape.swaps.iter().find(|swap| survey.routes(service, &swap.object))?;
        Some(format!(
            "{} is not rendered and selects the pods of {}: its users reach them before they are tested, and old ones after \
             the switch; render it, or give it a narrower selector",
            service.id(),
            swap.object.id()
        ))
    });
    lines.collect()
}

fn autoscalers(
    plan: &DeployPlan,
    shape: &BlueGreenShape,
    old: &Object,
    followers: &Followers,
    (problems, told): &mut (Vec<String>, Vec<String>),
) {
    let all = &followers.autoscalers;
    let new = |each: &Object| shape.swaps.iter().any(|swap| drives(each, &swap.object));
    for autoscaler in all.iter().filter(|each| drives(each, old)) {
        let (kind, name) = match scaled_object(autoscaler) {
            Some(made_it) => ("ScaledObject", made_it),
            None => (autoscaler.kind(), autoscaler.name()),
        };
        if is_rendered(plan, kind, name) || is_pruned(plan, autoscaler) {
            continue;
        }
        if all.iter().any(new) {
            told.push(format!("{kind}/{name} holds {} at its least once it has no traffic", old.id()));
        } else {
            problems.push(format!(
                "{kind}/{name} drives {} and is not rendered: it would hold the old pods up and leave the new ones without an \
                 autoscaler; render it, or delete it",
                old.id()
            ));
        }
    }
}

fn budgets(
    plan: &DeployPlan,
    shape: &BlueGreenShape,
    old: &Object,
    followers: &Followers,
    (problems, told): &mut (Vec<String>, Vec<String>),
) {
    let is_ours = |each: &Object| is_rendered(plan, each.kind(), each.name()) || is_pruned(plan, each);
    for budget in followers.budgets.iter().filter(|each| counts(each, &old.pod_labels()) && !is_ours(each)) {
        let id: ObjectId = budget.id();
        if shape.swaps.iter().any(|swap| counts(budget, &swap.object.pod_labels())) {
            problems.push(format!(
                "{id} counts the pods of both releases, those that are kept included, and is not rendered: render it, or \
                 pdb: leave"
            ));
        } else {
            told.push(format!("{id} counts pods of {} only: the new ones have no budget", old.id()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use indexmap::IndexMap;
    use serde_json::{Value, json};

    use super::*;
    use crate::inputs::Action;
    use crate::testing;
    use crate::unit::{Unit, beside};

    fn object(kind: &str, name: &str, spec: Value) -> Object {
        let mut object = Object(json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}}));
        if kind == "Deployment" {
            object.set("/apiVersion", json!("apps/v1"));
        }
        object.set("/spec", spec);
        object
    }

    fn deployment(name: &str) -> Object {
        let template = json!({"metadata": {"labels": {"app": "shop", "deployment": name}}});
        object("Deployment", name, json!({"selector": {"matchLabels": {"app": "shop"}}, "template": template}))
    }

    fn hpa(name: &str, target: &str) -> Object {
        object("HorizontalPodAutoscaler", name, json!({"scaleTargetRef": {"kind": "Deployment", "name": target}}))
    }

    #[expect(clippy::needless_pass_by_value, reason = "tests hand over what they have just made")]
    fn pdb(name: &str, labels: Value) -> Object {
        object("PodDisruptionBudget", name, json!({"selector": {"matchLabels": labels}}))
    }

    fn plan(with: &[(&str, &str)], more: Vec<Object>) -> DeployPlan {
        let given = [("manifests", "k8s"), ("strategy", "blue-green")].iter().chain(with);
        let with: IndexMap<String, String> = given.map(|(key, value)| ((*key).into(), (*value).into())).collect();
        let Ok(Action::Deploy(inputs)) = Action::read("tagline/deploy@v1", &with) else { panic!() };
        let service = object("Service", "shop", json!({"selector": {"app": "shop"}}));
        let rendered = [vec![service, deployment("shop")], more].concat();
        DeployPlan::unseen("shop".to_owned(), &testing::site(), &inputs, rendered)
    }

    fn found(plan: &DeployPlan, services: &[Object], followers: &Followers) -> (Vec<String>, Vec<String>) {
        let unit = Unit::new(&plan.unit, &plan.version, plan.rendered.clone());
        let shape = beside(&unit, &plan.inputs, Colour::Blue, &BTreeMap::new()).unwrap();
        let mut survey = Survey::default();
        survey.services.extend(services.iter().map(|each| (each.name().to_owned(), each.clone())));
        bystanders(plan, &shape, &[&deployment("shop")], &survey, followers)
    }

    #[test]
    fn an_autoscaler_that_is_not_rendered_is_refused() {
        let own = Followers { autoscalers: vec![hpa("shop", "shop"), hpa("x", "other")], budgets: Vec::new() };
        let (problems, told) = found(&plan(&[], Vec::new()), &[], &own);
        assert!(problems.len() == 1 && told.is_empty(), "{problems:?} {told:?}");
        assert!(problems[0].starts_with("HorizontalPodAutoscaler/shop drives Deployment/shop and is not rendered"));
        assert_eq!(found(&plan(&[], vec![hpa("shop", "shop")]), &[], &own), (Vec::new(), Vec::new()));

        // What KEDA made is rendered as the ScaledObject that it was made of.
        let mut made = hpa("keda-hpa-shop", "shop");
        made.set("/metadata/ownerReferences", json!([{"kind": "ScaledObject", "name": "shop"}]));
        let made = Followers { autoscalers: vec![made], budgets: Vec::new() };
        let (problems, _) = found(&plan(&[], Vec::new()), &[], &made);
        assert!(problems[0].starts_with("ScaledObject/shop drives"), "{problems:?}");
        let scaled = object("ScaledObject", "shop", json!({"scaleTargetRef": {"name": "shop"}}));
        assert_eq!(found(&plan(&[], vec![scaled]), &[], &made), (Vec::new(), Vec::new()));
    }

    #[test]
    fn a_budget_that_counts_both_releases_is_refused_unless_it_may_stay() {
        let common = Followers { autoscalers: Vec::new(), budgets: vec![pdb("shop", json!({"app": "shop"}))] };
        let (problems, _) = found(&plan(&[], Vec::new()), &[], &common);
        assert!(problems[0].starts_with("PodDisruptionBudget/shop counts the pods of both releases"), "{problems:?}");
        assert_eq!(found(&plan(&[("pdb", "leave")], Vec::new()), &[], &common), (Vec::new(), Vec::new()));
        let mut rest = plan(&[], Vec::new());
        rest.rendered[1].set("/spec/template/metadata/labels", json!({"app": "shop"}));
        let old = Followers { autoscalers: Vec::new(), budgets: vec![pdb("old", json!({"deployment": "shop"}))] };
        let (problems, told) = found(&rest, &[], &old);
        assert!(problems.is_empty() && told[0].contains("the new ones have no budget"), "{problems:?} {told:?}");
    }

    #[test]
    fn a_service_of_somebody_else_is_told() {
        let service = |name: &str, selector: Value| object("Service", name, json!({"selector": selector}));
        let others = [service("shop-grpc", json!({"app": "shop"})), service("db", json!({"app": "db"}))];
        let (problems, told) = found(&plan(&[], Vec::new()), &others, &Followers::default());
        assert!(problems.is_empty() && told.len() == 1, "{problems:?} {told:?}");
        assert!(told[0].starts_with("Service/shop-grpc is not rendered and selects the pods of Deployment/shop-v"));
    }

    /// With `deployment` the autoscaler and the budget of a pair go to the colour that is next.
    #[test]
    fn a_pair_of_colours_takes_its_followers_along() {
        let mut live = deployment("shop-blue");
        live.set("/spec/template/metadata/labels", json!({"app": "shop", "deployment": "blue"}));
        let names = |followers: &Followers| {
            let mut names: Vec<String> = followers.of(&live).map(|each| each.name().to_owned()).collect();
            names.sort();
            names
        };
        let budgets = || vec![pdb("both", json!({"app": "shop"})), pdb("own", json!({"deployment": "blue"}))];
        let one = Followers { autoscalers: vec![hpa("shop", "shop-blue")], budgets: budgets() };
        assert_eq!(names(&one), ["both", "shop"]);
        let each = Followers { autoscalers: vec![hpa("b", "shop-blue"), hpa("g", "shop-green")], budgets: budgets() };
        assert_eq!(names(&each), ["both"]);
    }
}
