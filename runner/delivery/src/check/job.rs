//! A Job of our own: made under a name of its own, followed to its end, its logs kept; gone before anything else is done
//! where it is to stop.
//!
//! - Its name is of run and attempt: a second release never meets the first one's Job, a second engine goes on with it.
//! - Failed is watched for as well as Complete, and nothing is retried behind our back (`backoffLimit: 0`).
//! - Its exit code is the verdict.

use std::fmt::Write as _;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::cluster::{
    Cluster, ClusterError, Filter, Labels, LogCall, MANAGER, Precondition, Propagation, Since, Watch,
};
use crate::rollout::trouble;
use crate::{DeliveryError, Failure, Object, ObjectId, Progress, Stop};

/// Label of our Jobs: the unit that they work for. Not the unit's inventory label: pruning leaves them alone.
pub const JOB_OF: &str = "tagline.dev/job-of";
/// Labels of the unit's own pods: a Job's pod is none of them, and gets no traffic.
const NOT_OURS: [&str; 3] = ["tagline.dev/unit", "tagline.dev/release", "pod-template-hash"];
/// How long pods may take to end.
const GONE: Duration = Duration::from_mins(2);
/// The last so many lines of each container are kept.
const LINES: u32 = 5000;

/// What is written on a Job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobMarks {
    /// The unit it works for.
    pub unit: String,
    /// The release's version.
    pub version: String,
    /// The run's number.
    pub run: u64,
    /// The attempt, from 1.
    pub attempt: u32,
}

/// Bounds of a Job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobLimits {
    /// From its making to its end; then it is removed.
    pub timeout: Duration,
    /// At most so many bytes of a container's log are kept.
    pub log_bytes: u32,
}

/// How a Job ended.
#[derive(Debug, Clone, PartialEq)]
pub struct JobEnd {
    /// It is complete.
    pub succeeded: bool,
    /// One line; empty where it succeeded.
    pub why: String,
    /// What its pods wrote.
    pub logs: String,
    /// Of the container that failed, or 0.
    pub exit_code: Option<i32>,
    /// Its pods as last seen: what a diagnosis starts from.
    pub pods: Vec<Object>,
    /// From its making.
    pub took: Duration,
}

/// Why it is not known how a Job ended.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The cluster refused it.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// It is to end; the Job is gone, unless the engine ends.
    #[error(transparent)]
    Stopped(#[from] Stop),
    /// Somebody else's Job has its name.
    #[error("{0} is there, and is not of Tagline")]
    NotOurs(ObjectId),
    /// It was deleted while it ran.
    #[error("{0} was deleted while it ran")]
    Deleted(ObjectId),
    /// Its pods do not end.
    #[error("{job} was removed, but it or its pods do not go: {pods}")]
    StillThere {
        /// The Job.
        job: ObjectId,
        /// Their names.
        pods: String,
    },
}

impl From<JobError> for DeliveryError {
    fn from(error: JobError) -> Self {
        match error {
            JobError::Stopped(stop) => Self::Stopped(stop),
            JobError::Cluster(error) => error.into(),
            other => Failure::new(other.to_string(), "").next("look at the Job and its pods; then run again").into(),
        }
    }
}

