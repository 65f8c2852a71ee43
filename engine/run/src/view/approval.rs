//! One gate, as its approver reads it.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use jiff::Timestamp;
use serde::Serialize;
use tagline_plan::{GateJob, Person, PlannedDelivery};

use super::count;
use crate::event::ApprovedBy;
use crate::ids::{Attempt, GateId, RunId};
use crate::rules::{self, Missing};
use crate::state::{Gate, GateStatus, Opened, RunState};
use crate::statement::{Decision, Signature};

/// Everything an approver is shown about a gate.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ApprovalView {
    /// The run.
    pub run: RunId,
    /// Its attempt.
    pub attempt: Attempt,
    /// The repository's name.
    pub repository: String,
    /// The release's version, when a tag started the run.
    pub version: Option<String>,
    /// The ref.
    pub reference: String,
    /// The commit.
    pub commit: String,
    /// First line of its message.
    pub subject: String,
    /// The environment.
    pub environment: String,
    /// Its address, where the rules give one.
    pub url: Option<String>,
    /// The gate.
    pub gate: GateId,
    /// `requested`, `waiting`, `approved`, `rejected`, `expired`, `refused`, `void`.
    pub status: &'static str,
    /// How it came out, one sentence; what is missing while it waits.
    pub outcome: String,
    /// What to look at first, riskiest first: one sentence each.
    pub first: Vec<String>,
    /// Who asked for the run.
    pub asked_by: Person,
    /// When.
    pub asked_at: Timestamp,
    /// When the gate opened.
    pub opened_at: Option<Timestamp>,
    /// When silence becomes a no.
    pub expires: Option<Timestamp>,
    /// What an approval binds: the gate digest. `approve --plan` wants it.
    pub plan: Option<String>,
    /// The release digest.
    pub release_digest: String,
    /// The workflow file.
    pub workflow: String,
    /// Its digest.
    pub workflow_digest: String,
    /// The rules' version.
    pub policy_version: String,
    /// Where they were read.
    pub policy_origin: String,
    /// What is live in the environment now, as far as the caller knows.
    pub live: Option<Live>,
    /// The environment that had to be passed before.
    pub after: Option<String>,
    /// The jobs behind the gate with what their steps do.
    pub jobs: Vec<GateJob>,
    /// What the jobs before them put out.
    pub outputs: BTreeMap<String, IndexMap<String, String>>,
    /// The artifacts.
    pub artifacts: Vec<ArtifactView>,
    /// What its delivery steps will do, as far as it is planned.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deliveries: Vec<PlannedDelivery>,
    /// How many must say yes; 0 where nobody is asked.
    pub required: u32,
    /// Of them, from which team how many.
    pub from: BTreeMap<String, u32>,
    /// Who is still missing.
    pub missing: Missing,
    /// The votes in their order.
    pub votes: Vec<VoteView>,
    /// Everybody the rules name, and whether they may vote now.
    pub reviewers: Vec<ReviewerView>,
    /// The viewer's own standing, when the viewer is known.
    pub you: Option<Eligibility>,
}

/// What is live in an environment; known from other runs, so the caller brings it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Live {
    /// The version.
    pub version: Option<String>,
    /// The commit.
    pub commit: String,
    /// The run that brought it.
    pub run: RunId,
    /// Since when.
    pub since: Timestamp,
}

/// An artifact under approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ArtifactView {
    /// Its name.
    pub name: String,
    /// Its digest.
    pub digest: String,
    /// Bytes; none when it was made again since.
    pub size: Option<u64>,
    /// `file`, `sbom`, `image`, or a word of a later version.
    pub kind: Option<String>,
    /// It need not have passed the environment before: nobody deploys it, or it was made behind this gate.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub exempt: bool,
}

/// A vote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VoteView {
    /// Who.
    pub by: Person,
    /// In which of the teams asked.
    pub teams: Vec<String>,
    /// Yes or no.
    pub decision: Decision,
    /// When it was recorded.
    pub at: Timestamp,
    /// What they wrote.
    pub comment: String,
    /// The key's fingerprint; none when unsigned.
    pub signed: Option<String>,
    /// How it came.
    pub via: String,
}

/// A reviewer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReviewerView {
    /// Their address.
    pub email: String,
    /// In which of the teams asked.
    pub teams: Vec<String>,
    /// They may vote now.
    pub may_vote: bool,
    /// Why or why not.
    pub reason: String,
}

