//! Running a Job once.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::end::{end, pods_of};
use super::failed::Failed;
use super::follow::{End, follow};
use super::known::{Known, ended_at, run_of};
use super::logs::{Printed, of_container};
use super::look::{keep, since_made};
use super::make::{JobPlan, told};
use super::{JOB, KEY, OF_UNIT, RESULT, output};
use crate::cluster::{Cluster, ClusterError, Labels, MANAGER, Patch, Precondition, Propagation};
use crate::unit::{RELEASE, RUN, VERSION, digest_of, slug};
use crate::{DeliveryError, Object, Progress, Site};

/// Longest result that stays with a Job.
const LONGEST: usize = 100 << 10;

/// How often something is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope<'a> {
    /// Once for a release, whoever asks again.
    Release {
        /// UIDs of Jobs that were complete and do not count any more: what they did was taken back.
        void: &'a [String],
    },
    /// Once for this step of this attempt.
    Step,
    /// Once for this step too, but each call is a try of its own: one that failed is not told again, it is tried again.
    Later,
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
    pub scope: Scope<'a>,
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
    /// When it ended.
    pub at: Timestamp,
    /// From its making to its end.
    pub took: Duration,
}

/// How a Job of ours ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It is complete.
    Complete(Ended),
    /// It failed as often as it may, at last so.
    Failed(Box<Failed>),
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
    match outcome(cluster, site, work, progress).await? {
        Outcome::Complete(ended) => Ok(ended),
        Outcome::Failed(failed) => Err(failed.failure.into()),
    }
}

/// The same for a Job whose failure is an answer as good as any: that of a test.
///
/// # Errors
/// It is not known how it ended; or the step is to end, as [`run`] says.
pub async fn outcome(
    cluster: &Cluster,
    site: &Site,
    work: &Work<'_>,
    progress: &dyn Progress,
) -> Result<Outcome, DeliveryError> {
    let prepared = Prepared::of(site, work);
    let known = prepared.known(cluster, progress).await?;
    if let Some(done) = known.complete(work.scope) {
        let ended = prepared.ended(cluster, done, work, progress).await?;
        progress.say(format!("Job/{} is complete already; it is not run again", ended.name));
        return Ok(Outcome::Complete(ended));
    }
    // What was put off takes no failure for its own: it would tell the first one for ever.
    let here = if work.scope == Scope::Later { "" } else { prepared.here.as_str() };
    let mut failed = known.failed_here(here);
    for earlier in known.failed_elsewhere(here) {
        progress.warn(format!("Job/{} of run {} failed; it is tried again", earlier.name(), run_of(earlier)));
    }
    let mut number = known.highest();
    let mut there = known.to_follow(here, work.retries).cloned();
    loop {
        let job = if let Some(job) = there.take() {
            let how = if Known::is_running(&job) { "runs already; waiting for it" } else { "failed already" };
            progress.say(format!("Job/{} {how}", job.name()));
            job
        } else {
            number += 1;
            if work.scope == Scope::Later {
                tidy(cluster, &known).await?;
            }
            prepared.create(cluster, number, work).await?
        };
        match follow(cluster, &job, &work.plan.container, work.timeout, progress).await? {
            End::Complete { log, took } => {
                let (name, result) = (job.name().to_owned(), output::result(&log));
                let ended = Ended { name, result, log, already: false, at: progress.now(), took };
                prepared.remember(cluster, &job, &ended).await?;
                return Ok(Outcome::Complete(ended));
            }
            End::Failed(last) if failed < work.retries => {
                failed += 1;
                progress.warn(format!("{}; tried again ({failed} of {})", last.failure, work.retries));
            }
            End::Failed(last) => return Ok(Outcome::Failed(last)),
        }
    }
}

/// Takes away what earlier tries have left, but for the last: there may be many.
async fn tidy(cluster: &Cluster, known: &Known) -> Result<(), ClusterError> {
    for job in known.spent() {
        cluster.delete(&job.id(), &Precondition::same(job), Propagation::Background).await?;
    }
    Ok(())
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
        let here = site.asker();
        let scope = if matches!(work.scope, Scope::Release { .. }) { "" } else { here.as_str() };
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

    /// The Jobs with this key. What an engine was taking away when it ended is gone first.
    async fn known(&self, cluster: &Cluster, progress: &dyn Progress) -> Result<Known, DeliveryError> {
        let labels = Labels::from([(KEY.to_owned(), self.key.clone())]);
        let all = cluster.list("batch/v1", "Job", &labels).await?;
        let (leaving, there): (Vec<Object>, Vec<Object>) = all.into_iter().partition(Object::is_terminating);
        for job in leaving {
            end(cluster, &job, progress).await?;
        }
        Ok(Known(there))
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

    /// What a Job that was complete before printed, as far as its pods are still there. It is kept: the engine that waited for it
    /// may have ended before it could.
    async fn ended(
        &self,
        cluster: &Cluster,
        job: &Object,
        work: &Work<'_>,
        progress: &dyn Progress,
    ) -> Result<Ended, DeliveryError> {
        let pods = cluster.pods(&pods_of(job.name())).await?;
        let container = work.plan.container.as_str();
        let (mut log, mut cut) = (String::new(), false);
        if let Some(pod) = pods.first() {
            (log, cut) = of_container(cluster, pod.name(), container).await?.unwrap_or_default();
        }
        let mut printed = Printed::default();
        for problem in printed.gather(cluster, &pods).await {
            progress.warn(problem);
        }
        keep(job.name(), &printed, progress).await?;
        let end = pods.first().filter(|_| cut).and_then(|pod| printed.text((pod.name(), container)));
        let log = end.map_or(log, str::to_owned);
        let kept = job.annotations().get(RESULT).and_then(|text| serde_json::from_str(text).ok());
        let result = kept.or_else(|| output::result(&log));
        let at = ended_at(job).parse().unwrap_or_else(|_| progress.now());
        Ok(Ended { name: job.name().to_owned(), log, result, already: true, at, took: since_made(job, at) })
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn site(identity: &str) -> Site {
        Site { identity: identity.to_owned(), ..testing::site() }
    }

    fn prepared(identity: &str, scope: Scope<'_>) -> Prepared {
        let object = Object(json!({"kind": "Job", "metadata": {"name": "m"}}));
        let plan = JobPlan { source: String::new(), container: "c".to_owned(), object };
        let timeout = Duration::from_mins(1);
        let work = Work { plan: &plan, purpose: "verify", unit: "shop", scope, retries: 0, timeout };
        Prepared::of(&site(identity), &work)
    }

    #[test]
    fn the_first_runs_of_two_stores_do_not_take_each_others_jobs_for_theirs() {
        let [one, again, other] = ["0a1b", "0a1b", "2c3d"].map(|identity| prepared(identity, Scope::Step));
        assert_eq!((one.key.as_str(), one.here.as_str()), (again.key.as_str(), "1/deploy/1/0/0a1b"));
        assert_ne!((&one.key, &one.here), (&other.key, &other.here));
        // A run that was begun before there was an identity goes on with its Jobs.
        assert_eq!(prepared("", Scope::Step).here, "1/deploy/1/0");
        // What is done once for a release is so for all stores.
        let [one, other] = ["0a1b", "2c3d"].map(|identity| prepared(identity, Scope::Release { void: &[] }).key);
        assert_eq!(one, other);
    }
}
