//! Waiting over watches: for workloads to be ready, or for anything else that objects show.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::{BoxStream, SelectAll};
use jiff::{SignedDuration, Timestamp};

use super::status::{RolloutStatus, State, status};
use super::trouble::{Trouble, is_ready, of_template, trouble};
use crate::cluster::{Cluster, ClusterError, Filter, Labels};
use crate::{Object, ObjectId, Progress, Stop};

/// How long and how strictly is waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// For everything together, by the engine's clock.
    pub timeout: Duration,
    /// All must stay ready for so long, beyond their own `minReadySeconds`.
    pub min_ready: Duration,
    /// A container in CrashLoopBackOff that was started again so often ends the wait.
    pub restarts: i64,
    /// Pods that cannot be made (quota) while old ones may still make room: for so long.
    pub blocked: Duration,
}

impl Default for Wait {
    /// 10 minutes, 2 restarts, 15 s.
    fn default() -> Self {
        Self {
            timeout: Duration::from_mins(10),
            min_ready: Duration::ZERO,
            restarts: 2,
            blocked: Duration::from_secs(15),
        }
    }
}

/// For so long after a change a condition may still speak of what was before: of an older ReplicaSet, of an earlier scale.
const STALE: Duration = Duration::from_secs(2);

/// Why a wait ended without what was waited for.
#[derive(Debug, thiserror::Error)]
pub enum WaitError {
    /// It is not ready and will not be, or not in time.
    #[error("{why}")]
    NotReady {
        /// One line: the worst trouble.
        why: String,
        /// Its time was over; otherwise waiting longer would not have helped.
        late: bool,
        /// The workloads as last seen.
        status: Vec<RolloutStatus>,
        /// Their new pods as last seen: what a diagnosis starts from.
        pods: Vec<Object>,
    },
    /// The cluster refused to be watched.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The action is to end.
    #[error(transparent)]
    Stopped(#[from] Stop),
}

/// Where a set of objects comes from: a kind of workload, or pods.
type Sets = SelectAll<BoxStream<'static, (&'static str, Result<Vec<Object>, ClusterError>)>>;

/// Waits until all these workloads (Deployments, StatefulSets, DaemonSets; of Jobs, until they are complete) are rolled out
/// and ready, and gives back their ready pods. Other kinds among the objects are passed over. Ends early where waiting does
/// not help. Says how far it is whenever that changes: `workers 2/2, workers-critical 1/2`.
///
/// # Errors
/// [`WaitError::NotReady`] with the pods that a diagnosis needs.
pub async fn wait_ready(
    cluster: &Cluster,
    workloads: &[Object],
    wait: &Wait,
    progress: &dyn Progress,
) -> Result<Vec<Object>, WaitError> {
    let mut look = Look::new(workloads, wait);
    if look.ids.is_empty() {
        return Ok(Vec::new());
    }
    let patient = cluster.with_patience(wait.timeout.saturating_add(Duration::from_mins(1)));
    let mut sets = watches(&patient, workloads).await?;
    let deadline = after(progress.now(), wait.timeout);
    loop {
        let now = progress.now();
        let next = match look.verdict(now) {
            Verdict::Ready(pods) => return Ok(pods),
            Verdict::Failed(why) => return Err(look.not_ready(why, false)),
            Verdict::Wait(until) => until.map_or(deadline, |until| until.min(deadline)),
        };
        if now >= deadline {
            return Err(look.not_ready(look.late(wait.timeout), true));
        }
        if let Some(line) = look.news() {
            progress.say(line);
        }
        tokio::select! {
            biased;
            stop = progress.stopped() => return Err(stop.into()),
            Some((kind, set)) = sets.next() => look.take(kind, set?),
            () = progress.sleep(until(now, next)) => {}
        }
    }
}

/// Waits until a set of objects shows what is looked for: `found` is asked about the whole set after each change. None
/// where the time is over first.
///
/// # Errors
/// The cluster refuses to be watched, or the action is to end.
pub async fn wait_for<T>(
    cluster: &Cluster,
    (api_version, kind): (&str, &str),
    filter: Filter,
    timeout: Duration,
    progress: &dyn Progress,
    mut found: impl FnMut(&[Object]) -> Option<T>,
) -> Result<Option<T>, WaitError> {
    let patient = cluster.with_patience(timeout.saturating_add(Duration::from_mins(1)));
    let mut watch = patient.watch(api_version, kind, filter).await?;
    let deadline = after(progress.now(), timeout);
    loop {
        let now = progress.now();
        tokio::select! {
            biased;
            stop = progress.stopped() => return Err(stop.into()),
            set = watch.next() => if let Some(value) = found(&set?) {
                return Ok(Some(value));
            },
            () = progress.sleep(until(now, deadline)) => if progress.now() >= deadline {
                return Ok(None);
            },
        }
    }
}

