//! A job that failed, for people: what, why, effect, next, and the last lines of its log.

use tagline_run::view::{JobView, Status, StepView, jobs};
use tagline_run::{Cause, RunState};
use tagline_store::Store;

use super::spool;
use crate::context::Context;
use crate::output::{Facts, Mark, Style};
use crate::words::{self, log_line, plain};

/// So many log lines are shown with a failure.
pub(crate) const LINES: usize = 20;

/// The diagnosis of one job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failed {
    mark: Mark,
    head: String,
    details: Vec<(&'static str, String)>,
    log: Vec<String>,
}

/// The jobs whose failure made the run fail, in the plan's order.
pub(crate) fn all(state: &RunState, store: &Store, context: &Context) -> Vec<Failed> {
    jobs(state).iter().filter_map(|job| of(state, job, store, context)).collect()
}

/// The diagnosis of a job; none of one that has not failed, whose failure is tolerated, or that people stopped.
pub(crate) fn of(state: &RunState, job: &JobView, store: &Store, context: &Context) -> Option<Failed> {
    let failed = matches!(job.status, Status::Failure | Status::TimedOut | Status::Lost);
    if !failed || job.tolerated || matches!(cause(state, job), Some(Cause::Rejected | Cause::Expired)) {
        return None;
    }
    let step = failed_step(job);
    let tail = job.started_at.and_then(|_| {
        let path = spool::path(store.folder(), state.run, &job.id, job.attempt);
        spool::tail(&path, step.map(|step| step.number - 1), LINES).ok()
    });
    let tail = tail.unwrap_or_default();
    let mut details = Vec::new();
    let headline = step.map_or(job.why.as_str(), |step| step.why.as_str());
    let heading = step.map_or("", |step| step.name.as_str());
    // A job that ran out of time says nothing of why in its log.
    if let Some(said) = said(&tail, headline, heading).filter(|_| job.status != Status::TimedOut) {
        details.push(("why", said));
    }
    details.push(("effect", effect(state, job, store)));
    details.push(("next", next(state, job, context)));
    Some(Failed { mark: super::tree::mark(job.status), head: head(state, job), details, log: tail.lines })
}

impl Failed {
    /// The diagnosis without the log.
    pub(crate) fn lines(&self, facts: &Facts) -> Vec<String> {
        let mark = if facts.symbols { format!("{} ", facts.mark(self.mark)) } else { String::new() };
        let mut lines = vec![format!("{mark}{}", facts.paint(Style::Strong, &self.head))];
        lines.extend(self.details.iter().map(|(label, text)| detail(facts, label, text)));
        lines
    }

    /// The diagnosis with the log.
    pub(crate) fn with_log(&self, facts: &Facts) -> Vec<String> {
        let mut lines = self.lines(facts);
        lines.extend(self.log.iter().map(|line| format!("    | {}", log_line(line, facts.colour))));
        lines
    }
}

/// `  next    text`, as below every diagnosis.
pub(crate) fn detail(facts: &Facts, label: &str, text: &str) -> String {
    format!("  {} {}", facts.paint(Style::Strong, format!("{label:<7}")), plain(text))
}