/// Whether somebody may vote on a gate now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Eligibility {
    /// They may.
    pub may_vote: bool,
    /// One sentence, addressed to them.
    pub reason: String,
    /// In which of the teams asked they are.
    pub teams: Vec<String>,
}

/// The view of a gate; none when the run has no such gate.
pub fn approval(state: &RunState, id: GateId, viewer: Option<&str>, live: Option<Live>) -> Option<ApprovalView> {
    let gate = state.gates.get(&id)?;
    let opened = gate.opened.as_ref();
    let trigger = &state.plan.trigger;
    let rules = state.rules(&gate.environment).map(|(_, rules)| rules);
    let requires = opened.and_then(|opened| opened.requires.as_ref());
    let plan = opened.map_or_else(|| state.gate_plan(gate), |opened| (*opened.plan).clone());
    let nobody = Missing { people: 0, from: BTreeMap::new() };
    Some(ApprovalView {
        run: state.run,
        attempt: gate.attempt,
        repository: state.plan.repository.clone(),
        version: trigger.version.clone(),
        reference: trigger.reference.clone(),
        commit: trigger.commit.clone(),
        subject: trigger.subject.clone(),
        environment: gate.environment.clone(),
        url: rules.and_then(|rules| rules.url.clone()),
        gate: id,
        status: gate.status.word(),
        outcome: outcome(state, id),
        first: first(state, id, gate),
        asked_by: trigger.actor.clone(),
        asked_at: state.created_at,
        opened_at: opened.map(|opened| opened.at),
        expires: opened.and_then(|opened| opened.expires),
        plan: opened.map(|opened| opened.digest.clone()),
        release_digest: state.plan.release_digest.clone(),
        workflow: state.plan.workflow.path.clone(),
        workflow_digest: plan.workflow_digest.clone(),
        policy_version: plan.policy_version.clone(),
        policy_origin: state.plan.policy.origin.clone(),
        live,
        after: rules.and_then(|rules| rules.after.clone()),
        artifacts: artifacts(state, &gate.environment, &plan.artifacts),
        deliveries: plan.deliveries,
        jobs: plan.jobs,
        outputs: plan.outputs,
        required: requires.map_or(0, |requires| requires.required.max(1)),
        from: requires.map(|requires| requires.from.clone()).unwrap_or_default(),
        missing: opened.map_or(nobody, |opened| rules::missing(&state.plan, opened)),
        votes: opened.map(|opened| votes(state, opened)).unwrap_or_default(),
        reviewers: reviewers(state, id, opened),
        you: viewer.map(|email| eligibility(state, id, email)),
    })
}

fn artifacts(state: &RunState, environment: &str, bound: &BTreeMap<String, String>) -> Vec<ArtifactView> {
    let view = |(name, digest): (&String, &String)| {
        let named = state.artifacts.get(name);
        let now = named.filter(|artifact| artifact.digest == *digest);
        ArtifactView {
            name: name.clone(),
            digest: digest.clone(),
            size: now.map(|artifact| artifact.size),
            kind: now.map(|artifact| artifact.kind.clone()),
            exempt: named.is_some_and(|artifact| !rules::must_have_passed(state, environment, artifact)),
        }
    };
    bound.iter().map(view).collect()
}

fn votes(state: &RunState, opened: &Opened) -> Vec<VoteView> {
    let view = |(at, vote): &(Timestamp, crate::Vote)| VoteView {
        by: vote.voter.clone(),
        teams: teams(state, opened, &vote.voter.email),
        decision: vote.statement.decision,
        at: *at,
        comment: vote.statement.comment.clone(),
        signed: match &vote.signature {
            Signature::Ssh { fingerprint, .. } => Some(fingerprint.clone()),
            Signature::Unsigned => None,
        },
        via: vote.via.clone(),
    };
    opened.votes.iter().map(view).collect()
}

fn reviewers(state: &RunState, id: GateId, opened: Option<&Opened>) -> Vec<ReviewerView> {
    let Some(requires) = opened.and_then(|opened| opened.requires.as_ref()) else {
        return Vec::new();
    };
    let people = rules::reviewers(&state.plan, requires).into_iter();
    people
        .map(|(email, teams)| {
            let standing = eligibility(state, id, &email);
            ReviewerView { email, teams, may_vote: standing.may_vote, reason: standing.reason }
        })
        .collect()
}

fn teams(state: &RunState, opened: &Opened, email: &str) -> Vec<String> {
    let requires = opened.requires.as_ref();
    requires.map_or_else(Vec::new, |requires| rules::standing(&state.plan.policy.teams, requires, email).0)
}