/// A Job of this name from a Job's or CronJob's manifest. What would make it run again, run twice, outlive itself, belong
/// to somebody, or get traffic is taken away.
///
/// # Errors
/// It is neither a Job nor a CronJob, or it has no container.
pub fn named(template: &Object, name: &str, marks: &JobMarks) -> Result<Object, Failure> {
    let (labels, spec) = match template.kind() {
        "Job" => ("/metadata/labels", "/spec"),
        "CronJob" => ("/spec/jobTemplate/metadata/labels", "/spec/jobTemplate/spec"),
        other => return Err(Failure::new(format!("{} is no Job", template.id()), format!("its kind is {other}"))),
    };
    let spec = template.0.pointer(spec).cloned().unwrap_or_default();
    let mut job = Object(json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec}));
    if job.list("/spec/template/spec/containers").is_empty() {
        return Err(Failure::new(format!("{} has no container", template.id()), ""));
    }
    for key in ["selector", "manualSelector", "ttlSecondsAfterFinished", "suspend", "backoffLimitPerIndex"] {
        job.remove(&format!("/spec/{key}"));
    }
    job.set("/spec/backoffLimit", json!(0));
    job.set("/spec/template/spec/restartPolicy", json!("Never"));
    let own = |labels: Labels| {
        let mut labels: Labels = labels.into_iter().filter(|(key, _)| !NOT_OURS.contains(&key.as_str())).collect();
        labels.retain(|key, _| !key.contains("controller-uid") && !key.contains("job-name"));
        labels.insert(JOB_OF.to_owned(), marks.unit.clone());
        json!(labels)
    };
    job.set("/metadata/labels", own(template.texts(labels)));
    job.set("/spec/template/metadata/labels", own(job.texts("/spec/template/metadata/labels")));
    job.set("/metadata/annotations/tagline.dev~1version", json!(marks.version));
    job.set("/metadata/annotations/tagline.dev~1run", json!(marks.run.to_string()));
    job.set("/metadata/annotations/tagline.dev~1attempt", json!(marks.attempt.to_string()));
    Ok(job)
}

/// Makes a Job, or goes on with the one of that name, and follows it to its end. It stays, with its logs, however it ended;
/// one that is late or cannot start is removed.
///
/// # Errors
/// It cannot be made, or it is to end: then the Job and its pods are gone first, unless the engine ends.
pub async fn run(
    job: &Object,
    limits: &JobLimits,
    cluster: &Cluster,
    progress: &dyn Progress,
) -> Result<JobEnd, JobError> {
    let mut job = job.clone();
    // Should no engine come back: the cluster ends it by itself, a little later.
    if job.number("/spec/activeDeadlineSeconds").is_none() {
        job.set("/spec/activeDeadlineSeconds", json!(limits.timeout.as_secs().saturating_add(60)));
    }
    let made = make(&job, cluster).await?;
    let id = ObjectId { namespace: Some(cluster.namespace().to_owned()), ..made.id() };
    let began = made.text("/metadata/creationTimestamp").parse().unwrap_or_else(|_| progress.now());
    let followed = tokio::select! {
        biased;
        stop = progress.stopped() => Err(stop),
        end = follow(&id, began, limits, cluster, progress) => Ok(end),
    };
    match followed {
        Err(Stop::EngineEnds) => Err(Stop::EngineEnds.into()),
        Err(stop) => {
            remove(&id, cluster, progress).await?;
            Err(stop.into())
        }
        Ok(end) => end,
    }
}

/// The Job as the cluster has it: made now, or by an engine before.
async fn make(job: &Object, cluster: &Cluster) -> Result<Object, JobError> {
    match cluster.create(job, MANAGER).await {
        Ok(made) => Ok(made),
        Err(ClusterError::AlreadyExists { what, maybe_ours }) => {
            let id = ObjectId { namespace: Some(cluster.namespace().to_owned()), ..job.id() };
            match cluster.get(&id).await? {
                Some(there) if there.labels().contains_key(JOB_OF) => Ok(there),
                Some(_) => Err(JobError::NotOurs(id)),
                None => Err(ClusterError::AlreadyExists { what, maybe_ours }.into()),
            }
        }
        Err(error) => Err(error.into()),
    }
}

/// The labels of a Job's pods.
fn pods_of(name: &str) -> Labels {
    Labels::from([("batch.kubernetes.io/job-name".to_owned(), name.to_owned())])
}

/// What is known of a running Job.
#[derive(Default)]
struct Seen {
    job: Option<Object>,
    pods: Vec<Object>,
    /// Since when it cannot start, and why.
    stuck: Option<(Timestamp, String, Duration)>,
}

