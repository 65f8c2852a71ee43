//! One environment in full: what runs, what takes the traffic, what scales it, what went wrong lately.
//!
//! - Read-only. [`read`] asks the cluster once for each kind; [`EnvironmentStatus::of`] is pure and decides what is live by
//!   what the Services select, never by a label on a workload.
//! - What cannot be read is named; nothing is called healthy that was not seen.
//! - An operation in force that keeps a workload at 0 pods is no health.

mod live;
mod operations;
mod read;
mod usage;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::check::counts;
use crate::object::selects;
use crate::operate::Note;
use crate::rollout::{self, is_ready, of_template, trouble};
use crate::{Object, Target};

pub use live::ServiceStatus;
pub use operations::OperationStatus;
pub use read::read;
pub use usage::Usage;

/// How many events are shown.
const EVENTS: usize = 10;

/// An environment's health, in ux words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    /// Every live workload has its pods.
    Healthy,
    /// A rollout goes on.
    Deploying,
    /// Some pods of a live workload are missing, a rollout does not get on, or an operation keeps a workload without pods.
    Degraded,
    /// A live Service has no ready endpoint.
    Unhealthy,
    /// What it depends on cannot be read.
    Unknown,
    /// Nothing is delivered here.
    Empty,
}

impl Health {
    /// The word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Deploying => "deploying",
            Self::Degraded => "degraded",
            Self::Unhealthy => "unhealthy",
            Self::Unknown => "unknown",
            Self::Empty => "empty",
        }
    }
}

/// Everything of one namespace that people look for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EnvironmentStatus {
    /// Where.
    pub target: Target,
    /// How it is.
    pub health: Health,
    /// The Services with whom they select.
    pub services: Vec<ServiceStatus>,
    /// The workloads, live ones first.
    pub workloads: Vec<WorkloadStatus>,
    /// The autoscalers.
    pub autoscalers: Vec<AutoscalerStatus>,
    /// The disruption budgets.
    pub budgets: Vec<BudgetStatus>,
    /// The operations in force.
    pub operations: Vec<OperationStatus>,
    /// Warnings, newest first.
    pub events: Vec<EventLine>,
    /// Kinds that could not be read.
    pub unread: Vec<Unread>,
}

/// A kind that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unread {
    /// `Event`.
    pub kind: String,
    /// Why.
    pub why: String,
    /// What to do about it.
    pub next: String,
}

/// One workload.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WorkloadStatus {
    /// `Deployment`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// The release it belongs to; empty where Tagline did not make it.
    pub release: String,
    /// The version; empty where unknown.
    pub version: String,
    /// A Service with a name selects its pods.
    pub live: bool,
    /// Pods that are new and available, and how many are wanted.
    pub ready: i64,
    /// See `ready`.
    pub wanted: i64,
    /// What its rollout waits for or failed at; empty where it is done.
    pub note: String,
    /// It is not as it is meant to be and does not get there by itself.
    pub stuck: bool,
    /// Its images.
    pub images: Vec<String>,
    /// Its pods.
    pub pods: Vec<PodStatus>,
}

/// One pod.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PodStatus {
    /// Its name.
    pub name: String,
    /// It takes requests.
    pub ready: bool,
    /// Container restarts.
    pub restarts: i64,
    /// Since when, RFC 3339.
    pub since: String,
    /// What troubles it, or its phase.
    pub state: String,
    /// Its last lines, where it is in trouble.
    pub log: Vec<String>,
    /// What it uses, where the cluster measures it.
    pub usage: Option<Usage>,
}

/// One autoscaler.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AutoscalerStatus {
    /// Its name.
    pub name: String,
    /// The workload it scales.
    pub workload: String,
    /// Its bounds and where it stands.
    pub minimum: i64,
    /// See `minimum`.
    pub maximum: i64,
    /// See `minimum`.
    pub current: i64,
    /// Why it does not scale; empty where it does.
    pub note: String,
}

/// One disruption budget.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BudgetStatus {
    /// Its name.
    pub name: String,
    /// Pods that count for it.
    pub pods: i64,
    /// Evictions it allows now.
    pub allowed: i64,
}

/// One warning.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EventLine {
    /// When, RFC 3339.
    pub at: String,
    /// `Pod/shop-1`.
    pub about: String,
    /// `BackOff`.
    pub reason: String,
    /// The message.
    pub message: String,
}

