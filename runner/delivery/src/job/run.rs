//! Running a Job once.

use std::time::Duration;

use serde_json::{Value, json};

use super::follow::{End, follow, log_of};
use super::make::{JobPlan, told};
use super::{ATTEMPT, JOB, KEY, OF_UNIT, RESULT, output};
use crate::cluster::{Cluster, ClusterError, Labels, MANAGER, Patch};
use crate::rollout::{State, status};
use crate::unit::{RELEASE, RUN, VERSION, digest_of, slug};
use crate::{DeliveryError, Failure, Object, Progress, Site};

/// Longest result that stays with a Job.
const LONGEST: usize = 100 << 10;

/// How often something is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Once for a release, whoever asks again.
    Release,
    /// Once for this step of this attempt.
    Step,
}

/// A Job to be run.
#[derive(Debug, Clone, Copy)]
pub struct Work<'a> {
    /// What it is.
    pub plan: &'a JobPlan,
    /// What it is for, a DNS label: `migrate`.
    pub purpose: &'a str,
    /// The unit it works for.
    pub unit: &'a str,
    /// How often.
    pub scope: Scope,
    /// How often one that failed is tried again by this step.
    pub retries: u32,
    /// For one Job.
    pub timeout: Duration,
}

/// A Job that is complete.
#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    /// Its name.
    pub name: String,
    /// What it printed; empty where its pod is gone since.
    pub log: String,
    /// The result among it.
    pub result: Option<Value>,
    /// It was complete before this call.
    pub already: bool,
}

impl Ended {
    /// What it printed, in one piece, for a Job that prints one word.
    pub fn text(&self) -> &str {
        self.log.trim()
    }
}

/// Runs it, waits for its end, and gives back what it printed. One that is complete already counts.
///
/// # Errors
/// It failed, with cause and the last lines of its log; nothing of it runs any more then. The step is to end: the same,
/// except where the engine itself ends, which leaves it running for the next one.
pub async fn run(
    cluster: &Cluster,
    site: &Site,
    work: &Work<'_>,
    progress: &dyn Progress,
) -> Result<Ended, DeliveryError> {
    let prepared = Prepared::of(site, work);
    let known = prepared.known(cluster).await?;
    if let Some(done) = known.complete(cluster, work).await? {
        let ended = prepared.ended(cluster, &done, work).await?;
        progress.say(format!("Job/{} is complete already; it is not run again", ended.name));
        return Ok(ended);
    }
    let mut failed = known.failed_here(&prepared.here);
    for earlier in known.failed_elsewhere(&prepared.here) {
        progress.warn(format!("Job/{} of run {} failed; it is tried again", earlier.name(), run_of(earlier)));
    }
    let mut number = known.highest();
    let mut running = known.running().cloned();
    loop {
        let job = match running.take() {
            Some(job) => {
                progress.say(format!("Job/{} runs already; waiting for it", job.name()));
                job
            }
            None if failed > work.retries => return Err(prepared.gave_up(cluster, &known, work).await?),
            None => {
                number += 1;
                prepared.create(cluster, number, work).await?
            }
        };
        match follow(cluster, &job, &work.plan.container, work.timeout, progress).await? {
            End::Complete(log) => {
                let ended = Ended { name: job.name().to_owned(), result: output::result(&log), log, already: false };
                prepared.remember(cluster, &job, &ended).await?;
                return Ok(ended);
            }
            End::Failed(failure) if failed < work.retries => {
                failed += 1;
                progress.warn(format!("{failure}; tried again ({failed} of {})", work.retries));
            }
            End::Failed(failure) => return Err(failure.into()),
        }
    }
}

/// The Job as it is created, without its number, and who asks.
struct Prepared {
    object: Object,
    key: String,
    release: String,
    here: String,
}

impl Prepared {
    fn of(site: &Site, work: &Work<'_>) -> Self {
        let mut plan = work.plan.clone();
        for (name, value) in told(site) {
            plan = plan.with_env(name, &value);
        }
        let here = format!("{}/{}/{}/{}", site.run, site.job, site.attempt, site.step);
        let scope = if work.scope == Scope::Step { here.as_str() } else { "" };
        let mut object = plan.object;
        let content = Object(json!([object.0, work.purpose, work.unit, site.version, scope]));
        let key = digest_of(&content)[..16].to_owned();
        let release = format!("v{}-{}", slug(&site.version, 20), &key[..8]);
        for (name, value) in [(JOB, work.purpose), (KEY, key.as_str()), (RELEASE, release.as_str())] {
            object.set(&format!("/metadata/labels/{}", name.replace('/', "~1")), value.into());
        }
        for (name, value) in [(RUN, here.as_str()), (VERSION, site.version.as_str()), (OF_UNIT, work.unit)] {
            object.set(&format!("/metadata/annotations/{}", name.replace('/', "~1")), value.into());
        }
        let pods = "/spec/template/metadata/labels/tagline.dev~1job";
        object.set(pods, work.purpose.into());
        Self { object, key, release, here }
    }

    /// `migrations-v1-2-3-1a2b3c4d-1`: a label's value too, at most 63 characters.
    fn name(&self, number: u32) -> String {
        let end = format!("-{}-{number}", self.release);
        format!("{}{end}", slug(self.object.name(), 63 - end.len()))
    }

