//! Jobs that were made before for the same: which one counts, which one is gone on with.

use super::ATTEMPT;
use super::run::Scope;
use crate::Object;
use crate::rollout::{State, status};
use crate::unit::RUN;

/// Jobs with one key.
pub(super) struct Known(pub(super) Vec<Object>);

impl Known {
    fn state(job: &Object) -> State {
        status(job).map_or_else(|| State::Progressing(String::new()), |status| status.state)
    }

    /// The newest complete one that counts.
    pub(super) fn complete(&self, scope: Scope<'_>) -> Option<&Object> {
        let is_void =
            |job: &Object| matches!(scope, Scope::Release { void } if void.iter().any(|uid| uid == job.uid()));
        let done = self.0.iter().filter(|job| Self::state(job) == State::Done && !is_void(job));
        done.max_by_key(|job| ended_at(job))
    }

    pub(super) fn is_running(job: &Object) -> bool {
        matches!(Self::state(job), State::Progressing(_))
    }

    /// The one that runs; or the last, where this step has seen them fail as often as they may.
    pub(super) fn to_follow(&self, here: &str, retries: u32) -> Option<&Object> {
        let spent = || self.failed().filter(|job| run_of(job) == here).max_by_key(|job| number_of(job));
        let running = self.0.iter().find(|job| Self::is_running(job));
        running.or_else(|| (self.failed_here(here) > retries).then(spent).flatten())
    }

    fn failed(&self) -> impl Iterator<Item = &Object> {
        self.0.iter().filter(|job| matches!(Self::state(job), State::Failed(_)))
    }

    pub(super) fn failed_here(&self, here: &str) -> u32 {
        u32::try_from(self.failed().filter(|job| run_of(job) == here).count()).unwrap_or(u32::MAX)
    }

    pub(super) fn failed_elsewhere(&self, here: &str) -> Vec<&Object> {
        self.failed().filter(|job| run_of(job) != here).collect()
    }

    /// Those that failed, but for the last: nobody will look at them.
    pub(super) fn spent(&self) -> Vec<&Object> {
        let mut failed: Vec<&Object> = self.failed().collect();
        failed.sort_by_key(|job| number_of(job));
        failed.pop();
        failed
    }

    pub(super) fn highest(&self) -> u32 {
        self.0.iter().map(number_of).max().unwrap_or(0)
    }
}

pub(super) fn run_of(job: &Object) -> String {
    job.annotations().remove(RUN).unwrap_or_default()
}

fn number_of(job: &Object) -> u32 {
    job.labels().get(ATTEMPT).and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// RFC 3339 in UTC by whole seconds: compared as text.
pub(super) fn ended_at(job: &Object) -> String {
    job.text("/status/completionTime").to_owned()
}
