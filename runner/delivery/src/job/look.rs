//! What is known of one Job so far: its state, its pods, what it printed.

use std::time::Duration;

use jiff::Timestamp;

use super::failed::{Cause, Failed, to_blame};
use super::follow::after;
use super::logs::{Printed, of_container, telling_line};
use crate::cluster::{Cluster, ClusterError};
use crate::diagnose;
use crate::rollout::{State, TroubleKind, status, trouble};
use crate::{DeliveryError, Failure, Object, Progress, Stop};

/// Lines under a failure.
const LINES: usize = 20;
/// How long a log may take to be read while the Job runs.
const BRIEF: Duration = Duration::from_secs(10);
/// And when it has ended: what it printed may be its result.
const LAST: Duration = Duration::from_mins(1);
/// A complete Job's pod that is not seen for so long is gone.
const UNSEEN: Duration = Duration::from_secs(10);

/// What is known of the Job so far.
pub(super) struct Look {
    job: Object,
    /// The container whose log is the step's.
    container: String,
    /// None: not seen yet.
    pods: Option<Vec<Object>>,
    /// The pod whose log is followed.
    pod: String,
    /// What it printed so far, whether that is only the beginning, and how much of it was said.
    log: String,
    cut: bool,
    said: usize,
    /// What every container printed.
    printed: Printed,
    /// Since when it cannot start.
    stuck: Option<Timestamp>,
    /// Since when it is complete while its pod was not seen to have ended.
    unseen: Option<Timestamp>,
}

impl Look {
    pub(super) fn new(job: &Object, container: &str) -> Self {
        let (pod, log, printed) = (String::new(), String::new(), Printed::default());
        let (job, container) = (job.clone(), container.to_owned());
        Self { job, container, pods: None, pod, log, cut: false, said: 0, printed, stuck: None, unseen: None }
    }

    pub(super) fn take_job(&mut self, set: Vec<Object>) -> Result<(), DeliveryError> {
        let uid = self.job.uid().to_owned();
        let Some(now) = set.into_iter().find(|each| each.uid() == uid && !each.is_terminating()) else {
            let why = "somebody deleted it while it ran";
            return Err(Failure::new(format!("{} is gone", self.job.id()), why)
                .effect("what it did so far is not known")
                .next("look at what it works on, then run again")
                .into());
        };
        self.job = now;
        Ok(())
    }

    pub(super) fn take_pods(&mut self, set: Vec<Object>) {
        self.pods = Some(set);
    }

    /// Its pods are known: their logs can be read.
    pub(super) fn has_seen_pods(&self) -> bool {
        self.pods.is_some()
    }

    fn pods(&self) -> &[Object] {
        self.pods.as_deref().unwrap_or_default()
    }

    /// None while it runs; else whether it is complete, or why it failed. `FailureTarget` comes first: the Job has failed once its
    /// pods are at rest. Not before the pods were seen: one that ended long ago has a log too. Of a Job that is complete the
    /// pod's end may be seen later than its own, and without it nothing of the log would be read.
    pub(super) fn ended(&mut self, now: Timestamp) -> Option<Result<(), Cause>> {
        let at_rest = |pod: &Object| matches!(pod.text("/status/phase"), "Succeeded" | "Failed");
        let pods = self.pods.as_ref()?;
        let (all, any) = (pods.iter().all(at_rest), pods.iter().any(at_rest));
        match status(&self.job)?.state {
            State::Done if any => Some(Ok(())),
            State::Done => {
                let since = *self.unseen.get_or_insert(now);
                (after(since, UNSEEN) <= now).then_some(Ok(()))
            }
            State::Failed(why) if all => Some(Err(Cause::Condition(why))),
            _ => None,
        }
    }

    /// It has failed and its pods still end: the last moment for their logs, where the cluster removes them.
    pub(super) fn is_ending(&self) -> bool {
        status(&self.job).is_some_and(|status| matches!(status.state, State::Failed(_)))
    }

