//! Casting a vote: statement, signature, telling the run, and saying what came of it.

use std::path::{Path, PathBuf};

use tagline_evidence::ssh::SigningKey;
use tagline_plan::Person;
use tagline_run::view::{self, ApprovalView};
use tagline_run::{Decision, GateId, Input, RunState, Signature, Vote};
use tagline_server::{beside, clock, vote};
use tagline_store::Store;

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Facts, Mark};
use crate::words::{plain, short_digest};

/// What a person says.
#[derive(Debug, Clone)]
pub(crate) struct Ballot {
    /// Yes or no.
    pub(crate) decision: Decision,
    /// What they wrote, may be empty.
    pub(crate) comment: String,
    /// What signs it; none leaves it unsigned.
    pub(crate) key: Option<SigningKey>,
    /// How it came: `cli`, `prompt`.
    pub(crate) via: &'static str,
}

/// A vote that is recorded.
#[derive(Debug, Clone)]
pub(crate) struct Cast {
    /// The vote.
    pub(crate) vote: Vote,
    /// An engine serves the store and goes on by itself.
    pub(crate) engine_serves: bool,
}

/// What signs a person's votes: the key that is named, else Git's signing key where that is an SSH key.
pub(crate) fn signing_key(store: &Store, state: &RunState, named: Option<&Path>) -> Option<SigningKey> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    if let Some(named) = named {
        return Some(SigningKey::parse(&named.to_string_lossy(), home.as_deref()));
    }
    let repository = super::repository_of(store, state)?;
    let ssh = repository.config("gpg.format").is_some_and(|format| format.eq_ignore_ascii_case("ssh"));
    let key = repository.config("user.signingkey").filter(|key| ssh && !key.trim().is_empty())?;
    Some(SigningKey::parse(&key, home.as_deref()))
}

/// Signs and records a vote on a gate as its plan stands in `state`.
pub(crate) async fn cast(
    context: &Context,
    state: &RunState,
    gate: GateId,
    person: &Person,
    ballot: Ballot,
) -> Result<Cast, Failure> {
    let Ballot { decision, comment, key, via } = ballot;
    let statement = state.statement(gate, decision, &person.email, &comment, clock::now()).ok_or_else(|| {
        Failure::failed("no-gate", "nothing waits for an approval there").next(context.command("runs"))
    })?;
    let vote = vote::sign(statement, person.clone(), key.as_ref(), via)?;
    vote::verify(&vote)?;
    let told = beside::tell(&context.store, state.run, Input::Vote(Box::new(vote.clone()))).await?;
    Ok(Cast { vote, engine_serves: told.engine_serves })
}

/// What is said once a vote is recorded; `view` is the gate's after it, `over` says that the run has ended with it.
pub(crate) fn recorded(cast: &Cast, view: &ApprovalView, over: bool, context: &Context, facts: &Facts) -> Vec<String> {
    let statement = &cast.vote.statement;
    let who = plain(&statement.voter);
    let teams = view.votes.iter().find(|vote| vote.by.email == statement.voter).map(|vote| vote.teams.join(", "));
    let teams =
        teams.filter(|teams| !teams.is_empty()).map_or_else(String::new, |teams| format!(" ({})", plain(&teams)));
    let plan = short_digest(&statement.gate_digest);
    let at = context.time(statement.time);
    let signed = match &cast.vote.signature {
        Signature::Ssh { fingerprint, .. } => format!("signed {}", plain(fingerprint)),
        Signature::Unsigned => {
            "unsigned (sign with --key, or with gpg.format=ssh and user.signingkey in Git)".to_owned()
        }
    };
    let yes = view.votes.iter().filter(|vote| vote.decision == Decision::Approve).count();
    let (mark, text) = match statement.decision {
        Decision::Approve => {
            let waits = match view.missing.people {
                0 => String::new(),
                n => format!(". Waiting for {n} more"),
            };
            let count = format!("{yes} of {}", view.required);
            (Mark::Success, format!("{count}: {who}{teams} approved plan {plan} at {at}, {signed}{waits}"))
        }
        Decision::Reject => (Mark::Failure, format!("{who}{teams} rejected plan {plan} at {at}, {signed}")),
    };
    let mark = if facts.symbols { format!("{} ", facts.mark(mark)) } else { String::new() };
    let mut lines = vec![format!("{mark}{text}")];
    lines.extend(still_needed(view));
    let run = view.run;
    if statement.decision == Decision::Reject || view.missing.is_none() {
        lines.push(match cast.engine_serves {
            _ if over => format!("Run {run} has ended: {}", context.command(format!("show {run}"))),
            true => format!("Run {run} goes on by itself: {}", context.command(format!("show {run}"))),
            false => format!("No engine serves the store. Go on with: {}", context.command(format!("resume {run}"))),
        });
    }
    lines
}

/// Who can still say yes, where somebody must.
fn still_needed(view: &ApprovalView) -> Option<String> {
    if view.status != "waiting" {
        return None;
    }
    let from: Vec<String> =
        view.missing.from.iter().map(|(team, n)| format!("{n} must be from {}", plain(team))).collect();
    let from = if from.is_empty() { String::new() } else { format!("{}. ", from.join(", ")) };
    Some(format!("  Needed   {from}{}", plain(&super::review::can(&view.reviewers))))
}

/// How a gate that no longer waits came out: for whoever comes too late.
pub(crate) fn decided(state: &RunState, gate: GateId) -> String {
    state.gates.get(&gate).map_or_else(String::new, |found| {
        format!("already decided: {} {}", plain(&found.environment), plain(&view::outcome(state, gate)))
    })
}
