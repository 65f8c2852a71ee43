//! The last lines of a run on standard output, and its exit code.

use tagline_run::view::{JobView, Status, jobs};
use tagline_run::{ApprovedBy, Conclusion, Ending, Finished, Gate, GateStatus, RunState, view};
use tagline_store::Store;

use super::{failed, path};
use crate::context::Context;
use crate::exit::Exit;
use crate::output::{Facts, Mark, Style};
use crate::words::{self, plain, short_digest};

/// Columns of the headline before the time.
const HEADLINE: usize = 84;

/// Who goes on with a run that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    /// This command alone, which is about to end.
    Own,
    /// An engine that serves the store.
    Serving,
}

/// The exit code of a run that has ended.
pub(crate) fn exit(finished: &Finished) -> Exit {
    match (finished.ending, finished.conclusion) {
        (Ending::Rejected | Ending::Expired, _) => Exit::Rejected,
        (Ending::Cancelled, _) | (Ending::Jobs, Conclusion::Cancelled) => Exit::Cancelled,
        (Ending::Jobs, Conclusion::Failure) => Exit::Failed,
        (Ending::Jobs, Conclusion::Success | Conclusion::Skipped) => Exit::Done,
    }
}

/// The lines that say how a run ended; a failure's diagnosis stands last.
pub(crate) fn ended(
    state: &RunState,
    finished: &Finished,
    store: &Store,
    context: &Context,
    facts: &Facts,
) -> Vec<String> {
    let took = path::total(state, finished.at);
    let mut lines = Vec::new();
    match exit(finished) {
        Exit::Done => {
            lines.push(headline(
                facts,
                Mark::Success,
                &format!("Run {} succeeded: {}", state.run, came_to(state)),
                &took,
            ));
            lines.extend(summary(state, store, context, facts));
        }
        Exit::Rejected => {
            let (word, gate) = decided(state, finished);
            lines.push(headline(facts, Mark::Failure, &format!("Run {} was {word}: {gate}", state.run), &took));
            lines.push(failed::detail(facts, "effect", &effect(state)));
            lines.push(failed::detail(facts, "next", &next(state, context)));
        }
        Exit::Cancelled => {
            let by = state.cancel.as_ref().and_then(|cancel| cancel.by.as_ref());
            let by = by.map_or_else(String::new, |by| format!(" by {}", plain(&by.email)));
            let reason = state.cancel.as_ref().map(|cancel| plain(&cancel.reason)).filter(|reason| !reason.is_empty());
            let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
            lines.push(headline(
                facts,
                Mark::Cancelled,
                &format!("Run {} was cancelled{by}{reason}", state.run),
                &took,
            ));
            lines.push(failed::detail(facts, "effect", &effect(state)));
            lines.push(failed::detail(facts, "next", &next(state, context)));
        }
        _ => {
            let failures = failed::all(state, store, context);
            let why = if finished.why.is_empty() { release(state) } else { plain(&finished.why) };
            lines.push(headline(facts, Mark::Failure, &format!("Run {} failed: {why}", state.run), &took));
            lines.push(format!("  Logs    {}", context.command(format!("logs {} --failed", state.run))));
            lines.extend(failures.iter().flat_map(|failure| failure.lines(facts)));
        }
    }
    lines
}

/// The lines of a run that waits for people, with the very commands to use.
pub(crate) fn waiting(state: &RunState, engine: Engine, context: &Context) -> Vec<String> {
    let run = state.run;
    let resume = context.command(format!("resume {run}"));
    let mut lines = vec![match engine {
        Engine::Serving => format!("Run {run} is waiting and holds no machine. Once approved it goes on by itself"),
        Engine::Own => format!("Run {run} is waiting and holds no machine. Once approved it goes on with: {resume}"),
    }];
    lines.push(format!("  Review   {}", context.command(format!("show {run} --plan"))));
    for gate in state.gates.values().filter(|gate| gate.status == GateStatus::Open) {
        let Some(opened) = &gate.opened else { continue };
        let vote = format!("{run} --environment {} --plan {}", gate.environment, short_digest(&opened.digest));
        lines.push(format!("  Approve  {}", context.command(format!("approve {vote}"))));
        lines.push(format!("  Reject   {}", context.command(format!("reject {vote} --comment \"reason\""))));
    }
    lines
}

fn headline(facts: &Facts, mark: Mark, text: &str, time: &str) -> String {
    let mark = if facts.symbols { format!("{} ", facts.mark(mark)) } else { String::new() };
    let text = console::pad_str(text, HEADLINE.min(facts.width.saturating_sub(12)), console::Alignment::Left, None);
    format!("{mark}{}  {time}", facts.paint(Style::Strong, text))
}

