//! Following one Job to its end: its conditions, its pods' troubles, its log.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::end::{end, pods_of};
use super::failed::{Cause, Failed};
use super::look::{Look, made};
use crate::cluster::{Cluster, Filter, short};
use crate::{DeliveryError, Object, Progress, Stop};

/// How often a log is looked at while the Job runs.
const LOOK: Duration = Duration::from_secs(1);
/// What the engine waits beyond the Job's own deadline.
const BEYOND: Duration = Duration::from_secs(30);

/// How a Job ended.
pub(super) enum End {
    /// Complete.
    Complete {
        /// What it printed.
        log: String,
        /// From its making.
        took: Duration,
    },
    /// Failed, and its pods are at rest, or gone.
    Failed(Box<Failed>),
}

/// Follows it. A Job that cannot start, or does not end in time, is deleted before this returns; so is one whose step is
/// cancelled.
///
/// # Errors
/// The step is to end, or the cluster refuses to be asked.
pub(super) async fn follow(
    cluster: &Cluster,
    job: &Object,
    container: &str,
    timeout: Duration,
    progress: &dyn Progress,
) -> Result<End, DeliveryError> {
    let patient = cluster.with_patience(timeout.saturating_add(BEYOND));
    let ended = watch(&patient, job, container, timeout, progress).await;
    match ended {
        Err(DeliveryError::Stopped(stop @ Stop::Cancelled(_))) => {
            end(cluster, job, progress).await?;
            Err(stop.into())
        }
        other => other,
    }
}

async fn watch(
    cluster: &Cluster,
    job: &Object,
    container: &str,
    timeout: Duration,
    progress: &dyn Progress,
) -> Result<End, DeliveryError> {
    let mut jobs = cluster.watch("batch/v1", "Job", Filter::name(job.name())).await?;
    let mut pods = cluster.watch("v1", "Pod", Filter::labels(&pods_of(job.name()))).await?;
    let mut look = Look::new(job, container);
    let deadline = deadline(job, timeout, progress.now());
    loop {
        tokio::select! {
            biased;
            stop = progress.stopped() => return Err(stop.into()),
            set = jobs.next() => look.take_job(set?)?,
            set = pods.next() => look.take_pods(set?),
            () = progress.sleep(LOOK) => look.read_log(cluster, progress).await,
        }
        if let Some(state) = look.ended(progress.now()) {
            let unread = look.keep(cluster, progress).await?;
            return Ok(match (state, unread) {
                // What it printed may be its result; begun again, the step finds it complete and reads it then.
                (Ok(()), Some(error)) => return Err(error.into()),
                (Ok(()), None) => End::Complete { took: look.took(progress.now()), log: look.into_log() },
                (Err(cause), _) => End::Failed(Box::new(look.failed(cluster, &cause, progress).await)),
            });
        }
        if look.is_ending() {
            look.gather(cluster).await;
        }
        let stuck = look.stuck(progress.now());
        let late = (progress.now() >= deadline && look.has_seen_pods())
            .then(|| Cause::Late(format!("it did not end within {}", short(timeout))));
        if let Some(cause) = stuck.or(late) {
            look.keep(cluster, progress).await?;
            let failed = look.failed(cluster, &cause, progress).await;
            end(cluster, job, progress).await?;
            return Ok(End::Failed(Box::new(failed)));
        }
    }
}

/// When it is late. The cluster ends a Job at the Job's own deadline, and says so; where that comes later than the step's, the
/// engine does, and the time counts from the Job's making: a second engine adds none.
fn deadline(job: &Object, timeout: Duration, now: Timestamp) -> Timestamp {
    let own = job.number("/spec/activeDeadlineSeconds").and_then(|seconds| u64::try_from(seconds).ok());
    if own.is_some_and(|own| own <= timeout.as_secs().max(1)) {
        after(now, timeout.saturating_add(BEYOND))
    } else {
        after(made(job, now), timeout)
    }
}

pub(super) fn after(now: Timestamp, duration: Duration) -> Timestamp {
    now.saturating_add(SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_job_is_late_by_the_steps_time_unless_the_cluster_ends_it_first() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let job = |own: u64| {
            Object(json!({
                "metadata": {"creationTimestamp": "2026-01-02T03:00:00Z"}, "spec": {"activeDeadlineSeconds": own},
            }))
        };
        let (timeout, now) = (Duration::from_mins(1), at("2026-01-02T03:00:20Z"));
        assert_eq!(deadline(&job(60), timeout, now), at("2026-01-02T03:01:50Z"));
        assert_eq!(deadline(&job(120), timeout, now), at("2026-01-02T03:01:00Z"));
        // The cluster's clock is ahead of ours.
        let early = at("2026-01-02T02:59:00Z");
        assert_eq!(deadline(&job(120), timeout, early), at("2026-01-02T03:00:00Z"));
    }
}
