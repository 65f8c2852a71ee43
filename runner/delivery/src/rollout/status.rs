//! How far a workload's rollout is, read from the object alone.

use std::fmt;

use serde_json::Value;

use crate::{Object, ObjectId};

/// Where a rollout stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It goes on; what it waits for.
    Progressing(String),
    /// All pods are of the newest template, ready and available, and there is at least one; a Job is complete.
    Done,
    /// Nothing is wanted: 0 replicas, or no node that takes it. Never "rolled out".
    Empty,
    /// It will not get there by itself; why.
    Failed(String),
}

/// A workload's rollout in numbers of pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolloutStatus {
    /// The workload.
    pub id: ObjectId,
    /// How many pods it is to have; of a Job, how many are to succeed.
    pub wanted: i64,
    /// Of the newest template.
    pub updated: i64,
    /// Ready, of any template; of a Job, that succeeded.
    pub ready: i64,
    /// Ready for `minReadySeconds`, of any template.
    pub available: i64,
    /// Of older templates.
    pub old: i64,
    /// Pods cannot be made (quota, policy): the controller's sentence. It tries again by itself.
    pub blocked: Option<String>,
    /// Where it stands.
    pub state: State,
}

impl RolloutStatus {
    /// It is rolled out.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Pods that surely are new and available: no more than this.
    pub fn there(&self) -> i64 {
        self.updated.min(self.available).max(0)
    }
}

impl fmt::Display for RolloutStatus {
    /// `workers 1/2`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.id.name, self.there(), self.wanted)
    }
}

/// The status of a Deployment, StatefulSet, DaemonSet or Job; None for other kinds.
pub fn status(object: &Object) -> Option<RolloutStatus> {
    let mut status = match object.kind() {
        "Deployment" => deployment(object),
        "StatefulSet" => stateful_set(object),
        "DaemonSet" => daemon_set(object),
        "Job" => job(object),
        _ => return None,
    };
    if object.is_terminating() {
        status.state = State::Failed("it is being deleted".to_owned());
    } else if !seen(object) && !matches!(status.state, State::Empty) {
        status.state = State::Progressing("its controller has not seen the change yet".to_owned());
    }
    Some(status)
}

/// The controller has seen the newest spec. A Job's controller does not say.
fn seen(object: &Object) -> bool {
    let generation = object.number("/metadata/generation").unwrap_or(0);
    object.kind() == "Job" || object.number("/status/observedGeneration").is_some_and(|observed| observed >= generation)
}

fn count(object: &Object, field: &str) -> i64 {
    object.number(&format!("/status/{field}")).unwrap_or(0)
}

/// A condition that has this status.
fn condition<'a>(object: &'a Object, kind: &str, status: &str) -> Option<&'a Value> {
    let mut conditions = object.list("/status/conditions").iter();
    conditions.find(|condition| condition["type"] == kind && condition["status"] == status)
}

fn said(condition: &Value) -> String {
    let text = |key: &str| condition[key].as_str().unwrap_or_default();
    match (text("reason"), text("message")) {
        (reason, "") => reason.to_owned(),
        ("", message) => message.to_owned(),
        (reason, message) => format!("{reason}: {message}"),
    }
}

fn waiting(text: String) -> State {
    State::Progressing(text)
}

fn deployment(object: &Object) -> RolloutStatus {
    let wanted = object.number("/spec/replicas").unwrap_or(1);
    let (updated, ready) = (count(object, "updatedReplicas"), count(object, "readyReplicas"));
    let (available, all) = (count(object, "availableReplicas"), count(object, "replicas"));
    let old = (all - updated).max(0);
    let late = condition(object, "Progressing", "False").filter(|each| each["reason"] == "ProgressDeadlineExceeded");
    let state = if wanted == 0 {
        State::Empty
    } else if object.0.pointer("/spec/paused") == Some(&Value::Bool(true)) {
        State::Failed("it is paused (spec.paused)".to_owned())
    } else if let Some(late) = late {
        State::Failed(said(late))
    } else if updated < wanted {
        waiting(format!("{updated} of {wanted} new pods are made"))
    } else if old > 0 {
        waiting(format!("{old} old pods are still to go"))
    } else if available < wanted || ready < wanted {
        waiting(format!("{} of {wanted} pods are available", available.min(ready)))
    } else {
        State::Done
    };
    let blocked = condition(object, "ReplicaFailure", "True").map(said);
    RolloutStatus { id: object.id(), wanted, updated, ready, available, old, blocked, state }
}

