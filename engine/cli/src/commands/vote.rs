//! `tagline approve` and `tagline reject`: one vote on the plan that waits, by command line or prompt.

use jiff::Timestamp;
use serde_json::json;
use tagline_plan::Person;
use tagline_plan::digest::names;
use tagline_run::{Decision, GateId, GateStatus, RunState, Signature};
use tagline_server::{beside, vote as votes};

use crate::args::{ApproveArgs, RejectArgs, VoteArgs};
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::gate::{self, Answered, Asking, Ballot};
use crate::live::{self, Controls, Followed};
use crate::words::{plain, short_digest};

/// Digits of a digest that name a plan.
const DIGITS: usize = 12;

/// What both commands come to.
struct Args {
    decision: Decision,
    comment: Option<String>,
    vote: VoteArgs,
}

/// Approves.
pub(crate) fn approve(context: &Context, args: ApproveArgs) -> Outcome {
    vote(context, &Args { decision: Decision::Approve, comment: args.comment, vote: args.vote })
}

/// Rejects.
pub(crate) fn reject(context: &Context, args: RejectArgs) -> Outcome {
    vote(context, &Args { decision: Decision::Reject, comment: args.comment, vote: args.vote })
}

fn vote(context: &Context, args: &Args) -> Outcome {
    let (followed, _) = Followed::open(context, args.vote.run)?;
    let gate = find(context, &followed.state, args)?;
    match &args.vote.plan {
        None if gate::can_ask(context) && !args.vote.json => live::block_on(ask(context, followed, gate, args)),
        None => Err(no_plan(context, &followed.state, gate, args)),
        Some(plan) => {
            check(context, &followed.state, gate, plan, args.decision)?;
            live::block_on(record(context, followed, gate, args))
        }
    }
}

/// The gate that is meant: the open one, or a sentence why there is none. Where an environment has several, the plan says
/// which.
fn find(context: &Context, state: &RunState, args: &Args) -> Result<GateId, Failure> {
    let in_wanted = |id: &GateId| {
        let (environment, digest) = named(state, *id);
        let plan = args.vote.plan.as_deref().is_some_and(|plan| names(plan.trim(), &digest));
        plan && args.vote.environment.as_deref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(&environment))
    };
    if let Some(named) = gate::open_gates(state).find(in_wanted) {
        return Ok(named);
    }
    let error = match votes::open_gate(state, args.vote.environment.as_deref()) {
        Ok(gate) => return Ok(gate),
        Err(error) => error,
    };
    let wanted = |name: &str| args.vote.environment.as_deref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(name));
    let last = state.gates.iter().rev().find(|(_, gate)| wanted(&gate.environment) && gate.opened.is_some());
    let several = state.gates.values().any(|gate| gate.status == GateStatus::Open);
    match last {
        Some((id, _)) if !several => Err(Failure::failed("already-decided", gate::decided(state, *id))
            .effect("nothing was recorded")
            .next(context.command(format!("show {}", state.run)))),
        _ => Err(Failure { exit: Exit::Failed, ..error.into() }),
    }
}

fn no_plan(context: &Context, state: &RunState, gate: GateId, args: &Args) -> Failure {
    let (environment, digest) = named(state, gate);
    let word = word(args.decision);
    let command = format!("{word} {} --environment {environment} --plan {}", state.run, short_digest(&digest));
    let did = did(args.decision);
    Failure::unusable("no-plan", format!("which plan is {did} must be said, with --plan"))
        .why(format!("the plan that waits for {environment} is {digest}"))
        .effect(format!("nothing was {did}"))
        .next(format!("read it: {}", context.command(format!("show {} --plan", state.run))))
        .next(context.command(command))
}

/// Refuses a digest that is not the waiting plan's.
fn check(context: &Context, state: &RunState, gate: GateId, plan: &str, decision: Decision) -> Result<(), Failure> {
    let given = plan.trim().to_ascii_lowercase();
    let given = given.strip_prefix("sha256:").unwrap_or(&given);
    let did = did(decision);
    if given.len() < DIGITS || !given.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(Failure::unusable("bad-plan", format!("`{}` is no plan's digest", plain(plan)))
            .why(format!("it takes {DIGITS} or more hexadecimal digits"))
            .effect(format!("nothing was {did}"))
            .next(context.command(format!("show {} --plan", state.run))));
    }
    let (_, digest) = named(state, gate);
    if names(given, &digest) {
        return Ok(());
    }
    let given = short_digest(given);
    let known = |other: &tagline_run::Gate| other.opened.as_ref().is_some_and(|opened| names(given, &opened.digest));
    let review = context.command(format!("show {} --plan", state.run));
    Err(if state.gates.values().any(known) {
        Failure::failed("stale-plan", format!("the plan changed after you read it; nothing was {did}"))
            .why(format!("{given} → {}", short_digest(&digest)))
            .effect("votes on the earlier plan no longer count")
            .next(format!("{review} --since {given}"))
    } else {
        Failure::failed("stale-plan", format!("the plan that waits is another one; nothing was {did}"))
            .why(format!("{given} was given, {} waits", short_digest(&digest)))
            .effect("nothing was recorded")
            .next(review)
    })
}