/// What an approver should see before anything else.
fn first(state: &RunState, id: GateId, gate: &Gate) -> Vec<String> {
    let mut first = Vec::new();
    for (_, other) in state.gates.range(..id) {
        let same = other.environment == gate.environment && other.attempt == gate.attempt;
        let voted = other.opened.as_ref().is_some_and(|opened| !opened.votes.is_empty());
        if let (true, GateStatus::Voided { why, .. }) = (same && voted, &other.status) {
            first.push(format!("earlier votes no longer count: {why}"));
        }
    }
    if state.plan.trigger.working_tree {
        first.push("this is a working tree with files that are not committed".to_owned());
    }
    if gate.attempt > Attempt::FIRST {
        // Of an attempt that is over only its number is known.
        let by = &state.attempt_by.email;
        let by = if gate.attempt == state.attempt { format!(", started by {by}") } else { String::new() };
        first.push(format!("this is attempt {}{by}; what was approved before does not count", gate.attempt));
    }
    first
}

/// How a gate came out, or what it waits for, in one sentence without its environment.
pub fn outcome(state: &RunState, id: GateId) -> String {
    let Some(gate) = state.gates.get(&id) else { return String::new() };
    let opened = gate.opened.as_ref();
    match &gate.status {
        GateStatus::Requested => "being prepared".to_owned(),
        GateStatus::Open => {
            let missing = opened.map(|opened| rules::missing(&state.plan, opened));
            missing.as_ref().map_or_else(String::new, waits_for)
        }
        GateStatus::Approved { by: ApprovedBy::Rule, .. } => "approved: nobody is asked".to_owned(),
        GateStatus::Approved { by: ApprovedBy::Votes, .. } => {
            let by: Vec<&str> = opened.into_iter().flat_map(Opened::approvers).map(|p| p.email.as_str()).collect();
            format!("approved by {}", by.join(", "))
        }
        GateStatus::Rejected { .. } => {
            let no = opened.and_then(|opened| opened.votes.last()).map(|(_, vote)| vote);
            match no.map(|vote| (&vote.voter.email, vote.statement.comment.as_str())) {
                None => "rejected".to_owned(),
                Some((email, "")) => format!("rejected by {email}"),
                Some((email, comment)) => format!("rejected by {email}: \"{comment}\""),
            }
        }
        GateStatus::Expired { .. } => "expired without a decision: counted as no".to_owned(),
        GateStatus::Refused { why, .. } => format!("refused: {why}"),
        GateStatus::Voided { why, .. } => format!("void: {why}"),
    }
}

/// `waits for 2 approvals, 1 from ops`.
pub(crate) fn waits_for(missing: &Missing) -> String {
    let from: Vec<String> = missing.from.iter().map(|(team, n)| format!("{n} from {team}")).collect();
    let people = format!("waits for {}", count(missing.people, "approval"));
    if from.is_empty() { people } else { format!("{people}, {}", from.join(", ")) }
}

/// Whether somebody may vote on a gate now, and why.
pub fn eligibility(state: &RunState, id: GateId, email: &str) -> Eligibility {
    let gate = state.gates.get(&id);
    let opened = gate.and_then(|gate| gate.opened.as_ref());
    let requires = opened.and_then(|opened| opened.requires.as_ref());
    let (teams, named) =
        requires.map_or((Vec::new(), false), |requires| rules::standing(&state.plan.policy.teams, requires, email));
    let no = |reason: String| Eligibility { may_vote: false, reason, teams: teams.clone() };
    let (Some(gate), Some(opened), Some(requires)) = (gate, opened, requires) else {
        return no("nobody is asked here".to_owned());
    };
    let vote = opened.votes.iter().find(|(_, vote)| vote.voter.email.eq_ignore_ascii_case(email));
    if let Some((_, vote)) = vote {
        return no(match vote.statement.decision {
            Decision::Approve => "you have approved, and a vote is final".to_owned(),
            Decision::Reject => "you have rejected, and a vote is final".to_owned(),
        });
    }
    if gate.status != GateStatus::Open {
        return no(format!("it is decided: {}", outcome(state, id)));
    }
    if teams.is_empty() && !named {
        return no(format!("reviewers are {}", requires.any_of.join(", ")));
    }
    let involved = rules::involvement(state, email).filter(|_| requires.prevent_self_review);
    if let Some(why) = involved {
        return no(why);
    }
    let as_whom = if teams.is_empty() { String::new() } else { format!(" ({})", teams.join(", ")) };
    Eligibility { may_vote: true, reason: format!("you vote as {email}{as_whom}"), teams }
}