fn after(now: Timestamp, duration: Duration) -> Timestamp {
    let duration = SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX);
    now.checked_add(duration).unwrap_or(Timestamp::MAX)
}

fn until(now: Timestamp, then: Timestamp) -> Duration {
    Duration::try_from(then.duration_since(now)).unwrap_or(Duration::ZERO)
}

const WORKLOADS: [(&str, &str); 4] =
    [("Deployment", "apps/v1"), ("StatefulSet", "apps/v1"), ("DaemonSet", "apps/v1"), ("Job", "batch/v1")];

/// One watch for each kind of workload and one for all their pods.
async fn watches(cluster: &Cluster, workloads: &[Object]) -> Result<Sets, ClusterError> {
    let mut sets = Sets::new();
    for (kind, api_version) in WORKLOADS {
        let of_kind: Vec<_> = workloads.iter().filter(|each| each.kind() == kind).collect();
        let filter = match of_kind.as_slice() {
            [] => continue,
            [one] => Filter::name(one.name()),
            many => Filter::labels(&common(many.iter().map(|each| each.labels()))),
        };
        let watch = cluster.watch(api_version, kind, filter).await?;
        sets.push(watch.stream().map(move |set| (kind, set)).boxed());
    }
    let labels = workloads.iter().filter(|each| status(each).is_some()).map(|each| match each.kind() {
        "Job" => Labels::from([("batch.kubernetes.io/job-name".to_owned(), each.name().to_owned())]),
        _ => each.pod_labels(),
    });
    let pods = cluster.watch("v1", "Pod", Filter::labels(&common(labels))).await?;
    sets.push(pods.stream().map(|set| ("Pod", set)).boxed());
    Ok(sets)
}

/// The labels that all have.
fn common(mut all: impl Iterator<Item = Labels>) -> Labels {
    let mut common = all.next().unwrap_or_default();
    for labels in all {
        common.retain(|key, value| labels.get(key) == Some(value));
    }
    common
}

enum Verdict {
    Ready(Vec<Object>),
    Failed(String),
    /// Look again then, even if nothing changes.
    Wait(Option<Timestamp>),
}

/// What is known so far.
struct Look {
    wait: Wait,
    ids: Vec<ObjectId>,
    /// As last seen, by kind and name; the pods that the templates' labels fit.
    workloads: BTreeMap<(String, String), Object>,
    pods: Vec<Object>,
    pods_seen: bool,
    kinds_seen: Vec<&'static str>,
    /// Since when each trouble is there, by pod and kind or by workload.
    since: BTreeMap<String, Timestamp>,
    ready_since: Option<Timestamp>,
    said: String,
}

impl Look {
    fn new(workloads: &[Object], wait: &Wait) -> Self {
        let ids = workloads.iter().filter(|each| status(each).is_some()).map(Object::id).collect();
        Self {
            wait: *wait,
            ids,
            workloads: BTreeMap::new(),
            pods: Vec::new(),
            pods_seen: false,
            kinds_seen: Vec::new(),
            since: BTreeMap::new(),
            ready_since: None,
            said: String::new(),
        }
    }

    fn take(&mut self, kind: &'static str, set: Vec<Object>) {
        if kind == "Pod" {
            (self.pods, self.pods_seen) = (set, true);
            return;
        }
        if !self.kinds_seen.contains(&kind) {
            self.kinds_seen.push(kind);
        }
        self.workloads.retain(|(of_kind, _), _| of_kind != kind);
        self.workloads.extend(set.into_iter().map(|object| ((kind.to_owned(), object.name().to_owned()), object)));
    }

    fn workload(&self, id: &ObjectId) -> Option<&Object> {
        self.workloads.get(&(id.kind.clone(), id.name.clone()))
    }

    fn status(&self) -> Vec<RolloutStatus> {
        self.ids.iter().filter_map(|id| self.workload(id)).filter_map(status).collect()
    }

    /// The new pods of one workload, those on their way out left away.
    fn pods_of<'a>(&'a self, workload: &'a Object) -> impl Iterator<Item = &'a Object> {
        self.pods.iter().filter(move |pod| !pod.is_terminating() && of_template(workload, pod))
    }

    fn new_pods(&self) -> Vec<Object> {
        let workloads = self.ids.iter().filter_map(|id| self.workload(id));
        workloads.flat_map(|workload| self.pods_of(workload)).cloned().collect()
    }