/// What is read of a namespace.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// Deployments, StatefulSets and DaemonSets.
    pub workloads: Vec<Object>,
    /// Services.
    pub services: Vec<Object>,
    /// EndpointSlices.
    pub slices: Vec<Object>,
    /// Pods.
    pub pods: Vec<Object>,
    /// HorizontalPodAutoscalers.
    pub autoscalers: Vec<Object>,
    /// PodDisruptionBudgets.
    pub budgets: Vec<Object>,
    /// Events.
    pub events: Vec<Object>,
    /// Notes of operations, with the ConfigMaps that hold them.
    pub notes: Vec<(Note, Object)>,
    /// PodMetrics, by pod.
    pub usage: BTreeMap<String, Usage>,
    /// The last lines of pods in trouble, by pod.
    pub logs: BTreeMap<String, Vec<String>>,
    /// Kinds that could not be read.
    pub unread: Vec<Unread>,
}

impl Found {
    fn lacks(&self, kinds: &[&str]) -> bool {
        self.unread.iter().any(|unread| kinds.contains(&unread.kind.as_str()))
    }
}

impl EnvironmentStatus {
    /// What was found, as people look at it.
    pub fn of(target: Target, found: &Found) -> Self {
        let services: Vec<ServiceStatus> = live::services(found);
        let mut workloads: Vec<WorkloadStatus> = found.workloads.iter().map(|one| workload(one, found)).collect();
        workloads.sort_by(|a, b| (!a.live, &a.name).cmp(&(!b.live, &b.name)));
        let health = health(&services, &workloads, found);
        Self {
            target,
            health,
            services,
            workloads,
            autoscalers: found.autoscalers.iter().map(autoscaler).collect(),
            budgets: found.budgets.iter().map(budget).collect(),
            operations: found.notes.iter().map(operations::operation).collect(),
            events: warnings(&found.events),
            unread: found.unread.clone(),
        }
    }
}

/// Kinds without which nobody can say that all is well.
const NEEDED: &[&str] = &["Deployment", "StatefulSet", "DaemonSet", "Service", "EndpointSlice", "Pod", "ConfigMap"];

fn health(services: &[ServiceStatus], workloads: &[WorkloadStatus], found: &Found) -> Health {
    let selecting = |service: &&ServiceStatus| workloads.iter().any(|one| service.workloads.contains(&one.name));
    if services.iter().filter(selecting).any(|service| service.ready == Some(0)) {
        return Health::Unhealthy;
    }
    let short = |one: &WorkloadStatus| one.ready < one.wanted;
    if workloads.iter().any(|one| one.stuck || one.live && short(one)) {
        return Health::Degraded;
    }
    if found.lacks(NEEDED) {
        return Health::Unknown;
    }
    match workloads {
        [] => Health::Empty,
        _ if workloads.iter().any(short) => Health::Deploying,
        _ => Health::Healthy,
    }
}

fn workload(object: &Object, found: &Found) -> WorkloadStatus {
    let status = rollout::status(object);
    let labels = object.pod_labels();
    let live = found.services.iter().any(|service| selects(&service.texts("/spec/selector"), &labels))
        || found.services.iter().any(|service| {
            // An adopted release is selected by its pods' hash, which no template bears.
            let selector = service.texts("/spec/selector");
            let mut pods = found.pods.iter().filter(|pod| of_template(object, pod) && counts(pod));
            pods.any(|pod| selects(&selector, &pod.labels()))
        });
    let pods: Vec<&Object> = found.pods.iter().filter(|pod| of_template(object, pod)).collect();
    let stopped = operations::stopped_by(object, &found.notes);
    let note = match (status.as_ref().map(|status| &status.state), stopped) {
        (_, Some(note)) => format!("no pods by an operation: {}", note.what),
        (Some(rollout::State::Progressing(why) | rollout::State::Failed(why)), _) => why.clone(),
        (Some(rollout::State::Empty), _) => "scaled to 0".to_owned(),
        _ => String::new(),
    };
    let (ready, wanted) = status.as_ref().map_or((0, 0), |status| (status.there(), status.wanted));
    let failed = matches!(status.as_ref().map(|status| &status.state), Some(rollout::State::Failed(_)));
    let stuck = stopped.is_some() || ready < wanted && (failed || pods.iter().any(|pod| is_troubled(pod)));
    let containers = object.list("/spec/template/spec/containers").iter();
    let mut annotations = object.annotations();
    WorkloadStatus {
        kind: object.kind().to_owned(),
        name: object.name().to_owned(),
        release: labels.get("tagline.dev/release").cloned().unwrap_or_default(),
        version: annotations.remove("tagline.dev/version").unwrap_or_default(),
        live,
        ready,
        wanted,
        note,
        stuck,
        images: containers.filter_map(|one| one["image"].as_str().map(str::to_owned)).collect(),
        pods: pods.into_iter().map(|one| pod(one, found)).collect(),
    }
}

