//! What an event says to people, in one line: for a pipe every one, for a terminal those the tree does not show.

use tagline_run::view::{self, JobView, Status};
use tagline_run::{ApprovedBy, Decision, Event, Fact, GateId, JobKey, RunState};

use super::tree::{mark, took};
use crate::context::Context;
use crate::output::Mark;
use crate::words::{self, plain, short_digest};

/// How much of the news is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Weight {
    /// Shown by the tree by itself.
    Detail,
    /// A job has ended: the tree prints its row.
    Job,
    /// Printed everywhere.
    Always,
}

/// One line of news.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct News {
    /// The job or environment it is about; `run` for the whole.
    pub(crate) who: String,
    /// What is so.
    pub(crate) text: String,
    /// Its state.
    pub(crate) mark: Mark,
    /// Who wants it.
    pub(crate) weight: Weight,
}

impl News {
    fn new(weight: Weight, mark: Mark, who: impl Into<String>, text: impl Into<String>) -> Self {
        Self { who: plain(&who.into()), text: plain(&text.into()), mark, weight }
    }
}

/// The news of an event; `state` is the run's after it.
pub(crate) fn of(event: &Event, state: &RunState, context: &Context) -> Option<News> {
    use Weight::{Always, Detail, Job};
    Some(match &event.fact {
        Fact::JobStarted { key, executor, .. } => {
            News::new(Detail, Mark::InProgress, name(state, key), format!("in progress ({executor})"))
        }
        Fact::StepFinished { key, step, .. } => step_news(state, key, *step)?,
        Fact::JobSkipped { job, .. } => {
            let job = view::job(state, &JobKey::new(job, 0))?;
            News::new(Job, Mark::Skipped, &job.name, outcome(&job))
        }
        Fact::JobFinished { key, .. } | Fact::JobLost { key, .. } => {
            let job = view::job(state, key)?;
            News::new(Job, mark(job.status), &job.name, outcome(&job))
        }
        Fact::LaunchFailed { key, why, again_at, .. } => {
            let wait = words::between(event.at, *again_at);
            let text = format!("could not be launched: {why}; trying again in {wait}");
            News::new(Always, Mark::Warning, name(state, key), text)
        }
        Fact::ArtifactStored { key, name: artifact, digest, size, .. } => {
            let text = format!("artifact {artifact} sha256:{} {}", short_digest(digest), words::size(*size));
            News::new(Detail, Mark::Success, name(state, key), text)
        }
        Fact::Deployed { environment, version, commit, url, .. } => {
            let version = version.clone().unwrap_or_else(|| words::short_commit(commit).to_owned());
            let place = if url.is_empty() { String::new() } else { format!("  {url}") };
            News::new(Always, Mark::Success, environment, format!("{version} is live in {environment}{place}"))
        }
        Fact::CancelRequested { by, reason, .. } => {
            let by = by.as_ref().map_or_else(String::new, |by| format!(" by {}", by.email));
            let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
            News::new(Always, Mark::Cancelled, "run", format!("is being cancelled{by}{reason}"))
        }
        Fact::RerunRequested { attempt, by, .. } => {
            News::new(Always, Mark::InProgress, "run", format!("attempt {attempt}, asked for by {}", by.email))
        }
        _ => gate_news(event, state, context)?,
    })
}

fn gate_news(event: &Event, state: &RunState, context: &Context) -> Option<News> {
    use Weight::{Always, Detail};
    Some(match &event.fact {
        Fact::GateOpened { gate, requires: Some(_), expires, .. } => {
            let (environment, jobs) = (environment(state, *gate), &state.gates.get(gate)?.jobs);
            let until = expires.map_or_else(String::new, |at| format!(" until {}", context.time(at)));
            let waits = view::outcome(state, *gate).replacen("waits", "waiting", 1);
            let who = jobs.first().map_or_else(|| environment.clone(), |key| name(state, key));
            News::new(Detail, Mark::Waiting, who, format!("{waits} ({environment}){until}"))
        }
        Fact::VoteRecorded { gate, vote } => {
            let did = match vote.statement.decision {
                Decision::Approve => "approved",
                Decision::Reject => "rejected",
            };
            let comment = &vote.statement.comment;
            let comment = if comment.is_empty() { String::new() } else { format!(": \"{comment}\"") };
            let environment = environment(state, *gate);
            let mark = if did == "approved" { Mark::Success } else { Mark::Failure };
            News::new(Always, mark, &environment, format!("{} {did} {environment}{comment}", vote.voter.email))
        }
        Fact::GateApproved { gate, by: ApprovedBy::Votes } => {
            let environment = environment(state, *gate);
            News::new(Detail, Mark::Success, environment, view::outcome(state, *gate))
        }
        Fact::GateExpired { gate } | Fact::GateRefused { gate, .. } | Fact::GateVoided { gate, .. } => {
            let environment = environment(state, *gate);
            let text = format!("{environment} {}", view::outcome(state, *gate));
            News::new(Always, Mark::Warning, &environment, text)
        }
        _ => return None,
    })
}

fn step_news(state: &RunState, key: &JobKey, number: u32) -> Option<News> {
    let job = view::job(state, key)?;
    let step = job.steps.iter().find(|step| step.number == number + 1)?;
    let total = state.plan.jobs.get(&key.job).map_or(0, |planned| planned.job.steps.len());
    let place = if (number as usize) < total { format!("{}/{total} ", number + 1) } else { String::new() };
    let text = match step.status {
        Status::Skipped => format!("{place}{}: skipped", step.name),
        status => {
            let why = if step.why.is_empty() { String::new() } else { format!(": {}", step.why) };
            let took = took(Some(step.started_at), step.ended_at);
            format!("{place}{}: {} {took}{why}", step.name, status.word())
        }
    };
    Some(News::new(Weight::Detail, mark(step.status), &job.name, text))
}

/// `success 21.4s`, `failure 58.0s: exit code 1`, `skipped: its `if` is false`.
fn outcome(job: &JobView) -> String {
    let took = took(job.started_at, job.ended_at);
    let time = if took.is_empty() { took } else { format!(" {took}") };
    let why = if job.why.is_empty() { String::new() } else { format!(": {}", job.why) };
    format!("{}{time}{why}", job.status.word())
}

fn name(state: &RunState, key: &JobKey) -> String {
    state.known_leg(key).map_or_else(|| key.to_string(), |leg| leg.name.clone())
}

fn environment(state: &RunState, gate: GateId) -> String {
    state.gates.get(&gate).map_or_else(|| gate.to_string(), |gate| gate.environment.clone())
}
