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
        status.blocked = None;
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn deployment(wanted: i64, counts: [i64; 4], generation: i64, observed: Option<i64>) -> Object {
        let [all, updated, ready, available] = counts;
        let mut status = json!({"replicas": all, "updatedReplicas": updated, "readyReplicas": ready, "availableReplicas": available});
        if let Some(observed) = observed {
            status["observedGeneration"] = json!(observed);
        }
        Object(
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "w", "generation": generation},
            "spec": {"replicas": wanted}, "status": status}),
        )
    }

    proptest! {
        #[test]
        fn a_deployment_is_done_only_with_all_pods_new_and_available(
            wanted in 0_i64..5, counts in prop::array::uniform4(0_i64..6), generation in 1_i64..4, observed in prop::option::of(0_i64..4),
        ) {
            let [all, updated, ready, available] = counts;
            let status = status(&deployment(wanted, counts, generation, observed)).unwrap();
            let done = wanted > 0 && observed.is_some_and(|observed| observed >= generation)
                && updated >= wanted && all <= updated && ready >= wanted && available >= wanted;
            prop_assert_eq!(status.is_done(), done, "{:?}", status);
            prop_assert!(!status.is_done() || status.there() >= wanted);
        }

        #[test]
        fn no_object_is_a_panic(kind in "Deployment|StatefulSet|DaemonSet|Job", number in any::<i64>(), text in "\\PC{0,8}") {
            for value in [json!(number), json!(text), json!(null), json!([number]), json!({"a": text})] {
                let object = json!({"kind": kind, "metadata": {"generation": value}, "spec": {"replicas": value, "updateStrategy": value},
                    "status": {"replicas": value, "updatedReplicas": value, "conditions": value, "desiredNumberScheduled": value}});
                status(&Object(object));
            }
        }
    }

    fn conditions(kind: &str, conditions: &Value) -> State {
        let object = json!({"apiVersion": "batch/v1", "kind": kind, "metadata": {"name": "j", "generation": 1},
            "status": {"observedGeneration": 1, "conditions": conditions}});
        status(&Object(object)).unwrap().state
    }

    #[test]
    fn a_deadline_that_is_exceeded_is_a_failure_but_not_of_an_older_spec() {
        let late = json!([{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "timed out"}]);
        assert_eq!(conditions("Deployment", &late), State::Failed("ProgressDeadlineExceeded: timed out".to_owned()));
        let mut stale = deployment(2, [2, 2, 2, 2], 5, Some(4));
        stale.set("/status/conditions", late);
        assert!(matches!(status(&stale).unwrap().state, State::Progressing(_)));
    }

    #[test]
    fn a_job_is_failed_as_soon_as_it_is_said_and_complete_only_when_it_is() {
        let said = |kind: &str| json!([{"type": kind, "status": "True", "reason": "R"}]);
        assert_eq!(conditions("Job", &said("FailureTarget")), State::Failed("R".to_owned()));
        assert_eq!(conditions("Job", &said("Failed")), State::Failed("R".to_owned()));
        assert!(matches!(conditions("Job", &said("SuccessCriteriaMet")), State::Progressing(_)));
        assert_eq!(conditions("Job", &said("Complete")), State::Done);
    }

    #[test]
    fn a_stateful_set_is_done_up_to_its_partition_and_by_its_revision() {
        let set = |partition: i64, updated: i64, same: bool| {
            let object = json!({"kind": "StatefulSet", "metadata": {"name": "s", "generation": 1}, "spec": {"replicas": 3,
                "updateStrategy": {"rollingUpdate": {"partition": partition}}}, "status": {"observedGeneration": 1, "replicas": 3,
                "updatedReplicas": updated, "readyReplicas": 3, "availableReplicas": 3,
                "currentRevision": if same { "b" } else { "a" }, "updateRevision": "b"}});
            status(&Object(object)).unwrap().state
        };
        assert_eq!(set(0, 3, true), State::Done);
        assert!(matches!(set(0, 3, false), State::Progressing(_)));
        assert_eq!(set(2, 1, false), State::Done);
        assert!(matches!(set(2, 0, false), State::Progressing(_)));
        assert!(matches!(set(3, 0, false), State::Failed(_)));
    }

    #[test]
    fn a_paused_workload_and_one_that_is_deleted_will_not_get_there() {
        let mut paused = deployment(1, [0, 0, 0, 0], 1, Some(1));
        paused.set("/spec/paused", json!(true));
        assert!(matches!(status(&paused).unwrap().state, State::Failed(_)));
        let mut going = deployment(1, [1, 1, 1, 1], 1, Some(1));
        going.set("/metadata/deletionTimestamp", json!("2026-01-01T00:00:00Z"));
        assert!(matches!(status(&going).unwrap().state, State::Failed(_)));
    }
}
