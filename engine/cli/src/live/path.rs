//! Where the time of a run went: the longest chain of jobs and approvals that led to its end.

use jiff::Timestamp;
use tagline_run::view::{JobView, jobs};
use tagline_run::{ApprovedBy, GateStatus, Opened, RunState};

use crate::words::{self, plain};

/// `build 1m 48s → deploy-staging 1m 31s → approval 6m 10s (ona, petras) → deploy-production 19m 44s`; empty where
/// nothing ran.
pub(crate) fn line(state: &RunState) -> String {
    let all = jobs(state);
    let ended = |job: &&JobView| job.started_at.is_some() && job.ended_at.is_some();
    let mut parts = Vec::new();
    let mut at = all.iter().filter(ended).max_by_key(|job| job.ended_at);
    while let Some(job) = at {
        parts.push(format!("{} {}", plain(&job.name), super::tree::took(job.started_at, job.ended_at)));
        parts.extend(approval(state, job));
        // Needs come before their job in the plan, so this ends.
        let needs = all.iter().filter(ended).filter(|other| job.needs.contains(&other.id.job));
        at = needs.max_by_key(|job| job.ended_at);
    }
    parts.reverse();
    parts.join(" → ")
}

fn approval(state: &RunState, job: &JobView) -> Option<String> {
    let (_, gate) = state.gate_of(&job.id)?;
    let opened = gate.opened.as_ref()?;
    let GateStatus::Approved { by: ApprovedBy::Votes, at } = gate.status else { return None };
    Some(format!("approval {} ({})", words::between(opened.at, at), approvers(opened)))
}

fn approvers(opened: &Opened) -> String {
    opened.approvers().map(|person| plain(&person.email)).collect::<Vec<_>>().join(", ")
}

/// The time from the beginning of the attempt to its end.
pub(crate) fn total(state: &RunState, end: Timestamp) -> String {
    words::between(state.attempt_at, end)
}