    fn verdict(&mut self, now: Timestamp) -> Verdict {
        if !self.pods_seen || self.ids.iter().any(|id| !self.kinds_seen.contains(&id.kind.as_str())) {
            return Verdict::Wait(None);
        }
        if let Some(gone) = self.ids.iter().find(|id| self.workload(id).is_none()) {
            return Verdict::Failed(format!("{gone} is not there (any more)"));
        }
        let status = self.status();
        for each in &status {
            match &each.state {
                // A Job's end is the end.
                State::Failed(why) if each.id.kind == "Job" => return Verdict::Failed(format!("{}: {why}", each.id)),
                State::Empty => return Verdict::Failed(format!("{} wants 0 pods: nothing would run", each.id)),
                _ => {}
            }
        }
        let (failed, mut next) = self.troubles(&status, now);
        if let Some(why) = failed {
            return Verdict::Failed(why);
        }
        let Some(pods) = self.ready_pods(&status) else {
            self.ready_since = None;
            return Verdict::Wait(next);
        };
        let stays = after(*self.ready_since.get_or_insert(now), self.wait.min_ready);
        if now >= stays {
            return Verdict::Ready(pods);
        }
        next = Some(next.map_or(stays, |next| next.min(stays)));
        Verdict::Wait(next)
    }

    /// All ready pods, where everything is done and as many pods are ready as are wanted.
    fn ready_pods(&self, status: &[RolloutStatus]) -> Option<Vec<Object>> {
        let mut ready = Vec::new();
        for each in status {
            let workload = self.workload(&each.id)?;
            if !each.is_done() {
                return None;
            }
            if each.id.kind == "Job" {
                continue;
            }
            let pods: Vec<_> = self.pods_of(workload).filter(|pod| is_ready(pod)).cloned().collect();
            if i64::try_from(pods.len()).unwrap_or(0) < each.wanted {
                return None;
            }
            ready.extend(pods);
        }
        Some(ready)
    }

    /// What ends the wait now, or when what is there would end it.
    fn troubles(&mut self, status: &[RolloutStatus], now: Timestamp) -> (Option<String>, Option<Timestamp>) {
        let mut present = Vec::new();
        for each in status {
            if let State::Failed(why) = &each.state {
                present.push((format!("{} failed", each.id), Some(STALE), format!("{}: {why}", each.id)));
            }
            if let Some(why) = &each.blocked {
                // Only its own old pods could make room.
                let grace = if each.old == 0 { STALE } else { self.wait.blocked };
                present.push((format!("{} blocked", each.id), Some(grace), format!("{}: {why}", each.id)));
            }
        }
        for trouble in self.pod_troubles() {
            let key = format!("{} {:?}", trouble.pod, trouble.kind);
            present.push((key, trouble.grace, trouble.to_string()));
        }
        self.since.retain(|key, _| present.iter().any(|(each, ..)| each == key));
        let mut next = None;
        for (key, grace, why) in present {
            let since = *self.since.entry(key).or_insert(now);
            let Some(grace) = grace else { continue };
            let end = after(since, grace);
            if end <= now {
                return (Some(why), None);
            }
            next = Some(next.map_or(end, |next: Timestamp| next.min(end)));
        }
        (None, next)
    }

    fn pod_troubles(&self) -> Vec<Trouble> {
        self.new_pods().iter().filter_map(|pod| trouble(pod, self.wait.restarts)).collect()
    }

    /// A line where it differs from the last.
    fn news(&mut self) -> Option<String> {
        let counts = self.ids.iter().filter_map(|id| {
            let workload = self.workload(id)?;
            let status = status(workload)?;
            let ready = match id.kind.as_str() {
                "Job" => status.ready,
                _ => i64::try_from(self.pods_of(workload).filter(|pod| is_ready(pod)).count()).unwrap_or(0),
            };
            Some(format!("{} {ready}/{}", id.name, status.wanted))
        });
        let line = counts.collect::<Vec<_>>().join(", ");
        if !self.pods_seen || line.is_empty() || line == self.said {
            return None;
        }
        self.said.clone_from(&line);
        Some(line)
    }

    /// Why it was not ready in time.
    fn late(&self, timeout: Duration) -> String {
        let within = crate::cluster::short(timeout);
        let troubles = self.pod_troubles();
        if let Some(worst) = troubles.first() {
            return format!("not ready within {within}: {worst}");
        }
        let behind = self.status().into_iter().find_map(|each| match &each.state {
            State::Progressing(why) => Some(format!("{each}: {why}")),
            _ => None,
        });
        let behind = behind.unwrap_or_else(|| "the API server did not say how it stands".to_owned());
        format!("not ready within {within}: {behind}")
    }

