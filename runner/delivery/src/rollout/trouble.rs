//! What keeps one pod from getting ready, read from the pod alone.

use std::fmt;
use std::time::Duration;

use serde_json::Value;

use super::pull::Pull;
use crate::Object;

/// What kind of trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TroubleKind {
    /// The image cannot be pulled or is none.
    ImagePull,
    /// A ConfigMap, Secret or key is missing.
    Config,
    /// The container cannot be made or started: a command that does not exist, a mount that fails.
    Start,
    /// It ends again and again.
    CrashLoop,
    /// No node takes it.
    Unschedulable,
}

/// What keeps one pod from getting ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// The pod.
    pub pod: String,
    /// Its container; empty where it is about the whole pod.
    pub container: String,
    /// What kind.
    pub kind: TroubleKind,
    /// Reason and message, as the kubelet or scheduler has them.
    pub text: String,
    /// How often the container was started again.
    pub restarts: i64,
    /// It may get better by itself for so long; zero: it will not. None: it may at any time.
    pub grace: Option<Duration>,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.pod, self.text)?;
        if self.kind == TroubleKind::CrashLoop {
            write!(f, " ({} restarts)", self.restarts)?;
        }
        Ok(())
    }
}

/// The worst that keeps a pod from getting ready; None where it is only not there yet. `restarts`: from so many on, a
/// container that ends again and again is a crash loop.
pub fn trouble(pod: &Object, restarts: i64) -> Option<Trouble> {
    if pod.is_terminating() {
        return None;
    }
    let containers = ["/status/initContainerStatuses", "/status/containerStatuses"].map(|place| pod.list(place));
    let of_containers = containers.into_iter().flatten().filter_map(|status| of_container(pod, status, restarts));
    of_containers.min_by_key(|trouble| trouble.grace).or_else(|| unschedulable(pod))
}

fn of_container(pod: &Object, status: &Value, restarts: i64) -> Option<Trouble> {
    let waiting = status.pointer("/state/waiting")?;
    let text = |key: &str| waiting[key].as_str().unwrap_or_default();
    let (reason, message) = (text("reason"), text("message"));
    let name = status["name"].as_str().unwrap_or_default();
    let restarted = status["restartCount"].as_i64().unwrap_or(0);
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    let (kind, grace) = match reason {
        "ErrImageNeverPull" | "InvalidImageName" => (TroubleKind::ImagePull, seconds(0)),
        "ErrImagePull" | "ImagePullBackOff" | "ImageInspectError" | "RegistryUnavailable" => {
            // A registry that says no will say no again.
            let why = Pull::read(message, image_of(pod, name));
            (TroubleKind::ImagePull, seconds(if why.is_final() { 5 } else { 45 }))
        }
        // The kubelet may see a pod some moments before its new ConfigMap.
        "CreateContainerConfigError" => (TroubleKind::Config, seconds(5)),
        "CreateContainerError" | "RunContainerError" | "StartError" => (TroubleKind::Start, seconds(15)),
        "CrashLoopBackOff" => (TroubleKind::CrashLoop, (restarted >= restarts).then_some(Duration::ZERO)),
        _ => return None,
    };
    let ended = status.pointer("/lastState/terminated").map(ending).filter(|_| kind == TroubleKind::CrashLoop);
    let text = match (ended, message) {
        (Some(ended), _) => format!("{reason}: {ended}"),
        (None, "") => reason.to_owned(),
        (None, message) => format!("{reason}: {message}"),
    };
    Some(Trouble { pod: pod.name().to_owned(), container: name.to_owned(), kind, text, restarts: restarted, grace })
}

/// The image of a container, as the pod names it.
pub(crate) fn image_of<'a>(pod: &'a Object, container: &str) -> &'a str {
    let mut containers = ["/spec/initContainers", "/spec/containers"].into_iter().flat_map(|place| pod.list(place));
    let found = containers.find(|each| each["name"] == container);
    found.and_then(|each| each["image"].as_str()).unwrap_or_default()
}

/// `OOMKilled` or `exit code 3`.
fn ending(terminated: &Value) -> String {
    match (terminated["reason"].as_str(), terminated["exitCode"].as_i64()) {
        (Some(reason), _) if !matches!(reason, "Error" | "Completed") => reason.to_owned(),
        (_, code) => format!("exit code {}", code.unwrap_or(-1)),
    }
}

/// New nodes may come, and other pods go: no end to its grace.
fn unschedulable(pod: &Object) -> Option<Trouble> {
    let mut conditions = pod.list("/status/conditions").iter();
    let condition = conditions.find(|each| each["type"] == "PodScheduled" && each["status"] == "False")?;
    let message = condition["message"].as_str().unwrap_or_default();
    Some(Trouble {
        pod: pod.name().to_owned(),
        container: String::new(),
        kind: TroubleKind::Unschedulable,
        text: format!("cannot be scheduled: {message}"),
        restarts: 0,
        grace: None,
    })
}

/// The pod is ready and stays: not on its way out.
pub fn is_ready(pod: &Object) -> bool {
    let ready = |each: &Value| each["type"] == "Ready" && each["status"] == "True";
    !pod.is_terminating() && pod.list("/status/conditions").iter().any(ready)
}

/// The pod was made from this workload's template: it bears all labels of it (among them the release), and of a
/// StatefulSet, the revision.
pub fn of_template(workload: &Object, pod: &Object) -> bool {
    let labels = pod.labels();
    let mut wanted = workload.pod_labels();
    match workload.kind() {
        "Job" => {
            wanted.insert("batch.kubernetes.io/job-name".to_owned(), workload.name().to_owned());
        }
        "StatefulSet" if !workload.text("/status/updateRevision").is_empty() => {
            let revision = workload.text("/status/updateRevision").to_owned();
            wanted.insert("controller-revision-hash".to_owned(), revision);
        }
        _ => {}
    }
    crate::object::selects(&wanted, &labels)
}
