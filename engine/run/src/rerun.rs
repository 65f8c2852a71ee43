//! Doing parts of a finished run again: a new attempt, in which what is not done again keeps its results and outputs.
//! Its environments ask anew.

use std::collections::BTreeSet;

use tagline_plan::Person;

use crate::decide::Decider;
use crate::event::{Conclusion, Fact};
use crate::ids::JobKey;
use crate::input::Rerun;
use crate::refusal::Refusal;
use crate::state::{Ended, RunState};

impl Decider {
    pub(crate) fn rerun(&mut self, by: Person, what: &Rerun, allow_downgrade: bool) -> Result<(), Refusal> {
        if self.state.finished.is_none() {
            return Err(Refusal::StillRunning);
        }
        let (jobs, legs) = match what {
            Rerun::All => (self.state.jobs.keys().cloned().collect(), Vec::new()),
            Rerun::Failed => failed(&self.state)?,
            Rerun::From(job) => {
                let id = self.state.jobs.keys().find(|id| id.eq_ignore_ascii_case(job));
                let known = || self.state.jobs.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
                let id = id.ok_or_else(|| Refusal::UnknownJob { job: job.clone(), known: known() })?;
                (with_descendants(&self.state, &BTreeSet::from([id]), true), Vec::new())
            }
        };
        let attempt = self.state.attempt.next();
        self.emit(Fact::RerunRequested { attempt, by, jobs, legs, allow_downgrade });
        Ok(())
    }
}

/// The legs that did not succeed, and everything after their jobs. A job that never had legs is decided anew.
fn failed(state: &RunState) -> Result<(Vec<String>, Vec<JobKey>), Refusal> {
    let bad = |ended: &Ended| matches!(ended.conclusion, Conclusion::Failure | Conclusion::Cancelled);
    let legs: Vec<JobKey> = state
        .legs()
        .filter(|(_, leg)| matches!(leg.counts(), Some(Conclusion::Failure | Conclusion::Cancelled)))
        .map(|(key, _)| key)
        .collect();
    let whole = state.jobs.iter().filter(|(_, job)| job.ended.as_ref().is_some_and(bad));
    let whole: BTreeSet<&String> = whole.map(|(id, _)| id).collect();
    let mut roots: BTreeSet<&String> = legs.iter().map(|key| &key.job).collect();
    roots.extend(&whole);
    if roots.is_empty() {
        return Err(Refusal::NothingFailed);
    }
    let mut jobs = with_descendants(state, &roots, false);
    for id in whole {
        if !jobs.contains(id) {
            jobs.push(id.clone());
        }
    }
    let legs = legs.iter().filter(|key| !jobs.contains(&key.job)).cloned().collect();
    Ok((jobs, legs))
}

/// The jobs that come after any of these, with or without themselves.
fn with_descendants(state: &RunState, roots: &BTreeSet<&String>, themselves: bool) -> Vec<String> {
    let after = |id: &&String| {
        let ancestors = state.plan.jobs.get(*id).map(|job| job.ancestors.as_slice());
        ancestors.unwrap_or_default().iter().any(|a| roots.contains(a))
    };
    let wanted = |id: &&String| (themselves && roots.contains(*id)) || after(id);
    state.jobs.keys().filter(wanted).cloned().collect()
}