/// The environment and digest of an open gate.
fn named(state: &RunState, gate: GateId) -> (String, String) {
    let Some(found) = state.gates.get(&gate) else { return (String::new(), String::new()) };
    let digest = found.opened.as_ref().map(|opened| opened.digest.clone());
    (found.environment.clone(), digest.unwrap_or_default())
}

async fn record(context: &Context, mut followed: Followed, gate: GateId, args: &Args) -> Outcome {
    let person = person(&followed)?;
    eligible(context, &followed, gate, &person, args.decision)?;
    let key = gate::signing_key(&followed.store, &followed.state, args.vote.key.as_deref());
    let comment = args.comment.clone().unwrap_or_default();
    let ballot = Ballot { decision: args.decision, comment, key, via: "cli" };
    let cast = gate::cast(context, &followed.state, gate, &person, ballot).await?;
    followed.catch_up()?;
    let review = gate::review(&followed.store, &followed.state, gate, Some(&person.email));
    let Some(review) = review else { return Ok(Exit::Done) };
    if args.vote.json {
        let statement = &cast.vote.statement;
        let signed = match &cast.vote.signature {
            Signature::Ssh { fingerprint, .. } => Some(fingerprint),
            Signature::Unsigned => None,
        };
        context.output.json(&json!({
            "run": statement.run,
            "environment": statement.environment,
            "gate": gate,
            "decision": statement.decision,
            "by": statement.voter,
            "at": format!("{:.3}", Timestamp::from_second(statement.time.as_second()).unwrap_or(statement.time)),
            "plan": statement.gate_digest,
            "signed": signed,
            "status": review.view.status,
            "missing": review.view.missing,
            "engine_serves": cast.engine_serves,
        }));
        return Ok(Exit::Done);
    }
    let facts = context.output.out;
    for line in gate::recorded(&cast, &review.view, followed.state.finished.is_some(), context, &facts) {
        context.output.line(line);
    }
    Ok(Exit::Done)
}

/// Refuses who may not vote, naming those who can. The run refuses them all the same.
fn eligible(
    context: &Context,
    followed: &Followed,
    gate: GateId,
    person: &Person,
    decision: Decision,
) -> Result<(), Failure> {
    let review = gate::review(&followed.store, &followed.state, gate, Some(&person.email));
    let Some((review, you)) = review.and_then(|review| review.view.you.clone().map(|you| (review, you))) else {
        return Ok(());
    };
    if you.may_vote {
        return Ok(());
    }
    let voted = review.view.votes.iter().any(|vote| vote.by.email.eq_ignore_ascii_case(&person.email));
    let code = if voted { "already-voted" } else { "not-eligible" };
    Err(Failure::failed(code, format!("{} cannot vote: {}", person.email, you.reason))
        .why(gate::can(&review.view.reviewers))
        .effect(format!("nothing was {}", did(decision)))
        .next(context.command(format!("show {} --plan", followed.state.run))))
}

fn person(followed: &Followed) -> Result<Person, Failure> {
    gate::person_of(&followed.store, &followed.state).ok_or_else(|| {
        Failure::unusable("no-identity", "who votes is not known: Git has no user.email for the run's repository")
            .effect("nothing was recorded")
            .next("git config user.email you@example.com")
    })
}

async fn ask(context: &Context, mut followed: Followed, gate: GateId, args: &Args) -> Outcome {
    let mut controls = Controls::listen().map_err(|error| {
        Failure::new(Exit::OutOfReach, "no-signals", "this machine gives tagline no signals")
            .why(error)
            .next("tagline doctor")
    })?;
    loop {
        let driven = beside::engine_serves(&context.store).await?;
        followed.catch_up()?;
        let asking = Asking { gate: Some(gate), driven, stay: false, key: args.vote.key.clone() };
        return Ok(match gate::prompt(context, &mut followed, &mut controls, &asking).await? {
            Answered::Voted(Decision::Approve) => Exit::Done,
            Answered::Voted(Decision::Reject) => Exit::Rejected,
            Answered::Quit => {
                let engine = if driven { live::ending::Engine::Serving } else { live::ending::Engine::Own };
                for line in live::ending::waiting(&followed.state, engine, context) {
                    context.output.line(line);
                }
                Exit::Waiting
            }
            Answered::GoesOn => Exit::Failed,
            Answered::EngineGone => continue,
        });
    }
}

fn word(decision: Decision) -> &'static str {
    match decision {
        Decision::Approve => "approve",
        Decision::Reject => "reject",
    }
}

fn did(decision: Decision) -> &'static str {
    match decision {
        Decision::Approve => "approved",
        Decision::Reject => "rejected",
    }
}