async fn follow(
    id: &ObjectId,
    began: Timestamp,
    limits: &JobLimits,
    cluster: &Cluster,
    progress: &dyn Progress,
) -> Result<JobEnd, JobError> {
    let mut jobs = cluster.watch("batch/v1", "Job", Filter::name(&id.name)).await?;
    let mut pods = cluster.watch("v1", "Pod", Filter::labels(&pods_of(&id.name))).await?;
    let deadline = later(began, limits.timeout);
    let mut seen = Seen::default();
    loop {
        let now = progress.now();
        if let Some((succeeded, why)) = seen.job.as_ref().and_then(ended) {
            settle(&mut pods, &mut seen, progress).await?;
            return end(&seen, succeeded, why, began, limits, cluster, progress).await;
        }
        if let Some(why) = seen.hopeless(now, deadline, limits.timeout) {
            let known = end(&seen, false, why, began, limits, cluster, progress).await?;
            remove(id, cluster, progress).await?;
            return Ok(known);
        }
        let wake = seen.stuck.as_ref().map_or(deadline, |(since, _, grace)| later(*since, *grace).min(deadline));
        tokio::select! {
            set = jobs.next() => {
                let set = set?;
                if set.is_empty() && seen.job.is_some() {
                    return Err(JobError::Deleted(id.clone()));
                }
                seen.job = set.into_iter().next();
            }
            set = pods.next() => seen.take_pods(set?, progress),
            () = progress.sleep(Duration::try_from(wake.duration_since(now)).unwrap_or_default()) => {}
        }
    }
}

/// The Job's end comes before its pods' last states are seen, now and then: waits for them, not for long.
async fn settle(pods: &mut Watch, seen: &mut Seen, progress: &dyn Progress) -> Result<(), JobError> {
    let mut tries = 0;
    while seen.pods.iter().all(|pod| exit_code(pod).is_none()) && tries < 3 {
        tries += 1;
        tokio::select! {
            set = pods.next() => seen.take_pods(set?, progress),
            () = progress.sleep(Duration::from_secs(1)) => return Ok(()),
        }
    }
    Ok(())
}

impl Seen {
    fn take_pods(&mut self, pods: Vec<Object>, progress: &dyn Progress) {
        if !pods.is_empty() || self.job.is_none() {
            self.pods = pods;
        }
        let found = self.pods.iter().find_map(|pod| trouble(pod, 0));
        self.stuck = match (found, self.stuck.take()) {
            (Some(trouble), before) => trouble.grace.map(|grace| {
                let since = before.map_or_else(|| progress.now(), |(since, ..)| since);
                (since, trouble.text, grace)
            }),
            (None, _) => None,
        };
    }

    /// Why it will not end well by itself.
    fn hopeless(&self, now: Timestamp, deadline: Timestamp, timeout: Duration) -> Option<String> {
        if let Some((since, why, grace)) = &self.stuck
            && now >= later(*since, *grace)
        {
            return Some(format!("it cannot start: {why}"));
        }
        (now >= deadline).then(|| format!("it did not end within {}", crate::cluster::short(timeout)))
    }
}

/// Whether it ended, and how. `FailureTarget` comes before `Failed`, while its pods still end.
fn ended(job: &Object) -> Option<(bool, String)> {
    let condition = |name: &str| {
        let conditions = job.list("/status/conditions").iter();
        conditions.filter(|each| each["status"] == "True").find(|each| each["type"] == name)
    };
    if condition("Complete").is_some() {
        return Some((true, String::new()));
    }
    let text = |each: &Value| {
        let message = each["message"].as_str().unwrap_or_default();
        format!("{}: {message}", each["reason"].as_str().unwrap_or("Failed"))
    };
    let target = condition("FailureTarget").filter(|_| job.number("/status/active").unwrap_or_default() == 0);
    condition("Failed").or(target).map(|each| (false, text(each)))
}