/// `village-storefront 1.2.3`.
fn release(state: &RunState) -> String {
    let trigger = &state.plan.trigger;
    let what = trigger.version.clone().unwrap_or_else(|| words::reference(&trigger.reference));
    format!("{} {}", plain(&state.plan.repository), plain(&what))
}

fn came_to(state: &RunState) -> String {
    let last = state.deployments.iter().max_by_key(|(_, deployment)| deployment.order);
    match last {
        Some((environment, _)) => format!("{} is live in {}", release(state), plain(environment)),
        None => release(state),
    }
}

fn summary(state: &RunState, store: &Store, context: &Context, facts: &Facts) -> Vec<String> {
    let mut lines = Vec::new();
    let mut add = |label: &str, text: String| {
        if !text.is_empty() {
            lines.push(format!("  {} {text}", facts.paint(Style::Strong, format!("{label:<8}"))));
        }
    };
    add("Time", path::line(state));
    let with_url = state.deployments.iter().filter(|(_, deployment)| !deployment.url.is_empty());
    let live: Vec<String> = with_url.map(|(name, d)| format!("{} {}", plain(name), plain(&d.url))).collect();
    add("Live", live.join("   "));
    let images = state.artifacts.iter().filter(|(_, artifact)| artifact.kind == "image");
    let images: Vec<String> = images.map(|(n, a)| format!("{}@sha256:{}", plain(n), short_digest(&a.digest))).collect();
    add("Image", images.join("   "));
    add("Plan", approved_plans(state));
    let folder = home_short(&store.folder().run(state.run.0).display().to_string());
    add("Logs", format!("{folder}/ · {}", context.command(format!("logs {}", state.run))));
    if !state.artifacts.is_empty() {
        add("Check", context.command(format!("artifacts verify {}", state.run)));
    }
    let tolerated = jobs(state).into_iter().filter(|job| job.tolerated && job.status == Status::Failure);
    let tolerated: Vec<String> = tolerated.map(|job: JobView| plain(&job.name)).collect();
    add("Failed", if tolerated.is_empty() { String::new() } else { format!("{}, which may", tolerated.join(", ")) });
    lines
}

/// The plans people said yes to.
fn approved_plans(state: &RunState) -> String {
    let voted = |gate: &&Gate| matches!(gate.status, GateStatus::Approved { by: ApprovedBy::Votes, .. });
    let plan = |gate: &Gate| {
        let opened = gate.opened.as_ref()?;
        let by: Vec<String> = opened.approvers().map(|person| plain(&person.email)).collect();
        Some(format!("{} approved for {} by {}", short_digest(&opened.digest), plain(&gate.environment), by.join(", ")))
    };
    let plans: Vec<String> = state.gates.values().filter(voted).filter_map(plan).collect();
    plans.join("   ")
}

fn decided(state: &RunState, finished: &Finished) -> (&'static str, String) {
    let word = if finished.ending == Ending::Expired { "not approved in time" } else { "rejected" };
    let ended = |gate: &Gate| matches!(gate.status, GateStatus::Rejected { .. } | GateStatus::Expired { .. });
    let gate = state.gates.iter().rev().find(|(_, gate)| ended(gate));
    let text = gate.map(|(id, gate)| format!("{} {}", gate.environment, view::outcome(state, *id)));
    (word, plain(&text.unwrap_or_else(|| finished.why.clone())))
}

fn effect(state: &RunState) -> String {
    let live: Vec<&str> = state.deployments.keys().map(String::as_str).collect();
    let mut jobs = jobs(state);
    jobs.retain(|job| job.status != Status::Success && job.started_at.is_some());
    let back: Vec<String> = jobs.iter().filter_map(failed::went_back).collect();
    jobs.retain(|job| failed::went_back(job).is_none());
    let started: Vec<String> = jobs.into_iter().filter_map(|job| job.environment).collect();
    let mut effects = Vec::new();
    if live.is_empty() {
        effects.push("nothing was deployed".to_owned());
    } else {
        effects.push(format!("{} is live in {}", release(state), live.join(", ")));
    }
    effects.extend(back);
    if !started.is_empty() {
        effects.push(format!("{} may have been changed in part", started.join(", ")));
    }
    effects.join("; ")
}

fn next(state: &RunState, context: &Context) -> String {
    context.command(format!("rerun {} --failed", state.run))
}

fn home_short(path: &str) -> String {
    let home = std::env::var("HOME").unwrap_or_default();
    match path.strip_prefix(&home).filter(|rest| home.len() > 1 && rest.starts_with('/')) {
        Some(rest) => format!("~{rest}"),
        None => path.to_owned(),
    }
}
