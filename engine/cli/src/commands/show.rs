//! `tagline show`: a run with its jobs and approvals; with `--plan` what waits to be approved, with `--summary` what
//! its steps have summed up.

use tagline_run::view::{self, JobView, RunView, Status};
use tagline_run::{GateId, Place, RunState};
use tagline_server::beside;
use tagline_store::Store;

use crate::args::ShowArgs;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::gate;
use crate::output::{Mark, Style};
use crate::words::{self, between, plain, short_commit, short_digest};

/// Runs it.
pub(crate) fn run(context: &Context, args: &ShowArgs) -> Outcome {
    let (store, state) = context.run_state(args.run)?;
    if args.plan {
        return plan(context, args, &store, &state);
    }
    if args.summary {
        return super::summary::run(context, &state, args.json);
    }
    let run = view::run(&state);
    if args.json {
        context.output.json(&run);
    } else {
        print(context, &run, &state);
    }
    Ok(Exit::Done)
}

fn print(context: &Context, run: &RunView, state: &RunState) {
    let out = &context.output;
    let facts = &out.out;
    out.line(format!(
        "Run {}  {} {}  {} \"{}\"  {}",
        run.id,
        plain(&run.repository),
        words::reference(&run.reference),
        short_commit(&run.commit),
        plain(&run.subject),
        plain(run.workflow_path.rsplit('/').next().unwrap_or_default()),
    ));
    let stands = run.status == Status::Queued && !is_driven(context);
    let why = match run.why.as_str() {
        "" if stands => format!(": {}", no_engine(state)),
        "" => String::new(),
        why => format!(": {}", plain(why)),
    };
    out.line(format!("{}{why}", facts.state(run.status.into(), run.status.word())));
    let took = run.finished_at.map(|end| format!(", took {}", between(run.created_at, end))).unwrap_or_default();
    let (by, since) = (plain(&run.requested_by.email), context.time(run.created_at));
    out.line(format!(
        "asked by {by} {since}{took} · attempt {} · {} · release digest {}",
        run.attempt,
        run.runner,
        short_digest(&run.release_digest)
    ));
    let width = run.jobs.iter().map(|job| job.name.chars().count()).max().unwrap_or_default();
    for job in &run.jobs {
        print_job(context, job, width);
    }
    for approval in &run.approvals {
        let void = if approval.counts { "" } else { ", void" };
        out.line(format!(
            "{} {} approved {} {}, plan {}{void}",
            facts.mark(Mark::Success),
            plain(&approval.by),
            plain(&approval.environment),
            context.time(approval.at),
            short_digest(&approval.plan)
        ));
    }
    let mut next = next(run, state);
    if stands {
        next.push(format!("tagline resume {}", run.id));
    }
    for line in next.iter().map(|line| context.at_store(line)) {
        out.line(format!("  {} {line}", facts.paint(Style::Strong, "next   ")));
    }
}

fn print_job(context: &Context, job: &JobView, width: usize) {
    let out = &context.output;
    let took = match (job.started_at, job.ended_at) {
        (Some(from), Some(to)) => between(from, to),
        _ => String::new(),
    };
    let name = plain(&job.name);
    let pad = " ".repeat(width.saturating_sub(name.chars().count()));
    let line = format!("{} {name}{pad} {took:>8}  {}", out.out.mark(job.status.into()), plain(&job.why));
    out.line(line.trim_end());
    let shown = |status: Status| context.verbose || matches!(status, Status::Failure | Status::InProgress);
    for step in job.steps.iter().filter(|step| shown(step.status)) {
        let took = step.ended_at.map(|end| between(step.started_at, end)).unwrap_or_default();
        let line = format!("  {} {} {took}  {}", out.out.mark(step.status.into()), plain(&step.name), plain(&step.why));
        out.line(line.trim_end());
    }
    for milestone in &job.milestones {
        let (at, name) = (context.moment(milestone.at), plain(&milestone.name));
        out.line(format!("    {at}  {name:<12}  {}", plain(&milestone.text)).trim_end());
    }
}

/// What a run that could go on waits for.
fn no_engine(state: &RunState) -> String {
    // Whose turn it is in a line is for an engine to say.
    let free = |id: &&String| state.places(id).iter().any(|place| matches!(place, Place::Free | Place::Lock(..)));
    let free: Vec<String> = state.jobs.keys().filter(free).map(|id| plain(id)).collect();
    let could = if free.is_empty() { String::new() } else { format!(" to start {}", free.join(", ")) };
    format!("waits for an engine{could}, and none serves the store")
}

/// Whether an engine serves the store, so that what is queued goes on by itself.
fn is_driven(context: &Context) -> bool {
    crate::live::block_on(async { Ok(beside::engine_serves(&context.store).await.unwrap_or(true)) }).unwrap_or(true)
}

/// What can be done now.
fn next(run: &RunView, state: &RunState) -> Vec<String> {
    let gates = gate::open_gates(state).filter_map(|id| state.gates.get(&id));
    let approve = gates.filter_map(|gate| {
        let plan = short_digest(&gate.opened.as_ref()?.digest).to_owned();
        Some(format!("tagline approve {} --environment {} --plan {plan}", run.id, plain(&gate.environment)))
    });
    let mut next: Vec<String> = approve.collect();
    if matches!(run.status, Status::Failure | Status::Lost | Status::TimedOut) {
        // What was rejected, expired or refused has never started and has no log.
        let has_log =
            |job: &JobView| job.started_at.is_some() && !matches!(job.status, Status::Success | Status::Skipped);
        let command = if run.jobs.iter().any(has_log) { "logs" } else { "rerun" };
        next.push(format!("tagline {command} {} --failed", run.id));
    }
    next
}

/// The gates that wait, else the newest of each environment.
fn plan(context: &Context, args: &ShowArgs, store: &Store, state: &RunState) -> Outcome {
    let waiting: Vec<GateId> = gate::open_gates(state).collect();
    let chosen = if waiting.is_empty() { newest_gates(state) } else { waiting };
    let viewer = gate::person_of(store, state).map(|person| person.email);
    let reviews = chosen.iter().filter_map(|id| gate::review(store, state, *id, viewer.as_deref()));
    let reviews: Vec<_> = reviews.collect();
    if reviews.is_empty() {
        return Err(Failure::unusable("no-gate", format!("run {} has nothing to approve", args.run))
            .next(format!("tagline show {}", args.run)));
    }
    if let Some(since) = &args.since {
        return super::since::run(context, state, &chosen, since, args.json);
    }
    if args.json {
        context.output.json(&reviews);
        return Ok(Exit::Done);
    }
    for review in &reviews {
        context.output.lines(review.lines(context, &context.output.out));
    }
    Ok(Exit::Done)
}

fn newest_gates(state: &RunState) -> Vec<GateId> {
    let newest_of = |id: &GateId| {
        let environment = &state.gates[id].environment;
        state.gates.range(id..).skip(1).all(|(_, later)| later.environment != *environment)
    };
    state.gates.keys().filter(|id| newest_of(id)).copied().collect()
}