async fn end(
    seen: &Seen,
    succeeded: bool,
    why: String,
    began: Timestamp,
    limits: &JobLimits,
    cluster: &Cluster,
    progress: &dyn Progress,
) -> Result<JobEnd, JobError> {
    let exit_code = seen.pods.iter().find_map(|pod| exit_code(pod).filter(|code| succeeded || *code != 0));
    let why = match exit_code {
        Some(code) if !succeeded && why.contains("BackoffLimitExceeded") => format!("exit code {code}"),
        _ => why,
    };
    let logs = logs(&seen.pods, limits.log_bytes, cluster).await?;
    let took = Duration::try_from(progress.now().duration_since(began)).unwrap_or_default();
    Ok(JobEnd { succeeded, why, logs, exit_code, pods: seen.pods.clone(), took })
}

/// The exit code of a pod's container that failed, else of its last one that ended.
fn exit_code(pod: &Object) -> Option<i32> {
    let lists = ["/status/initContainerStatuses", "/status/containerStatuses"];
    let codes: Vec<i64> = lists
        .iter()
        .flat_map(|list| pod.list(list))
        .filter_map(|status| status.pointer("/state/terminated/exitCode")?.as_i64())
        .collect();
    let all_ended = pod.list("/status/containerStatuses").iter().all(|status| !status["state"]["terminated"].is_null());
    let failed = codes.iter().find(|code| **code != 0);
    let last = codes.last().filter(|_| all_ended);
    i32::try_from(*failed.or(last)?).ok()
}

