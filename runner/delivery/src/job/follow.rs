//! Following one Job to its end: its conditions, its pods' troubles, its log.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::end::{end, pods_of};
use crate::cluster::{Cluster, ClusterError, Filter, LogCall, Since, short};
use crate::diagnose;
use crate::rollout::{State, TroubleKind, status, trouble};
use crate::{DeliveryError, Failure, Object, Progress, Stop};

/// How often a log is looked at while the Job runs.
const LOOK: Duration = Duration::from_secs(1);
/// What the engine waits beyond the Job's own deadline.
const BEYOND: Duration = Duration::from_secs(30);
/// Of a longer log the beginning is kept.
const MOST: u32 = 4 << 20;
/// Lines under a failure.
const LINES: usize = 20;

/// How a Job ended.
pub(super) enum End {
    /// Complete; what it printed.
    Complete(String),
    /// Failed, and its pods are at rest.
    Failed(Failure),
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
    let deadline = after(progress.now(), timeout.saturating_add(BEYOND));
    loop {
        tokio::select! {
            biased;
            stop = progress.stopped() => return Err(stop.into()),
            set = jobs.next() => look.take_job(set?)?,
            set = pods.next() => look.pods = set?,
            () = progress.sleep(LOOK) => look.read_log(cluster, progress).await,
        }
        if let Some(state) = look.ended() {
            look.read_log(cluster, progress).await;
            progress.keep(format!("job-{}.log", job.name()), look.log.clone().into_bytes()).await?;
            return Ok(match state {
                Ok(()) => End::Complete(look.log),
                Err(why) => End::Failed(look.failure(cluster, &why).await),
            });
        }
        let stuck = look.stuck(progress.now());
        let late = (progress.now() >= deadline).then(|| format!("it did not end within {}", short(timeout)));
        if let Some(why) = stuck.or(late) {
            look.read_log(cluster, progress).await;
            let failure = look.failure(cluster, &why).await;
            end(cluster, job, progress).await?;
            return Ok(End::Failed(failure));
        }
    }
}

fn after(now: Timestamp, duration: Duration) -> Timestamp {
    now.saturating_add(SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)).unwrap_or(Timestamp::MAX)
}

/// What is known of the Job so far.
struct Look {
    job: Object,
    container: String,
    pods: Vec<Object>,
    /// What it printed so far, and how much of it was said.
    log: String,
    said: usize,
    /// Since when it cannot start.
    stuck: Option<Timestamp>,
}

impl Look {
    fn new(job: &Object, container: &str) -> Self {
        let (pods, log) = (Vec::new(), String::new());
        Self { job: job.clone(), container: container.to_owned(), pods, log, said: 0, stuck: None }
    }

    fn take_job(&mut self, set: Vec<Object>) -> Result<(), DeliveryError> {
        let uid = self.job.uid().to_owned();
        let Some(now) = set.into_iter().find(|each| each.uid() == uid && !each.is_terminating()) else {
            let why = "somebody deleted it while it ran";
            return Err(Failure::new(format!("{} is gone", self.job.id()), why)
                .effect("what it did so far is not known")
                .next("look at the database, then run again")
                .into());
        };
        self.job = now;
        Ok(())
    }

    /// None while it runs; else whether it is complete, or why it failed. `FailureTarget` comes first: the Job has failed once its
    /// pods are at rest.
    fn ended(&self) -> Option<Result<(), String>> {
        let at_rest = self.pods.iter().all(|pod| matches!(pod.text("/status/phase"), "Succeeded" | "Failed"));
        match status(&self.job)?.state {
            State::Done => Some(Ok(())),
            State::Failed(why) if at_rest => Some(Err(why)),
            _ => None,
        }
    }

    /// Why it will not start.
    fn stuck(&mut self, now: Timestamp) -> Option<String> {
        let found = self.pods.iter().filter_map(|pod| trouble(pod, 1)).find(|each| each.kind != TroubleKind::CrashLoop);
        let Some((found, grace)) = found.and_then(|found| Some((found.to_string(), found.grace?))) else {
            self.stuck = None;
            return None;
        };
        let since = *self.stuck.get_or_insert(now);
        (after(since, grace) <= now).then_some(found)
    }

    /// Reads what is new in the log and says it, by whole lines. A log that cannot be read now is read later.
    async fn read_log(&mut self, cluster: &Cluster, progress: &dyn Progress) {
        let started = |pod: &&Object| matches!(pod.text("/status/phase"), "Running" | "Succeeded" | "Failed");
        let Some(pod) = self.pods.iter().find(started) else { return };
        let call = LogCall {
            container: Some(self.container.clone()),
            since: Since::Start,
            lines: None,
            bytes: MOST,
            previous: false,
        };
        match cluster.with_patience(Duration::from_secs(10)).logs(pod.name(), &call).await {
            Ok(logs) if logs.text.len() >= self.log.len() => self.log = logs.text,
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, "no log of a Job now"),
        }
        let whole = if self.ended().is_some() { self.log.len() } else { self.log.rfind('\n').map_or(0, |end| end + 1) };
        for line in self.log.get(self.said..whole).unwrap_or_default().lines() {
            progress.say(line.to_owned());
        }
        self.said = self.said.max(whole);
    }

    /// With the cause, where the pods, events or log tell one.
    async fn failure(&self, cluster: &Cluster, why: &str) -> Failure {
        let what = format!("{} failed", self.job.id());
        let owners = std::slice::from_ref(&self.job);
        let mut scene = diagnose::scene(&cluster.with_patience(Duration::from_secs(20)), &self.pods, owners).await;
        for pod in &self.pods {
            scene.logs.insert(pod.name().to_owned(), self.log.clone());
        }
        let mut failure = match scene.cause() {
            Some(cause) => Failure { what, why: format!("{}: {}", cause.what, cause.why), ..cause },
            None => Failure::new(what, self.last_words().unwrap_or_else(|| why.to_owned())),
        };
        if failure.evidence.is_empty() {
            let lines: Vec<&str> = self.log.lines().collect();
            failure.evidence =
                lines.iter().skip(lines.len().saturating_sub(LINES)).map(|line| (*line).to_owned()).collect();
        }
        failure
    }

    /// The last line that it printed, where it ran at all.
    fn last_words(&self) -> Option<String> {
        let line = self.log.lines().rev().find(|line| !line.trim().is_empty())?;
        Some(line.trim().chars().take(300).collect())
    }
}

/// What a Job that ended earlier printed, as far as its pod is still there.
pub(super) async fn log_of(cluster: &Cluster, job: &str, container: &str) -> Result<Option<String>, ClusterError> {
    let Some(pod) = cluster.pods(&pods_of(job)).await?.into_iter().next() else { return Ok(None) };
    let call = LogCall {
        container: Some(container.to_owned()),
        since: Since::Start,
        lines: None,
        bytes: MOST,
        previous: false,
    };
    match cluster.logs(pod.name(), &call).await {
        Ok(logs) => Ok(logs.none.is_none().then_some(logs.text)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}
