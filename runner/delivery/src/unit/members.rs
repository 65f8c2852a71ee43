//! A unit's objects and what belongs to which.

use std::collections::BTreeMap;

use serde_json::json;

use super::{RELEASE, ReleaseId, UNIT, VERSION};
use crate::inputs::{WorkloadRef, did_you_mean};
use crate::object::selects;
use crate::{Object, ObjectId};

/// What an object is in a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// ConfigMap, Secret.
    Config,
    /// Service.
    Service,
    /// Deployment, StatefulSet, DaemonSet.
    Workload,
    /// CronJob.
    Scheduled,
    /// HorizontalPodAutoscaler, and KEDA's ScaledObject.
    Autoscaler,
    /// PodDisruptionBudget.
    Budget,
    /// Anything else: applied in place.
    Other,
}

/// What an object is in a unit, by its kind.
pub fn role(object: &Object) -> Role {
    match (object.api_version(), object.kind()) {
        ("v1", "ConfigMap" | "Secret") => Role::Config,
        ("v1", "Service") => Role::Service,
        ("apps/v1", "Deployment" | "StatefulSet" | "DaemonSet") => Role::Workload,
        ("batch/v1", "CronJob") => Role::Scheduled,
        (_, "HorizontalPodAutoscaler" | "ScaledObject") => Role::Autoscaler,
        (_, "PodDisruptionBudget") => Role::Budget,
        _ => Role::Other,
    }
}

/// The labels that a workload's pods get.
pub fn template_labels(workload: &Object) -> BTreeMap<String, String> {
    workload.pod_labels()
}

/// What a workload selects its pods by: its `matchLabels`.
pub fn pods_selector(workload: &Object) -> BTreeMap<String, String> {
    workload.texts("/spec/selector/matchLabels")
}

/// The objects of one deploy step.
#[derive(Debug, Clone, PartialEq)]
pub struct Unit {
    /// Its name.
    pub name: String,
    /// The version that it is.
    pub version: String,
    /// The release that it is.
    pub release: ReleaseId,
    /// As rendered, in the order in which they are applied, with the unit's labels.
    pub objects: Vec<Object>,
}

impl Unit {
    /// Marks rendered objects as a unit's.
    pub fn new(name: &str, version: &str, rendered: Vec<Object>) -> Self {
        let release = ReleaseId::of(version, &rendered);
        let mut objects = rendered;
        for object in &mut objects {
            mark(object, "/metadata/labels", UNIT, name);
            mark(object, "/metadata/annotations", VERSION, version);
            if role(object) == Role::Workload {
                mark(object, "/metadata/labels", RELEASE, release.as_str());
                mark(object, "/spec/template/metadata/labels", RELEASE, release.as_str());
                mark(object, "/spec/template/metadata/annotations", VERSION, version);
            }
        }
        Self { name: name.to_owned(), version: version.to_owned(), release, objects }
    }

    /// Its objects of a role.
    pub fn of(&self, wanted: Role) -> impl Iterator<Item = &Object> {
        self.objects.iter().filter(move |object| role(object) == wanted)
    }

    /// The workloads that are delivered as one: those named, or all.
    ///
    /// # Errors
    /// One line for each name that is not rendered.
    pub fn delivered(&self, named: &[WorkloadRef]) -> Result<Vec<&Object>, Vec<String>> {
        let all: Vec<&Object> = self.of(Role::Workload).collect();
        let known: Vec<&str> = all.iter().map(|each| each.name()).collect();
        let missing = named.iter().filter(|wanted| !all.iter().any(|each| is(each, wanted)));
        let missing: Vec<String> = missing
            .map(|wanted| {
                let guess = did_you_mean(&wanted.name, known.iter().copied());
                format!("workload \"{wanted}\" is not in the manifests; they have: {}{guess}", known.join(", "))
            })
            .collect();
        if !missing.is_empty() {
            return Err(missing);
        }
        Ok(all.into_iter().filter(|each| named.is_empty() || named.iter().any(|wanted| is(each, wanted))).collect())
    }

    /// The Services that select pods of these workloads: those named, or all that do.
    ///
    /// # Errors
    /// One line for each named one that is not rendered or selects none of them.
    pub fn services(&self, named: &[String], workloads: &[&Object]) -> Result<Vec<&Object>, Vec<String>> {
        let chosen = |service: &&Object| selected_by(service, workloads).next().is_some();
        if named.is_empty() {
            return Ok(self.of(Role::Service).filter(chosen).collect());
        }
        let mut found = Vec::new();
        let mut wrong = Vec::new();
        for name in named {
            match self.of(Role::Service).find(|service| service.name() == name) {
                Some(service) if chosen(&service) => found.push(service),
                Some(_) => wrong.push(format!("Service \"{name}\" selects no pod template in this release")),
                None => {
                    let known: Vec<&str> = self.of(Role::Service).map(Object::name).collect();
                    let guess = did_you_mean(name, known.iter().copied());
                    wrong.push(format!(
                        "Service \"{name}\" is not in the manifests; they have: {}{guess}",
                        known.join(", ")
                    ));
                }
            }
        }
        if wrong.is_empty() { Ok(found) } else { Err(wrong) }
    }