    /// Why it will not start.
    pub(super) fn stuck(&mut self, now: Timestamp) -> Option<Cause> {
        let found =
            self.pods().iter().filter_map(|pod| trouble(pod, 1)).find(|each| each.kind != TroubleKind::CrashLoop);
        let Some((found, grace)) = found.and_then(|found| Some((found.to_string(), found.grace?))) else {
            self.stuck = None;
            return None;
        };
        let since = *self.stuck.get_or_insert(now);
        (after(since, grace) <= now).then_some(Cause::Stuck(found))
    }

    /// Reads what is new in the log and says it, by whole lines. A log that cannot be read now is read later.
    pub(super) async fn read_log(&mut self, cluster: &Cluster, progress: &dyn Progress) {
        if let Err(error) = self.fetch(&cluster.with_patience(BRIEF)).await {
            tracing::debug!(%error, "no log of a Job now");
        }
        let whole = self.log.rfind('\n').map_or(0, |end| end + 1);
        self.say(whole, progress);
    }

    async fn fetch(&mut self, cluster: &Cluster) -> Result<(), ClusterError> {
        let Some(pod) = self.speaker() else { return Ok(()) };
        if pod != self.pod {
            self.log.clear();
            (self.pod, self.said, self.cut) = (pod, 0, false);
        }
        match of_container(cluster, &self.pod, &self.container).await? {
            Some((text, cut)) if text.len() >= self.log.len() => (self.log, self.cut) = (text, cut),
            _ => {}
        }
        Ok(())
    }

    fn say(&mut self, until: usize, progress: &dyn Progress) {
        for line in self.log.get(self.said..until).unwrap_or_default().lines() {
            progress.say(line.to_owned());
        }
        self.said = self.said.max(until);
    }

    /// The pod whose log is the step's: the same for as long as it is there.
    fn speaker(&self) -> Option<String> {
        let started = |pod: &&Object| matches!(pod.text("/status/phase"), "Running" | "Succeeded" | "Failed");
        let started: Vec<&str> = self.pods().iter().filter(started).map(Object::name).collect();
        started.iter().find(|name| **name == self.pod).or(started.first()).map(|name| (*name).to_owned())
    }

    /// Reads what all containers printed; what cannot be read is given back.
    pub(super) async fn gather(&mut self, cluster: &Cluster) -> Vec<String> {
        let brief = cluster.with_patience(BRIEF);
        self.printed.gather(&brief, self.pods.as_deref().unwrap_or_default()).await
    }

    /// Keeps what all containers printed. Gives back why the followed log could not be read to its end.
    pub(super) async fn keep(
        &mut self,
        cluster: &Cluster,
        progress: &dyn Progress,
    ) -> Result<Option<ClusterError>, Stop> {
        let unread = self.fetch(&cluster.with_patience(LAST)).await.err();
        self.say(self.log.len(), progress);
        for problem in self.gather(cluster).await {
            progress.warn(problem);
        }
        if !self.log.is_empty() {
            self.printed.or(&self.pod, &self.container, &self.log);
        }
        keep(self.job.name(), &self.printed, progress).await?;
        Ok(unread)
    }

    /// What the followed container printed: the end of it, where it is too long to be read whole.
    pub(super) fn into_log(self) -> String {
        let end = self.printed.text((&self.pod, &self.container)).filter(|_| self.cut).map(str::to_owned);
        end.unwrap_or(self.log)
    }

    /// With the cause, where the pods, events or log tell one. The end of a log that was not followed is said.
    pub(super) async fn failed(&self, cluster: &Cluster, cause: &Cause, progress: &dyn Progress) -> Failed {
        let owners = std::slice::from_ref(&self.job);
        let mut scene = diagnose::scene(&cluster.with_patience(Duration::from_secs(20)), self.pods(), owners).await;
        let blamed = to_blame(self.pods());
        let of = blamed.map(|(pod, container, _)| (pod, container));
        let log = of.and_then(|of| self.printed.text(of)).unwrap_or(&self.log);
        if let Some((_, container)) = of.filter(|of| *of != (self.pod.as_str(), self.container.as_str())) {
            for line in last_lines(log) {
                progress.say(format!("{container}: {line}"));
            }
        }
        scene.logs.extend(self.pods().iter().map(|pod| (pod.name().to_owned(), log.to_owned())));
        let last = self.printed.telling_line(of);
        let (why, next) = cause.line(blamed.map(|(.., code)| code), &scene, last);
        let failure = self.failure(&scene, log, cause.text());
        Failed { name: self.job.name().to_owned(), why, next, took: self.took(progress.now()), failure }
    }

