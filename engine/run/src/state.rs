//! What a run's events add up to. Made by [`crate::evolve`] only; everybody else reads.
//!
//! Invariants: a leg has ended at most once in each attempt; a gate never leaves a closed status; a finished run holds no
//! lock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use indexmap::IndexMap;
use jiff::Timestamp;
use tagline_plan::{GatePlan, Person, Plan};
use tagline_syntax::environments::Reviewers;

use crate::event::{ApprovedBy, Cause, Conclusion, Ending, ReadyLeg};
use crate::ids::{Attempt, GateId, Holder, JobKey, Lock, RunId, TimerId, Token};
use crate::milestone::Reached;
use crate::statement::{Decision, Vote};

/// A run.
#[derive(Debug, Clone, PartialEq)]
pub struct RunState {
    /// Its number.
    pub run: RunId,
    /// The plan it follows.
    pub plan: Arc<Plan>,
    /// The runner asked for.
    pub runner: String,
    /// It may bring a version below the live one.
    pub allow_downgrade: bool,
    /// What tells it from runs of other stores; empty for one that was begun before there was such a thing.
    pub identity: String,
    /// When it was created.
    pub created_at: Timestamp,
    /// The present attempt.
    pub attempt: Attempt,
    /// When that began.
    pub attempt_at: Timestamp,
    /// Who began it: who asked for the run, or for it to run again.
    pub attempt_by: Person,
    /// How many events there are: the number of the next one, from 0.
    pub events: u64,
    /// The latest time any event bears, but for timers that were only held. Time never goes back behind it.
    pub latest: Timestamp,
    /// The jobs, in the plan's order.
    pub jobs: IndexMap<String, JobState>,
    /// The gates of all attempts.
    pub gates: BTreeMap<GateId, Gate>,
    /// The locks it has or waits for.
    pub locks: BTreeMap<(Lock, Holder), Claim>,
    /// What steps have reached in the world, of all attempts, in order: see [`RunState::milestones`].
    pub reached: Vec<Arc<Reached>>,
    /// The artifacts by name.
    pub artifacts: BTreeMap<String, Artifact>,
    /// What this run made live, by environment.
    pub deployments: BTreeMap<String, Deployment>,
    /// The cancel of this attempt.
    pub cancel: Option<Cancel>,
    /// Timers that came late and are looked at once more.
    pub held: BTreeSet<TimerId>,
    /// How it ended.
    pub finished: Option<Finished>,
}

/// A job.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct JobState {
    /// What is known since its condition was found true; none before.
    pub ready: Option<Ready>,
    /// How it ended without legs: skipped, or ended before it was ready.
    pub ended: Option<Ended>,
}

/// A job whose turn has come.
#[derive(Debug, Clone, PartialEq)]
pub struct Ready {
    /// `strategy.fail-fast`.
    pub fail_fast: bool,
    /// `strategy.max-parallel`.
    pub max_parallel: Option<u32>,
    /// Its legs.
    pub legs: Vec<LegState>,
}

/// A leg.
#[derive(Debug, Clone, PartialEq)]
pub struct LegState {
    /// What was evaluated.
    pub ready: ReadyLeg,
    /// Since when it is ready.
    pub since: Timestamp,
    /// The run's attempt it belongs to.
    pub attempt: Attempt,
    /// Failed launches of this attempt.
    pub launch_failures: u32,
    /// The next launch is not before this.
    pub not_before: Option<Timestamp>,
    /// Its present start.
    pub started: Option<Started>,
    /// Its steps so far.
    pub steps: BTreeMap<u32, Step>,
    /// How it ended.
    pub ended: Option<Ended>,
}

/// A start that is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    /// The agent's secret.
    pub token: Token,
    /// What launches it.
    pub executor: String,
    /// When.
    pub at: Timestamp,
    /// It was told to end.
    pub cancel: Option<JobCancel>,
}

/// Why and how a started leg is to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobCancel {
    /// What made it so.
    pub cause: Cause,
    /// One sentence.
    pub why: String,
    /// At once.
    pub kill: bool,
    /// Since when.
    pub at: Timestamp,
}

/// A step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Its id.
    pub id: String,
    /// Its display name.
    pub name: String,
    /// When it began.
    pub started_at: Timestamp,
    /// How it ended.
    pub ended: Option<StepEnd>,
}

/// The end of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepEnd {
    /// Before `continue-on-error`.
    pub outcome: Conclusion,
    /// After it.
    pub conclusion: Conclusion,
    /// Why, or empty.
    pub why: String,
    /// When.
    pub at: Timestamp,
}