    /// Rendered Services with a selector that selects no workload of the unit: users of them would be refused.
    pub fn services_without_pods(&self) -> Vec<String> {
        let workloads: Vec<&Object> = self.of(Role::Workload).collect();
        let blind = self.of(Role::Service).filter(|service| {
            !service.texts("/spec/selector").is_empty() && selected_by(service, &workloads).next().is_none()
        });
        blind.map(|service| format!("Service \"{}\" selects no pod template in this release", service.name())).collect()
    }
}

/// How many pods a workload begins with: what its manifest says, at least its autoscaler's least. `objects` hold that.
pub fn first_pods<'a>(objects: impl IntoIterator<Item = &'a Object>, workload: &Object) -> i64 {
    workload.number("/spec/replicas").unwrap_or(1).max(least_pods(objects, workload).unwrap_or(0))
}

/// The least that a workload's autoscaler lets it have; None where `objects` hold none.
pub fn least_pods<'a>(objects: impl IntoIterator<Item = &'a Object>, workload: &Object) -> Option<i64> {
    let autoscaler = objects.into_iter().find(|each| role(each) == Role::Autoscaler && drives(each, workload))?;
    Some(match autoscaler.kind() {
        "ScaledObject" => autoscaler.number("/spec/minReplicaCount").unwrap_or(0),
        _ => autoscaler.number("/spec/minReplicas").unwrap_or(1),
    })
}

/// Whether an autoscaler's target is this workload. A ScaledObject that names no kind means a Deployment.
pub fn drives(autoscaler: &Object, workload: &Object) -> bool {
    let kind = match autoscaler.text("/spec/scaleTargetRef/kind") {
        "" => "Deployment",
        kind => kind,
    };
    kind == workload.kind() && autoscaler.text("/spec/scaleTargetRef/name") == workload.name()
}

/// Whether a disruption budget counts pods with these labels.
pub fn counts(budget: &Object, labels: &BTreeMap<String, String>) -> bool {
    selects(&budget.texts("/spec/selector/matchLabels"), labels)
}

/// Those of the workloads whose pods a Service selects.
pub(super) fn selected_by<'a>(service: &Object, workloads: &[&'a Object]) -> impl Iterator<Item = &'a Object> {
    let selector = service.texts("/spec/selector");
    workloads.iter().copied().filter(move |each| selects(&selector, &template_labels(each)))
}

/// Sets a key of a map of texts.
pub(super) fn mark(object: &mut Object, pointer: &str, key: &str, value: &str) {
    let key = key.replace('~', "~0").replace('/', "~1");
    object.set(&format!("{pointer}/{key}"), json!(value));
}

fn is(workload: &Object, wanted: &WorkloadRef) -> bool {
    let ObjectId { kind, name, .. } = workload.id();
    name == wanted.name && wanted.kind.as_ref().is_none_or(|wanted| *wanted == kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit() -> Unit {
        let deployment = |name: &str| {
            Object(json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
            "spec": {"template": {"metadata": {"labels": {"app": name, "part": "shop"}}}}}))
        };
        let service = |name: &str, selector| {
            Object(
                json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"selector": selector}}),
            )
        };
        Unit::new(
            "shop",
            "1.2.3",
            vec![
                deployment("web"),
                deployment("work"),
                service("front", json!({"app": "web"})),
                service("all", json!({"part": "shop"})),
                service("blind", json!({"app": "wbe"})),
                service("outside", json!(null)),
            ],
        )
    }

    #[test]
    fn services_are_found_by_what_they_select() {
        let unit = unit();
        let names = |objects: Vec<&Object>| objects.iter().map(|each| each.name().to_owned()).collect::<Vec<_>>();
        let all = unit.delivered(&[]).unwrap();
        assert_eq!(names(unit.services(&[], &all).unwrap()), ["front", "all"]);
        let work = unit.delivered(&[WorkloadRef::parse("work").unwrap()]).unwrap();
        assert_eq!(names(unit.services(&[], &work).unwrap()), ["all"]);
        assert_eq!(
            unit.services(&["blind".to_owned(), "fron".to_owned()], &all).unwrap_err(),
            [
                "Service \"blind\" selects no pod template in this release",
                "Service \"fron\" is not in the manifests; they have: front, all, blind, outside; did you mean front?"
            ]
        );
        assert_eq!(unit.services_without_pods(), ["Service \"blind\" selects no pod template in this release"]);
    }

    #[test]
    fn workloads_that_are_not_rendered_are_named() {
        let wanted = [WorkloadRef::parse("wrk").unwrap(), WorkloadRef::parse("sts/web").unwrap()];
        let wrong = unit().delivered(&wanted).unwrap_err();
        assert_eq!(wrong[0], "workload \"wrk\" is not in the manifests; they have: web, work; did you mean work?");
        assert_eq!(wrong.len(), 2);
    }

    #[test]
    fn every_object_bears_the_unit_and_pods_the_release() {
        let unit = unit();
        assert!(unit.objects.iter().all(|object| object.labels()[UNIT] == "shop"));
        let web = &unit.objects[0];
        assert_eq!(web.pod_labels()[RELEASE], unit.release.0);
        assert_eq!(web.texts("/spec/template/metadata/annotations")[VERSION], "1.2.3");
    }
}