    async fn known(&self, cluster: &Cluster) -> Result<Known, ClusterError> {
        let labels = Labels::from([(KEY.to_owned(), self.key.clone())]);
        Ok(Known(cluster.list("batch/v1", "Job", &labels).await?))
    }

    async fn create(&self, cluster: &Cluster, number: u32, work: &Work<'_>) -> Result<Object, DeliveryError> {
        let mut object = self.object.clone();
        object.set("/metadata/name", self.name(number).into());
        object.set("/metadata/labels/tagline.dev~1attempt", number.to_string().into());
        match cluster.create(&object, MANAGER).await {
            Ok(job) => Ok(job),
            Err(error @ ClusterError::AlreadyExists { .. }) => match cluster.get(&object.id()).await? {
                Some(there) if there.labels().get(KEY) == Some(&self.key) && !there.is_terminating() => Ok(there),
                _ => Err(error.failure(&format!("the Job of {} cannot be made", work.purpose)).into()),
            },
            Err(error) => Err(error.failure(&format!("the Job of {} cannot be made", work.purpose)).into()),
        }
    }

    /// What a Job that is complete printed.
    async fn ended(&self, cluster: &Cluster, job: &Object, work: &Work<'_>) -> Result<Ended, ClusterError> {
        let log = log_of(cluster, job.name(), &work.plan.container).await?.unwrap_or_default();
        let kept = job.annotations().get(RESULT).and_then(|text| serde_json::from_str(text).ok());
        let result = kept.or_else(|| output::result(&log));
        Ok(Ended { name: job.name().to_owned(), log, result, already: true })
    }

    /// The result outlives the pod.
    async fn remember(&self, cluster: &Cluster, job: &Object, ended: &Ended) -> Result<(), ClusterError> {
        let Some(text) = ended.result.as_ref().map(Value::to_string).filter(|text| text.len() <= LONGEST) else {
            return Ok(());
        };
        let patch = Patch::Merge(json!({"metadata": {"uid": job.uid(), "annotations": {RESULT: text}}}));
        match cluster.patch(&job.id(), MANAGER, &patch).await {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }

    /// An earlier engine saw it fail as often as it may.
    async fn gave_up(&self, cluster: &Cluster, known: &Known, work: &Work<'_>) -> Result<DeliveryError, ClusterError> {
        let last = known.0.iter().max_by_key(|job| number_of(job));
        let Some(last) = last else { return Ok(Failure::new("its Job failed", "").into()) };
        let log = log_of(cluster, last.name(), &work.plan.container).await?.unwrap_or_default();
        let words = log.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("its pod is gone").to_owned();
        Ok(Failure::new(format!("Job/{} failed", last.name()), words).into())
    }
}

/// Jobs with one key.
struct Known(Vec<Object>);

impl Known {
    fn state(job: &Object) -> State {
        status(job).map_or_else(|| State::Progressing(String::new()), |status| status.state)
    }

    /// The complete one that counts: of a release, only while nothing else of the same purpose was completed for the unit
    /// since; what was taken back is done again.
    async fn complete(&self, cluster: &Cluster, work: &Work<'_>) -> Result<Option<Object>, ClusterError> {
        let done = self.0.iter().filter(|job| Self::state(job) == State::Done);
        let Some(done) = done.max_by_key(|job| ended_at(job)) else { return Ok(None) };
        if work.scope == Scope::Step {
            return Ok(Some(done.clone()));
        }
        let labels = Labels::from([(JOB.to_owned(), work.purpose.to_owned())]);
        let all = cluster.list("batch/v1", "Job", &labels).await?;
        let newer = |job: &Object| {
            let same_unit = job.annotations().get(OF_UNIT).is_some_and(|unit| unit == work.unit);
            same_unit && Self::state(job) == State::Done && ended_at(job) > ended_at(done)
        };
        Ok((!all.iter().any(newer)).then(|| done.clone()))
    }

    fn running(&self) -> Option<&Object> {
        self.0.iter().find(|job| matches!(Self::state(job), State::Progressing(_)) && !job.is_terminating())
    }

    fn failed(&self) -> impl Iterator<Item = &Object> {
        self.0.iter().filter(|job| matches!(Self::state(job), State::Failed(_)))
    }

    fn failed_here(&self, here: &str) -> u32 {
        u32::try_from(self.failed().filter(|job| run_of(job) == here).count()).unwrap_or(u32::MAX)
    }

    fn failed_elsewhere(&self, here: &str) -> Vec<&Object> {
        self.failed().filter(|job| run_of(job) != here).collect()
    }

    fn highest(&self) -> u32 {
        self.0.iter().map(number_of).max().unwrap_or(0)
    }
}

fn run_of(job: &Object) -> String {
    job.annotations().remove(RUN).unwrap_or_default()
}

fn number_of(job: &Object) -> u32 {
    job.labels().get(ATTEMPT).and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// RFC 3339 in UTC by whole seconds: compared as text.
fn ended_at(job: &Object) -> String {
    job.text("/status/completionTime").to_owned()
}