/// The end of a leg or job.
#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    /// Before `continue-on-error`.
    pub conclusion: Conclusion,
    /// What made it so.
    pub cause: Cause,
    /// One sentence, or empty.
    pub why: String,
    /// Its outputs.
    pub outputs: IndexMap<String, String>,
    /// The address of its environment, or empty.
    pub url: String,
    /// When.
    pub at: Timestamp,
    /// The number of the event: which of two legs ended last.
    pub order: u64,
}

/// A gate: one environment in one attempt, for the legs that were known when it was requested.
#[derive(Debug, Clone, PartialEq)]
pub struct Gate {
    /// The environment.
    pub environment: String,
    /// The attempt.
    pub attempt: Attempt,
    /// The legs it covers.
    pub jobs: Vec<JobKey>,
    /// Since when it is wanted.
    pub requested_at: Timestamp,
    /// What is bound, once it was opened.
    pub opened: Option<Opened>,
    /// Where it stands.
    pub status: GateStatus,
}

/// An opened gate.
#[derive(Debug, Clone, PartialEq)]
pub struct Opened {
    /// What an approval says yes to.
    pub plan: Arc<GatePlan>,
    /// The gate digest.
    pub digest: String,
    /// Single use.
    pub nonce: String,
    /// Who must say yes.
    pub requires: Option<Reviewers>,
    /// Until when.
    pub expires: Option<Timestamp>,
    /// When it opened.
    pub at: Timestamp,
    /// The votes in their order, with the time each was recorded.
    pub votes: Vec<(Timestamp, Vote)>,
}

impl Opened {
    /// Who said yes, in their order.
    pub fn approvers(&self) -> impl Iterator<Item = &Person> {
        let yes = |(_, vote): &'_ &(Timestamp, Vote)| vote.statement.decision == Decision::Approve;
        self.votes.iter().filter(yes).map(|(_, vote)| &vote.voter)
    }
}

/// Where a gate stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GateStatus {
    /// It waits to be prepared.
    Requested,
    /// It waits for votes.
    Open,
    /// Its jobs may go.
    Approved {
        /// By whom.
        by: ApprovedBy,
        /// When.
        at: Timestamp,
    },
    /// Somebody said no.
    Rejected {
        /// When.
        at: Timestamp,
    },
    /// Nobody decided.
    Expired {
        /// When.
        at: Timestamp,
    },
    /// A rule forbids it.
    Refused {
        /// Machine word.
        code: String,
        /// One sentence.
        why: String,
        /// When.
        at: Timestamp,
    },
    /// It no longer counts.
    Voided {
        /// One sentence.
        why: String,
        /// When.
        at: Timestamp,
    },
}

impl GateStatus {
    /// Waits for somebody or something.
    pub fn is_pending(&self) -> bool {
        matches!(self, Self::Requested | Self::Open)
    }

    /// A word for it: `requested`, `waiting`, `approved`, `rejected`, `expired`, `refused`, `void`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Open => "waiting",
            Self::Approved { .. } => "approved",
            Self::Rejected { .. } => "rejected",
            Self::Expired { .. } => "expired",
            Self::Refused { .. } => "refused",
            Self::Voided { .. } => "void",
        }
    }
}

/// A place in the queue of a lock, or the lock itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Since when.
    pub asked_at: Timestamp,
    /// It has the lock.
    pub granted: bool,
    /// The holder before it is to be cancelled.
    pub cancel_in_progress: bool,
    /// What waits is never dropped.
    pub queue: bool,
}

/// An artifact of the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// Its number in the run.
    pub id: u64,
    /// `sha256:` and 64 hex digits.
    pub digest: String,
    /// Bytes.
    pub size: u64,
    /// `file`, `sbom` or `image`.
    pub kind: String,
    /// The leg that made it.
    pub by: JobKey,
    /// In which attempt.
    pub attempt: Attempt,
    /// When.
    pub at: Timestamp,
    /// The number of the event.
    pub order: u64,
}

/// What the run made live in an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// The gate that let it.
    pub gate: GateId,
    /// The attempt.
    pub attempt: Attempt,
    /// Digests of artifacts by name.
    pub artifacts: BTreeMap<String, String>,
    /// The address, or empty.
    pub url: String,
    /// Who approved.
    pub approved_by: Vec<Person>,
    /// When.
    pub at: Timestamp,
    /// The number of the event.
    pub order: u64,
}

/// A cancel of the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cancel {
    /// Who; none when a rule did.
    pub by: Option<Person>,
    /// One sentence.
    pub reason: String,
    /// At once.
    pub force: bool,
    /// When.
    pub at: Timestamp,
}

/// The end of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// How.
    pub conclusion: Conclusion,
    /// Why.
    pub ending: Ending,
    /// One sentence, or empty.
    pub why: String,
    /// When.
    pub at: Timestamp,
}
