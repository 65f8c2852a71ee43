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
                State::Failed(why) => return Verdict::Failed(format!("{}: {why}", each.id)),
                State::Empty => return Verdict::Failed(format!("{} wants 0 pods: nothing would run", each.id)),
                State::Done | State::Progressing(_) => {}
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
        for each in status.iter().filter(|each| each.blocked.is_some()) {
            // Only its own old pods could make room.
            let grace = if each.old == 0 { Duration::ZERO } else { self.wait.blocked };
            let why = each.blocked.clone().unwrap_or_default();
            present.push((each.id.to_string(), Some(grace), format!("{}: {why}", each.id)));
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