/// What the step itself said of its failure: its last error annotation, else its last line. The agent's own annotation
/// only says what the headline says, and the step's heading is not of its own saying.
fn said(tail: &spool::Tail, headline: &str, heading: &str) -> Option<String> {
    let new = |error: &&String| headline.is_empty() || !(headline.contains(error.as_str()) || error.contains(headline));
    let own = tail.errors.iter().rev().find(new);
    let last = || tail.lines.iter().rev().find(|line| !line.trim().is_empty()).filter(|line| *line != heading);
    let text = plain(own.or_else(last)?);
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn failed_step(job: &JobView) -> Option<&StepView> {
    job.steps.iter().find(|step| step.status == Status::Failure)
}

fn head(state: &RunState, job: &JobView) -> String {
    let name = plain(&job.name);
    let reason = |why: &str| if why.is_empty() { String::new() } else { format!(": {}", plain(why)) };
    let took = super::tree::took(job.started_at, job.ended_at);
    let total = state.plan.jobs.get(&job.id.job).map_or(0, |planned| planned.job.steps.len());
    let step = failed_step(job);
    match (job.status, step) {
        (Status::Lost, _) => format!("{name} was lost{}", reason(&job.why)),
        (Status::TimedOut, _) => format!("{name} timed out after {took}{}", reason(&job.why)),
        (_, Some(step)) if step.number as usize <= total => {
            let took = super::tree::took(Some(step.started_at), step.ended_at);
            let (number, step_name) = (step.number, plain(&step.name));
            format!("{name} failed in step {number} of {total} ({step_name}) after {took}{}", reason(&step.why))
        }
        _ if took.is_empty() => format!("{name} failed before it started{}", reason(&job.why)),
        _ => format!("{name} failed after {took}{}", reason(&job.why)),
    }
}

/// How the environment of a job stands whose delivery went back to what was there: nothing of it is left in part.
pub(super) fn went_back(job: &JobView) -> Option<String> {
    let last = job.milestones.iter().rev().find(|milestone| milestone.attempt == job.attempt)?;
    let environment = plain(job.environment.as_deref()?);
    (last.name == "rolled-back").then(|| format!("{environment} is as it was: {}", plain(&last.text)))
}

fn effect(state: &RunState, job: &JobView, store: &Store) -> String {
    let started = job.started_at.is_some();
    if let Some(back) = went_back(job) {
        return back;
    }
    if let Some(environment) = job.environment.as_deref().filter(|_| started) {
        let live = crate::gate::live(store, state.run, environment);
        let recorded = live.map_or_else(
            || "no version is recorded as live there".to_owned(),
            |live| format!("{} is recorded as live there (run {})", version(live.version, &live.commit), live.run),
        );
        // The step says so itself; steps before it may have changed something.
        if failed_step(job).is_some_and(|step| step.why.contains(tagline_delivery::UNCHANGED)) {
            return format!("that step changed nothing in {environment}; {recorded}");
        }
        return format!("{environment} may have been changed in part; {recorded}");
    }
    let live: Vec<&str> = state.deployments.keys().map(String::as_str).collect();
    if live.is_empty() {
        return "nothing was deployed".to_owned();
    }
    let trigger = &state.plan.trigger;
    format!(
        "{} is live in {}; nothing else was deployed",
        version(trigger.version.clone(), &trigger.commit),
        live.join(", ")
    )
}

fn version(version: Option<String>, commit: &str) -> String {
    version.unwrap_or_else(|| words::short_commit(commit).to_owned())
}

fn next(state: &RunState, job: &JobView, context: &Context) -> String {
    let rerun = context.command(format!("rerun {} --from {}", state.run, job.id.job));
    match cause(state, job) {
        Some(Cause::Refused) => format!("satisfy the rule, then: {rerun}"),
        Some(Cause::Invalid) => "mend the workflow, then release a new tag".to_owned(),
        _ if state.plan.trigger.tag.is_some() => {
            format!("mend what the log names and release a new tag, or try again: {rerun}")
        }
        _ => format!("mend what the log names, or try again: {rerun}"),
    }
}

fn cause(state: &RunState, job: &JobView) -> Option<Cause> {
    let leg = state.leg(&job.id).and_then(|leg| leg.ended.as_ref());
    let ended = leg.or_else(|| state.jobs.get(&job.id.job)?.ended.as_ref());
    ended.map(|ended| ended.cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heading_of_a_step_is_no_reason() {
        let tail = |lines: &[&str]| spool::Tail {
            lines: lines.iter().map(|line| (*line).to_owned()).collect(),
            ..spool::Tail::default()
        };
        assert_eq!(said(&tail(&["Run sleep 30"]), "it ran longer", "Run sleep 30"), None);
        assert_eq!(said(&tail(&["Run make", "no rule", ""]), "exit code 2", "Run make").as_deref(), Some("no rule"));
    }
}