fn restarts(pod: &Object) -> i64 {
    pod.list("/status/containerStatuses").iter().filter_map(|one| one["restartCount"].as_i64()).sum()
}

/// It does not get ready, and more is known than that it is young: between two ends of a container nothing waits, and its
/// restarts say it.
fn is_troubled(pod: &Object) -> bool {
    trouble(pod, 1).is_some() || counts(pod) && !is_ready(pod) && restarts(pod) > 0
}

fn pod(object: &Object, found: &Found) -> PodStatus {
    let state = match trouble(object, 1) {
        Some(trouble) => trouble.text,
        None if object.is_terminating() => "ending".to_owned(),
        None => object.text("/status/phase").to_lowercase(),
    };
    PodStatus {
        name: object.name().to_owned(),
        ready: is_ready(object),
        restarts: restarts(object),
        since: object.text("/status/startTime").to_owned(),
        state,
        log: found.logs.get(object.name()).cloned().unwrap_or_default(),
        usage: found.usage.get(object.name()).cloned(),
    }
}

fn autoscaler(object: &Object) -> AutoscalerStatus {
    let mut conditions = object.list("/status/conditions").iter();
    let idle = conditions.find(|one| one["type"] == "ScalingActive" && one["status"] == "False");
    AutoscalerStatus {
        name: object.name().to_owned(),
        workload: object.text("/spec/scaleTargetRef/name").to_owned(),
        minimum: object.number("/spec/minReplicas").unwrap_or(1),
        maximum: object.number("/spec/maxReplicas").unwrap_or(0),
        current: object.number("/status/currentReplicas").unwrap_or(0),
        note: idle.and_then(|one| one["message"].as_str()).unwrap_or_default().to_owned(),
    }
}

fn budget(object: &Object) -> BudgetStatus {
    BudgetStatus {
        name: object.name().to_owned(),
        pods: object.number("/status/expectedPods").unwrap_or(0),
        allowed: object.number("/status/disruptionsAllowed").unwrap_or(0),
    }
}

