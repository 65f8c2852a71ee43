//! A Job as its manifest has it; and what every Job of ours is relieved of. Pure.

use std::time::Duration;

use serde_json::json;

use super::make::JobPlan;
use crate::Object;
use crate::cluster::Labels;
use crate::object::selects;
use crate::unit::{COLOUR, RELEASE, UNIT, WORKLOAD};

/// Labels of a unit's own workloads and pods.
const NOT_OURS: [&str; 5] = [UNIT, RELEASE, WORKLOAD, COLOUR, "pod-template-hash"];
/// How long a test's Job stays when it has ended.
const KEPT: Duration = Duration::from_hours(30 * 24);
/// How much later than the step the cluster ends a test's Job.
const LATER: Duration = Duration::from_mins(1);

impl JobPlan {
    /// A Job as its manifest has it, images and all, for a test: its first container is the one whose log is followed. What
    /// would make it run again, run twice, outlive itself, belong to somebody, or get traffic is taken away.
    ///
    /// # Errors
    /// It is neither a Job nor a CronJob, or it has no container.
    pub fn as_written(template: &Object, namespace: &str, timeout: Duration) -> Result<Self, String> {
        let id = template.id();
        let at = match template.kind() {
            "Job" => "",
            "CronJob" => "/spec/jobTemplate",
            other => return Err(format!("{id} is no Job: its kind is {other}")),
        };
        let spec = template.0.pointer(&format!("{at}/spec")).cloned().unwrap_or_default();
        let labels = template.texts(&format!("{at}/metadata/labels"));
        let metadata = json!({"name": template.name(), "namespace": namespace, "labels": own(labels)});
        let mut object = Object(json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}));
        let first = object.list("/spec/template/spec/containers").first();
        let Some(container) = first.and_then(|one| one["name"].as_str()).map(str::to_owned) else {
            return Err(format!("{id} has no container"));
        };
        for key in ["selector", "manualSelector", "suspend", "backoffLimitPerIndex"] {
            object.remove(&format!("/spec/{key}"));
        }
        object.set("/spec/backoffLimit", 0.into());
        object.set("/spec/ttlSecondsAfterFinished", KEPT.as_secs().into());
        if object.number("/spec/activeDeadlineSeconds").is_none() {
            // Should no engine come back: the cluster ends it by itself, a little later.
            object.set("/spec/activeDeadlineSeconds", timeout.saturating_add(LATER).as_secs().into());
        }
        settle(&mut object);
        Ok(Self { source: id.to_string(), container, object })
    }
}

/// Its pods are started once, and nobody takes them for a unit's own.
pub(super) fn settle(object: &mut Object) {
    object.set("/spec/template/spec/restartPolicy", "Never".into());
    object.remove("/spec/template/metadata/creationTimestamp");
    let labels = object.pod_labels();
    if !labels.is_empty() {
        object.set("/spec/template/metadata/labels", json!(own(labels)));
    }
}

/// Without the labels that a unit's workloads and pods are found by, and those that controllers set.
fn own(mut labels: Labels) -> Labels {
    labels.retain(|key, _| {
        !NOT_OURS.contains(&key.as_str()) && !key.ends_with("controller-uid") && !key.ends_with("job-name")
    });
    labels
}

/// The Services that would send requests to pods with these labels, a problem each.
pub(crate) fn reached(services: &[Object], pods: &Labels, source: &str) -> Vec<String> {
    let reached = services.iter().filter(|each| selects(&each.texts("/spec/selector"), pods));
    let problems = reached.map(|each| {
        let id = each.id();
        format!("{id} selects the pods of {source}: they would be sent requests; give them labels of their own")
    });
    problems.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_tests_job_is_as_it_is_written_and_runs_once() {
        let labels = json!({"app": "m", "tagline.dev/release": "v1", "tagline.dev/colour": "blue"});
        let cron = Object(json!({
            "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "m"},
            "spec": {"suspend": true, "schedule": "@yearly", "jobTemplate": {"metadata": {"labels": labels}, "spec": {
                "backoffLimit": 6, "suspend": true, "completions": 2, "ttlSecondsAfterFinished": 5,
                "template": {"metadata": {"labels": labels}, "spec": {"restartPolicy": "OnFailure",
                    "containers": [{"name": "a", "image": "i"}, {"name": "b", "image": "i"}]}},
            }}},
        }));
        let plan = JobPlan::as_written(&cron, "shop", Duration::from_mins(1)).unwrap();
        let job = &plan.object;
        assert_eq!((job.kind(), job.name(), job.namespace()), ("Job", "m", Some("shop")));
        assert_eq!((plan.container.as_str(), plan.source.as_str()), ("a", "CronJob/m"));
        let numbers = ["backoffLimit", "completions", "activeDeadlineSeconds"];
        assert_eq!(numbers.map(|key| job.number(&format!("/spec/{key}"))), [Some(0), Some(2), Some(120)]);
        assert_eq!(job.text("/spec/template/spec/restartPolicy"), "Never");
        assert_eq!(job.0.pointer("/spec/suspend"), None);
        let own = Labels::from([("app".to_owned(), "m".to_owned())]);
        assert_eq!((job.labels(), job.pod_labels()), (own.clone(), own));
        let refused = |object: Value| JobPlan::as_written(&Object(object), "shop", Duration::ZERO).unwrap_err();
        let deployment = json!({"kind": "Deployment", "metadata": {"name": "shop"}});
        assert_eq!(refused(deployment), "Deployment/shop is no Job: its kind is Deployment");
        let empty = json!({"kind": "Job", "metadata": {"name": "a"}, "spec": {}});
        assert_eq!(refused(empty), "Job/a has no container");
    }
}
