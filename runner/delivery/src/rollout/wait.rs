//! Waiting over watches: for workloads to be ready, or for anything else that objects show.

use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::{BoxStream, SelectAll};
use jiff::{SignedDuration, Timestamp};

use super::look::{Look, Verdict};
use super::status::{RolloutStatus, status};
use crate::cluster::{Cluster, ClusterError, Filter, Labels};
use crate::{Object, Progress, Stop};

/// How long and how strictly is waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// For everything together, by the engine's clock; absences of the API server do not count.
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
    let mut sets = watches(&patient(cluster, wait.timeout), workloads).await?;
    let mut late = pin!(cluster.answering(wait.timeout, progress));
    loop {
        let now = progress.now();
        let next = match look.verdict(now) {
            Verdict::Ready(pods) => return Ok(pods),
            Verdict::Failed(why) => return Err(look.not_ready(why, false)),
            Verdict::Wait(until) => until.unwrap_or(Timestamp::MAX),
        };
        if let Some(line) = look.news() {
            progress.say(line);
        }
        tokio::select! {
            biased;
            stop = progress.stopped() => return Err(stop.into()),
            Some((kind, set)) = sets.next() => look.take(kind, set?),
            () = &mut late => return Err(look.not_ready(look.late(wait.timeout), true)),
            () = progress.sleep(until(now, next)) => {}
        }
    }
}

/// Waits until a set of objects shows what is looked for: `found` is asked about the whole set after each change. None
/// where the time is over first; absences of the API server do not count.
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
    let mut watch = patient(cluster, timeout).watch(api_version, kind, filter).await?;
    let mut late = pin!(cluster.answering(timeout, progress));
    loop {
        tokio::select! {
            biased;
            stop = progress.stopped() => return Err(stop.into()),
            set = watch.next() => if let Some(value) = found(&set?) {
                return Ok(Some(value));
            },
            () = &mut late => return Ok(None),
        }
    }
}

/// A wait is as patient with the server as whoever waits, and never less than the wait is long.
fn patient(cluster: &Cluster, timeout: Duration) -> Cluster {
    cluster.with_patience(cluster.patience().max(timeout.saturating_add(Duration::from_mins(1))))
}

/// So much later.
pub(super) fn after(now: Timestamp, duration: Duration) -> Timestamp {
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
