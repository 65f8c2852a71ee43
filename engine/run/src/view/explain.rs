//! Why a job ran, waits, or did not: its condition in pieces, and what can be done about it.

use serde::Serialize;
use tagline_plan::{Clause, NeedResult, job_condition};

use super::run::{Status, comes_after, job, jobs};
use crate::event::Cause;
use crate::ids::JobKey;
use crate::state::{JobState, RunState};

/// Why a job is where it is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// The leg asked about.
    pub job: JobKey,
    /// Where it stands.
    pub status: Status,
    /// One sentence: `notify was skipped: its `if` is false`.
    pub sentence: String,
    /// The workflow file.
    pub file: String,
    /// Line of its `if`, else of the job.
    pub line: u32,
    /// Column of it.
    pub column: u32,
    /// The parts of the condition, each true or false with the values behind it. Empty while its needs have not ended.
    pub clauses: Vec<Clause>,
    /// What to do, a sentence or command; none where nothing is to be done.
    pub next: Option<String>,
}

/// Explains every leg of a job, or the only one; nothing when the run has no such job.
pub fn explain_all(state: &RunState, job: &str) -> Vec<Explanation> {
    let keys = jobs(state).into_iter().map(|view| view.id).filter(|key| key.job == job);
    keys.filter_map(|key| explain(state, &key)).collect()
}

/// Explains a job; none when the run has no such job.
pub fn explain(state: &RunState, key: &JobKey) -> Option<Explanation> {
    let planned = state.plan.jobs.get(&key.job)?;
    let job_state = state.jobs.get(&key.job)?;
    let view = job(state, key)?;
    let had_its_turn = job_state.ready.is_some() || job_state.ended.is_some();
    let mut facts = state.facts();
    // What was true when the job was started stays true of it, however the run was ended later.
    facts.cancelled &= job_state.ready.is_none();
    let verdict = job_condition(&state.plan, planned, &facts).ok().filter(|_| had_its_turn);
    let clauses = verdict.map(|verdict| verdict.clauses).unwrap_or_default();
    // What was false stands in the clauses.
    let why = if clauses.iter().all(|clause| clause.holds) { view.why.as_str() } else { "" };
    let at = planned.job.condition.as_ref().map_or(planned.job.at, |text| text.at);
    Some(Explanation {
        job: key.clone(),
        status: view.status,
        sentence: sentence(state, key, job_state, view.status, why),
        file: state.plan.workflow.path.clone(),
        line: at.line,
        column: at.column,
        next: next(state, key, view.status, &clauses),
        clauses,
    })
}

fn sentence(state: &RunState, key: &JobKey, job: &JobState, status: Status, why: &str) -> String {
    let because = |text: &str| if why.is_empty() { text.to_owned() } else { format!("{text}: {why}") };
    let what = match status {
        Status::Success => "ran: its `if` is true, and it succeeded".to_owned(),
        Status::Failure => because("failed"),
        Status::Lost => because("was lost"),
        Status::TimedOut => because("timed out"),
        Status::Cancelled => because("was cancelled"),
        Status::Skipped => because("was skipped: its `if` is false"),
        Status::InProgress => "is in progress: its `if` is true".to_owned(),
        Status::Waiting if why.is_empty() => "waits".to_owned(),
        Status::Waiting => why.to_owned(),
        Status::Queued if job.ready.is_none() => {
            format!("has not had its turn: {}", comes_after(state, &key.job))
        }
        Status::Queued => because("is queued"),
    };
    format!("{key} {what}")
}

fn next(state: &RunState, key: &JobKey, status: Status, clauses: &[Clause]) -> Option<String> {
    if status == Status::Skipped
        && let Some(name) = variable(clauses)
    {
        return Some(format!("set {name} in .tagline/environments.yml; it counts from the next run on"));
    }
    let run = state.run;
    let gate = state.gate_of(key).filter(|(_, gate)| gate.status.is_pending()).map(|(_, gate)| gate);
    match (status, gate) {
        (Status::Waiting, Some(gate)) => {
            let opened = gate.opened.as_ref()?;
            let plan = tagline_plan::digest::short(&opened.digest);
            let environment = &gate.environment;
            Some(format!("tagline approve {run} --environment {environment} --plan {plan}"))
        }
        (Status::Failure | Status::Lost | Status::TimedOut | Status::Cancelled | Status::Skipped, _) => {
            let causes = state.jobs.get(&key.job).into_iter().flat_map(JobState::ends);
            let refused = causes.into_iter().any(|ended| ended.cause == Cause::Refused);
            // Where a job before it failed, to run only this one would skip it again.
            let needs = state.plan.jobs.get(&key.job).into_iter().flat_map(|planned| &planned.ancestors);
            let mut before = needs.filter_map(|id| state.jobs.get(id)?.result());
            let rerun = match status {
                Status::Skipped if before.any(|result| result == NeedResult::Failure) => {
                    format!("tagline rerun {run} --failed")
                }
                _ => format!("tagline rerun {run} --from {}", key.job),
            };
            state.finished.as_ref().map(|_| if refused { format!("satisfy the rule, then: {rerun}") } else { rerun })
        }
        _ => None,
    }
}

/// The variable that made a condition false: the first one in its first false part. A run keeps the variables it began
/// with, so to run the job again would skip it again.
fn variable(clauses: &[Clause]) -> Option<String> {
    let broken = clauses.iter().find(|clause| !clause.holds)?;
    let parsed = tagline_syntax::expression::parse(&broken.text).ok()?;
    let references = parsed.references();
    let variable = references.iter().find(|reference| reference.context == "vars")?;
    variable.keys().next().map(str::to_owned)
}