/// What every container of the pods wrote, with its name before it where there are several.
async fn logs(pods: &[Object], bytes: u32, cluster: &Cluster) -> Result<String, JobError> {
    let mut text = String::new();
    let mut parts: Vec<(String, String)> = Vec::new();
    for pod in pods {
        for list in ["/status/initContainerStatuses", "/status/containerStatuses"] {
            let started = |status: &&Value| status["state"]["waiting"].is_null();
            let names = pod.list(list).iter().filter(started).filter_map(|status| status["name"].as_str());
            for container in names {
                let call = LogCall {
                    container: Some(container.to_owned()),
                    since: Since::Start,
                    lines: Some(LINES),
                    bytes,
                    previous: false,
                };
                match cluster.logs(pod.name(), &call).await {
                    Ok(logs) if logs.text.is_empty() => {}
                    Ok(logs) => parts.push((format!("{} {}", pod.name(), container), logs.text)),
                    Err(error) if error.is_not_found() => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }
    for (name, part) in &parts {
        if parts.len() > 1 {
            let _ = writeln!(text, "==> {name}");
        }
        text.push_str(part);
    }
    Ok(text)
}

/// Removes a Job of ours and waits until it and its pods are gone. Not held up by a cancellation: what it did must have ended
/// before anything is undone.
///
/// # Errors
/// It is not of ours, or it is not gone within two minutes.
pub async fn remove(id: &ObjectId, cluster: &Cluster, progress: &dyn Progress) -> Result<(), JobError> {
    if let Some(job) = cluster.get(id).await? {
        if !job.labels().contains_key(JOB_OF) {
            return Err(JobError::NotOurs(id.clone()));
        }
        match cluster.delete(id, &Precondition::same(&job), Propagation::Foreground).await {
            Err(ClusterError::NotFound(_)) | Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let mut pods = cluster.watch("v1", "Pod", Filter::labels(&pods_of(&id.name))).await?;
    let mut jobs = cluster.watch("batch/v1", "Job", Filter::name(&id.name)).await?;
    let deadline = later(progress.now(), GONE);
    // None: not seen yet. The Job itself goes last; until then its name is taken.
    let (mut pods_left, mut job_left): (Option<String>, Option<bool>) = (None, None);
    while job_left != Some(false) || pods_left.as_deref() != Some("") {
        let rest = Duration::try_from(deadline.duration_since(progress.now())).unwrap_or_default();
        tokio::select! {
            set = pods.next() => {
                pods_left = Some(set?.iter().map(Object::name).collect::<Vec<_>>().join(", "));
            }
            set = jobs.next() => job_left = Some(!set?.is_empty()),
            () = progress.sleep(rest) => {
                let pods = pods_left.filter(|pods| !pods.is_empty()).unwrap_or_else(|| "not known".to_owned());
                return Err(JobError::StillThere { job: id.clone(), pods });
            }
        }
    }
    Ok(())
}

fn later(time: Timestamp, duration: Duration) -> Timestamp {
    let duration = SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX);
    time.checked_add(duration).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks() -> JobMarks {
        JobMarks { unit: "shop".to_owned(), version: "1.2.3".to_owned(), run: 7, attempt: 1 }
    }

    #[test]
    fn a_cronjobs_template_becomes_a_job_that_runs_once() {
        let cron = Object(json!({
            "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "migrations"},
            "spec": {"suspend": true, "schedule": "@yearly", "jobTemplate": {"metadata": {"labels": {"app": "m"}}, "spec": {
                "backoffLimit": 6, "ttlSecondsAfterFinished": 5, "suspend": true,
                "template": {
                    "metadata": {"labels": {"app": "m", "tagline.dev/release": "v1"}},
                    "spec": {"restartPolicy": "OnFailure", "containers": [{"name": "m", "image": "x@sha256:1"}]},
                },
            }}},
        }));
        let job = named(&cron, "migrations-7-1", &marks()).unwrap();
        assert_eq!((job.kind(), job.name()), ("Job", "migrations-7-1"));
        assert_eq!(job.number("/spec/backoffLimit"), Some(0));
        assert_eq!(job.text("/spec/template/spec/restartPolicy"), "Never");
        let gone = ["/spec/suspend", "/spec/ttlSecondsAfterFinished", "/spec/schedule", "/metadata/ownerReferences"];
        assert!(gone.iter().all(|pointer| job.0.pointer(pointer).is_none()), "{:?}", job.0);
        let labels = Labels::from([("app".to_owned(), "m".to_owned()), (JOB_OF.to_owned(), "shop".to_owned())]);
        assert_eq!(job.texts("/spec/template/metadata/labels"), labels);
        assert_eq!(job.labels(), labels);
        assert_eq!(job.text("/metadata/annotations/tagline.dev~1run"), "7");
    }

    #[test]
    fn what_is_no_job_is_refused() {
        let deployment = Object(json!({"kind": "Deployment", "metadata": {"name": "shop"}}));
        let error = named(&deployment, "x", &marks()).unwrap_err();
        assert_eq!(error.to_string(), "Deployment/shop is no Job: its kind is Deployment");
        let empty = Object(json!({"kind": "Job", "metadata": {"name": "a"}, "spec": {}}));
        assert_eq!(named(&empty, "x", &marks()).unwrap_err().to_string(), "Job/a has no container");
    }

    #[test]
    fn failed_is_an_end_as_complete_is() {
        let job =
            |conditions: Value, active: u32| Object(json!({"status": {"conditions": conditions, "active": active}}));
        let failed = json!([{"type": "Failed", "status": "True", "reason": "DeadlineExceeded", "message": "late"}]);
        assert_eq!(ended(&job(failed, 0)), Some((false, "DeadlineExceeded: late".to_owned())));
        let target = json!([{"type": "FailureTarget", "status": "True", "reason": "BackoffLimitExceeded"}]);
        assert_eq!(ended(&job(target.clone(), 1)), None, "its pod still runs");
        assert_eq!(ended(&job(target, 0)), Some((false, "BackoffLimitExceeded: ".to_owned())));
        assert_eq!(ended(&job(json!([{"type": "Complete", "status": "True"}]), 0)), Some((true, String::new())));
        assert_eq!(ended(&job(json!([{"type": "Complete", "status": "False"}]), 1)), None);
    }

    #[test]
    fn the_exit_code_is_that_of_what_failed() {
        let ended = |code: i32| json!({"name": "c", "state": {"terminated": {"exitCode": code}}});
        let pod = |statuses: Value| Object(json!({"status": {"containerStatuses": statuses}}));
        assert_eq!(exit_code(&pod(json!([ended(0), ended(3)]))), Some(3));
        assert_eq!(exit_code(&pod(json!([ended(0)]))), Some(0));
        assert_eq!(exit_code(&pod(json!([ended(0), {"name": "d", "state": {"running": {}}}]))), None);
    }
}