fn stateful_set(object: &Object) -> RolloutStatus {
    let wanted = object.number("/spec/replicas").unwrap_or(1);
    let (updated, ready) = (count(object, "updatedReplicas"), count(object, "readyReplicas"));
    let (available, all) = (count(object, "availableReplicas"), count(object, "replicas"));
    let partition = object.number("/spec/updateStrategy/rollingUpdate/partition").unwrap_or(0);
    let to_update = (wanted - partition).max(0);
    let same = object.text("/status/currentRevision") == object.text("/status/updateRevision");
    let state = if wanted == 0 {
        State::Empty
    } else if object.text("/spec/updateStrategy/type") == "OnDelete" && updated < wanted {
        State::Failed("its updateStrategy is OnDelete: pods are renewed only when somebody deletes them".to_owned())
    } else if to_update == 0 {
        State::Failed(format!("its partition {partition} leaves no pod of {wanted} to be renewed"))
    } else if updated < to_update || (partition == 0 && !same) {
        waiting(format!("{updated} of {to_update} new pods are made"))
    } else if available < wanted || ready < wanted {
        waiting(format!("{} of {wanted} pods are available", available.min(ready)))
    } else {
        State::Done
    };
    let old = (all - updated).max(0);
    RolloutStatus { id: object.id(), wanted, updated, ready, available, old, blocked: None, state }
}

fn daemon_set(object: &Object) -> RolloutStatus {
    let wanted = count(object, "desiredNumberScheduled");
    let (updated, ready) = (count(object, "updatedNumberScheduled"), count(object, "numberReady"));
    let (available, all) = (count(object, "numberAvailable"), count(object, "currentNumberScheduled"));
    let state = if wanted == 0 {
        State::Empty
    } else if object.text("/spec/updateStrategy/type") == "OnDelete" && updated < wanted {
        State::Failed("its updateStrategy is OnDelete: pods are renewed only when somebody deletes them".to_owned())
    } else if updated < wanted {
        waiting(format!("{updated} of {wanted} new pods are made"))
    } else if available < wanted {
        waiting(format!("{available} of {wanted} pods are available"))
    } else {
        State::Done
    };
    // Before its first look the controller wants nothing: that is not "no node takes it".
    let state = if seen(object) { state } else { waiting("its controller has not seen it yet".to_owned()) };
    let old = (all - updated).max(0);
    RolloutStatus { id: object.id(), wanted, updated, ready, available, old, blocked: None, state }
}

fn job(object: &Object) -> RolloutStatus {
    let wanted = object.number("/spec/completions").or(object.number("/spec/parallelism")).unwrap_or(1);
    let (active, succeeded) = (count(object, "active"), count(object, "succeeded"));
    // FailureTarget is said first; the Job is Failed once its pods are gone.
    let failed = condition(object, "Failed", "True").or_else(|| condition(object, "FailureTarget", "True"));
    let state = if let Some(failed) = failed {
        State::Failed(said(failed))
    } else if condition(object, "Complete", "True").is_some() {
        State::Done
    } else if object.0.pointer("/spec/suspend") == Some(&Value::Bool(true)) {
        State::Failed("it is suspended (spec.suspend)".to_owned())
    } else {
        waiting(format!("{succeeded} of {wanted} pods succeeded, {active} run"))
    };
    RolloutStatus {
        id: object.id(),
        wanted,
        updated: succeeded,
        ready: succeeded,
        available: succeeded,
        old: 0,
        blocked: None,
        state,
    }
}