    fn not_ready(&self, why: String, late: bool) -> WaitError {
        WaitError::NotReady { why, late, status: self.status(), pods: self.new_pods() }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const START: Timestamp = Timestamp::UNIX_EPOCH;

    fn at(seconds: u64) -> Timestamp {
        after(START, Duration::from_secs(seconds))
    }

    /// A Deployment of two pods, seen by its controller, with these status fields.
    fn deployment(status: &Value) -> Object {
        let labels = json!({"app": "w", "tagline.dev/release": "r2"});
        let mut object = Object(json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "w", "namespace": "shop", "generation": 2},
            "spec": {"replicas": 2, "template": {"metadata": {"labels": labels}}}, "status": {"observedGeneration": 2}}));
        for (key, value) in status.as_object().unwrap() {
            object.set(&format!("/status/{key}"), value.clone());
        }
        object
    }

    fn pod(name: &str, release: &str, ready: bool) -> Object {
        let status = if ready { "True" } else { "False" };
        Object(
            json!({"kind": "Pod", "metadata": {"name": name, "labels": {"app": "w", "tagline.dev/release": release}},
            "status": {"conditions": [{"type": "Ready", "status": status}]}}),
        )
    }

    fn look(status: &Value, pods: Vec<Object>) -> Look {
        let object = deployment(status);
        let mut look =
            Look::new(std::slice::from_ref(&object), &Wait { min_ready: Duration::from_secs(5), ..Wait::default() });
        look.take("Deployment", vec![object]);
        look.take("Pod", pods);
        look
    }

    fn done() -> Value {
        json!({"replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2})
    }

    #[test]
    fn nothing_is_decided_before_everything_was_seen() {
        let object = deployment(&done());
        let mut look = Look::new(std::slice::from_ref(&object), &Wait::default());
        assert!(matches!(look.verdict(START), Verdict::Wait(None)));
        look.take("Deployment", vec![object]);
        assert!(matches!(look.verdict(START), Verdict::Wait(None)));
        look.take("Deployment", Vec::new());
        look.take("Pod", Vec::new());
        assert!(matches!(look.verdict(START), Verdict::Failed(why) if why.contains("not there")));
    }

    #[test]
    fn ready_is_ready_only_with_its_own_pods_and_for_its_time() {
        let mut look = look(&done(), vec![pod("a", "r2", true), pod("old", "r1", true)]);
        assert!(matches!(look.verdict(START), Verdict::Wait(None)));
        let both = vec![pod("a", "r2", true), pod("b", "r2", true)];
        look.take("Pod", both.clone());
        assert!(matches!(look.verdict(START), Verdict::Wait(Some(until)) if until == at(5)));
        look.take("Pod", vec![pod("a", "r2", true), pod("b", "r2", false)]);
        assert!(matches!(look.verdict(at(4)), Verdict::Wait(None)));
        look.take("Pod", both);
        assert!(matches!(look.verdict(at(6)), Verdict::Wait(Some(until)) if until == at(11)));
        assert!(matches!(look.verdict(at(11)), Verdict::Ready(pods) if pods.len() == 2));
    }

    #[test]
    fn a_condition_of_before_does_not_end_a_wait_but_one_that_stays_does() {
        let late = json!([{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"},
            {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"}]);
        let mut look = look(&json!({"conditions": late}), Vec::new());
        assert!(matches!(look.verdict(START), Verdict::Wait(Some(until)) if until == at(2)));
        look.take("Deployment", vec![deployment(&json!({}))]);
        assert!(matches!(look.verdict(at(1)), Verdict::Wait(None)));
        look.take("Deployment", vec![deployment(&json!({"conditions": late}))]);
        assert!(matches!(look.verdict(at(3)), Verdict::Wait(Some(_))));
        assert!(matches!(look.verdict(at(5)), Verdict::Failed(why) if why.contains("ProgressDeadlineExceeded")));
    }

    #[test]
    fn a_trouble_ends_the_wait_when_its_grace_is_over_and_counts_anew_when_it_comes_back() {
        let mut troubled = pod("a", "r2", false);
        troubled.set(
            "/status/containerStatuses",
            json!([{"name": "c", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "i/o timeout"}}}]),
        );
        let mut look = look(&json!({}), vec![troubled.clone()]);
        assert!(matches!(look.verdict(START), Verdict::Wait(Some(until)) if until == at(45)));
        look.take("Pod", vec![pod("a", "r2", false)]);
        assert!(matches!(look.verdict(at(30)), Verdict::Wait(None)));
        look.take("Pod", vec![troubled]);
        assert!(matches!(look.verdict(at(40)), Verdict::Wait(Some(until)) if until == at(85)));
        assert!(matches!(look.verdict(at(85)), Verdict::Failed(why) if why == "a ImagePullBackOff: i/o timeout"));
        assert_eq!(look.news().as_deref(), Some("w 0/2"));
        assert_eq!(look.news(), None);
    }
}