fn warnings(events: &[Object]) -> Vec<EventLine> {
    let time = |event: &Object| {
        let times = ["/series/lastObservedTime", "/lastTimestamp", "/eventTime", "/metadata/creationTimestamp"];
        times.iter().map(|place| event.text(place)).find(|time| !time.is_empty()).unwrap_or_default().to_owned()
    };
    let mut lines: Vec<EventLine> = events
        .iter()
        .filter(|event| event.text("/type") == "Warning")
        .map(|event| EventLine {
            at: time(event),
            about: format!("{}/{}", event.text("/involvedObject/kind"), event.text("/involvedObject/name")),
            reason: event.text("/reason").to_owned(),
            message: event.text("/message").to_owned(),
        })
        .collect();
    lines.sort_by(|a, b| b.at.cmp(&a.at));
    lines.truncate(EVENTS);
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment(name: &str, release: &str, ready: i64) -> Object {
        Object(json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": name, "generation": 1, "annotations": {"tagline.dev/version": "1.2.3"}},
            "spec": {"replicas": 2, "template": {
                "metadata": {"labels": {"app": "shop", "tagline.dev/release": release}},
                "spec": {"containers": [{"name": "web", "image": "r/shop@sha256:aa"}]}}},
            "status": {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "readyReplicas": ready,
                "availableReplicas": ready},
        }))
    }

    fn found(ready: i64, endpoints: usize) -> Found {
        let endpoint = |number: usize| {
            let uid = number.to_string();
            json!({"conditions": {"ready": true}, "targetRef": {"kind": "Pod", "name": "p", "uid": uid}})
        };
        Found {
            workloads: vec![deployment("old", "v1", 2), deployment("new", "v2", ready)],
            services: vec![Object(json!({"kind": "Service", "metadata": {"name": "shop"},
                "spec": {"selector": {"app": "shop", "tagline.dev/release": "v2"}}}))],
            slices: vec![Object(json!({"kind": "EndpointSlice",
                "metadata": {"labels": {"kubernetes.io/service-name": "shop"}},
                "endpoints": (0..endpoints).map(endpoint).collect::<Vec<_>>()}))],
            ..Found::default()
        }
    }

    fn status(found: &Found) -> EnvironmentStatus {
        EnvironmentStatus::of(Target { context: "c".into(), namespace: "n".into() }, found)
    }

    #[test]
    fn live_is_what_the_service_selects() {
        let status = status(&found(2, 2));
        let live: Vec<(&str, bool)> = status.workloads.iter().map(|one| (one.name.as_str(), one.live)).collect();
        assert_eq!(live, [("new", true), ("old", false)]);
        assert_eq!(status.health, Health::Healthy);
        assert_eq!(status.services[0].ready, Some(2));
    }

    #[test]
    fn missing_pods_degrade_and_no_endpoint_is_unhealthy() {
        assert_eq!(status(&found(1, 1)).health, Health::Degraded);
        assert_eq!(status(&found(0, 0)).health, Health::Unhealthy);
        assert_eq!(status(&Found::default()).health, Health::Empty);
    }

    #[test]
    fn a_worker_that_an_operation_keeps_without_pods_is_not_healthy() {
        let mut found = found(2, 2);
        let mut worker = deployment("worker", "v2", 0);
        worker.set("/metadata/uid", json!("u"));
        worker.set("/spec/replicas", json!(0));
        worker.set("/spec/template/metadata/labels", json!({"app": "worker"}));
        found.workloads.push(worker);
        assert_eq!(status(&found).health, Health::Healthy, "a release that is kept has no pods either");
        let note = json!({"name": "n", "what": "scale Deployment/worker", "statements": [], "job": null, "facts": {},
            "before": [{"id": {"api_version": "apps/v1", "kind": "Deployment", "namespace": "n", "name": "worker"}, "uid": "u",
                "fields": [{"place": {"at": "/spec/replicas"}, "value": 2}]}],
            "due": "2026-01-01T00:00:00Z"});
        let there = Object(json!({"metadata": {"creationTimestamp": "2025-12-31T23:00:00Z"}}));
        found.notes = vec![(serde_json::from_value(note).unwrap(), there)];
        let status = status(&found);
        assert_eq!(status.health, Health::Degraded);
        assert_eq!(status.workloads[2].note, "no pods by an operation: scale Deployment/worker");
        let [operation] = status.operations.as_slice() else { panic!("{:?}", status.operations) };
        assert_eq!(operation.until.as_deref(), Some("2026-01-01T00:00:00Z"));
    }

    #[test]
    fn a_parked_workload_that_crashes_is_not_being_deployed() {
        let mut found = found(2, 2);
        found.workloads[0] = deployment("old", "v1", 0);
        assert_eq!(status(&found).health, Health::Deploying);
        let pod = |state: serde_json::Value| {
            Object(
                json!({"kind": "Pod", "metadata": {"name": "old-1", "labels": {"app": "shop", "tagline.dev/release": "v1"}},
                "status": {"phase": "Running", "containerStatuses": [{"name": "web", "restartCount": 4, "state": state}]}}),
            )
        };
        found.logs.insert("old-1".to_owned(), vec!["panicked".to_owned()]);
        for state in [json!({"waiting": {"reason": "CrashLoopBackOff"}}), json!({"running": {}})] {
            found.pods = vec![pod(state)];
            let status = status(&found);
            assert_eq!(status.health, Health::Degraded);
            assert_eq!(status.workloads[1].pods[0].log, ["panicked"]);
        }
    }

    #[test]
    fn what_cannot_be_read_is_named_and_never_healthy() {
        let unread =
            |kind: &str| Unread { kind: kind.to_owned(), why: "not allowed".to_owned(), next: "grant it".to_owned() };
        let mut seen = found(2, 2);
        seen.unread = vec![unread("Event")];
        let said = status(&seen);
        assert_eq!((said.health, said.unread.len()), (Health::Healthy, 1));
        seen.unread = vec![unread("EndpointSlice")];
        seen.slices.clear();
        let said = status(&seen);
        assert_eq!((said.health, said.services[0].ready), (Health::Unknown, None));
        let none = Found { unread: vec![unread("Deployment")], ..Found::default() };
        assert_eq!(status(&none).health, Health::Unknown);
        let short = Found { unread: vec![unread("Pod")], ..found(1, 1) };
        assert_eq!(status(&short).health, Health::Degraded, "bad news needs no more");
    }
}