    fn failure(&self, scene: &diagnose::Scene, log: &str, why: &str) -> Failure {
        let what = format!("{} failed", self.job.id());
        let mut failure = match scene.cause() {
            Some(cause) => Failure { what, why: format!("{}: {}", cause.what, cause.why), ..cause },
            None => Failure::new(what, telling_line(log).unwrap_or_else(|| why.to_owned())),
        };
        if failure.evidence.is_empty() {
            failure.evidence = last_lines(log);
        }
        failure
    }

    /// From its making until now.
    pub(super) fn took(&self, now: Timestamp) -> Duration {
        since_made(&self.job, now)
    }
}

/// How long a Job took from its making until then.
pub(super) fn since_made(job: &Object, end: Timestamp) -> Duration {
    Duration::try_from(end.duration_since(made(job, end))).unwrap_or_default()
}

fn last_lines(log: &str) -> Vec<String> {
    let lines: Vec<&str> = log.lines().collect();
    lines.iter().skip(lines.len().saturating_sub(LINES)).map(|line| (*line).to_owned()).collect()
}

/// When a Job was made, by the cluster's clock; never later than now.
pub(super) fn made(job: &Object, now: Timestamp) -> Timestamp {
    job.text("/metadata/creationTimestamp").parse().unwrap_or(now).min(now)
}

/// Keeps what a Job printed with the run, where it printed anything.
pub(super) async fn keep(job: &str, printed: &Printed, progress: &dyn Progress) -> Result<(), Stop> {
    match printed.file() {
        Some(file) => progress.keep(format!("job-{job}.log"), file.into_bytes()).await,
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// When it counts as ended: a Job with one condition, whose pods are in these phases, after so many seconds.
    fn is_ended(condition: &str, pods: &[&str], seconds: &[u64]) -> Vec<Option<bool>> {
        let job = json!({"kind": "Job", "metadata": {"name": "a", "uid": "u"},
            "status": {"conditions": [{"type": condition, "status": "True"}]}});
        let mut look = Look::new(&Object(job.clone()), "main");
        look.take_job(vec![Object(job)]).expect("it is there");
        look.take_pods(pods.iter().map(|phase| Object(json!({"status": {"phase": phase}}))).collect());
        let at = |second: &u64| after(Timestamp::UNIX_EPOCH, Duration::from_secs(*second));
        seconds.iter().map(|second| look.ended(at(second)).map(|end| end.is_ok())).collect()
    }

    #[test]
    fn a_complete_job_has_ended_when_its_pod_was_seen_to() {
        assert_eq!(is_ended("Complete", &["Succeeded"], &[0]), [Some(true)]);
        assert_eq!(is_ended("Complete", &["Running"], &[0, 1, 9, 10]), [None, None, None, Some(true)]);
        // One that is gone is not waited for longer.
        assert_eq!(is_ended("Complete", &[], &[0, 9, 10]), [None, None, Some(true)]);
        assert_eq!(is_ended("Failed", &["Failed", "Running"], &[0, 60]), [None, None]);
        assert_eq!(is_ended("Failed", &["Failed"], &[0]), [Some(false)]);
    }

    #[test]
    fn nothing_has_ended_before_the_pods_were_looked_at() {
        let job = Object(json!({"kind": "Job", "status": {"conditions": [{"type": "Complete", "status": "True"}]}}));
        assert!(Look::new(&job, "main").ended(Timestamp::UNIX_EPOCH).is_none());
    }
}
