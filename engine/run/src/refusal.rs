//! Why an input is refused. A refusal changes nothing; it is for whoever sent the input.

use jiff::Timestamp;
use tagline_plan::digest::short;

use crate::ids::{GateId, JobKey, TimerId};

/// An input that is refused, in words. [`Refusal::code`] is for machines.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// The run has ended; only a rerun may follow.
    #[error("the run has ended")]
    Ended,
    /// A rerun of a run that is not over.
    #[error("the run is still going on; cancel it first or wait for its end")]
    StillRunning,
    /// A rerun of what did not fail.
    #[error("nothing failed; name a job with --from, or run all again")]
    NothingFailed,
    /// No such job.
    #[error("there is no job `{job}` in this run; jobs are: {known}")]
    UnknownJob {
        /// What was asked for.
        job: String,
        /// What there is, with commas.
        known: String,
    },
    /// The leg may not start now.
    #[error("job {0} is not ready to start")]
    NotReady(JobKey),
    /// A report of a start that no longer counts.
    #[error("the report is not of the present start of job {0}; it is not counted")]
    StaleReport(JobKey),
    /// An artifact's name is not usable.
    #[error(
        "`{0}` cannot be the name of an artifact: 1 to 255 characters, none of them \" : < > | * ? \\ / or control"
    )]
    BadArtifactName(String),
    /// A digest is not one.
    #[error("`{0}` is not a digest: `sha256:` and 64 hex digits")]
    BadDigest(String),
    /// Another artifact has the name.
    #[error("an artifact named `{name}` exists already, made by {by}; names are unique in a run")]
    ArtifactExists {
        /// The name.
        name: String,
        /// Who made it.
        by: JobKey,
    },
    /// It would replace what was approved.
    #[error("artifact `{name}` was approved for {environment} as {}; it cannot be replaced", short(.digest))]
    ArtifactApproved {
        /// The name.
        name: String,
        /// The environment.
        environment: String,
        /// What was approved.
        digest: String,
    },
    /// No such gate, or it waits for no answer.
    #[error("{0} is not waiting for this")]
    NoSuchGate(GateId),
    /// A nonce that is empty or was used before.
    #[error("the gate's nonce is empty or was used before")]
    NonceReused,
    /// The gate is not open yet.
    #[error("{0} is not open yet")]
    NotOpen(GateId),
    /// The gate is decided.
    #[error("already decided: {environment} was {outcome}")]
    AlreadyDecided {
        /// The environment.
        environment: String,
        /// `approved`, `rejected by …`, `expired`, …
        outcome: String,
    },
    /// The vote is on a plan that is not the present one.
    #[error("the plan changed after you read it; nothing was recorded: {} is now {}", short(.given), short(.current))]
    StalePlan {
        /// The gate digest voted on.
        given: String,
        /// The present one.
        current: String,
    },
    /// The statement does not match the gate.
    #[error("the vote names another {field} than the gate: `{given}`, not `{expected}`")]
    Mismatch {
        /// The field of the statement.
        field: String,
        /// What it says.
        given: String,
        /// What the gate has.
        expected: String,
    },
    /// The time is over.
    #[error("the approval expired at {0:.0}: silence is a no")]
    Expired(Timestamp),
    /// The person may not vote.
    #[error("{who} cannot vote: {why}")]
    NotEligible {
        /// Their address.
        who: String,
        /// The sentence of [`crate::view::Eligibility`].
        why: String,
    },
    /// They were a reviewer when the run began, and are none by the rules as they are now.
    #[error("{who} cannot approve any more: {why}")]
    NoLongerReviewer {
        /// Their address.
        who: String,
        /// The environment.
        environment: String,
        /// One sentence, with where the rules stand.
        why: String,
    },
    /// The rules as they are now cannot be read.
    #[error("nobody can approve, because the rules as they are now cannot be read: {0}")]
    RulesOutOfReach(String),
    /// A vote is final.
    #[error("{0} has already voted; a vote is final")]
    AlreadyVoted(String),
    /// Nobody asked for the lock.
    #[error("the run does not wait for {0}")]
    NoSuchLock(String),
    /// No such timer runs.
    #[error("no such timer is set: {0:?}")]
    NoSuchTimer(TimerId),
    /// It is too early.
    #[error("it is not time yet: {0}")]
    NotDue(Timestamp),
    /// A second cancel.
    #[error("the run is being cancelled already")]
    AlreadyCancelled,
}

impl Refusal {
    /// A word for machines, stable.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Ended => "run-ended",
            Self::StillRunning => "still-running",
            Self::NothingFailed => "nothing-failed",
            Self::UnknownJob { .. } => "unknown-job",
            Self::NotReady(_) => "not-ready",
            Self::StaleReport(_) => "stale-report",
            Self::BadArtifactName(_) => "bad-artifact-name",
            Self::BadDigest(_) => "bad-digest",
            Self::ArtifactExists { .. } => "artifact-exists",
            Self::ArtifactApproved { .. } => "artifact-approved",
            Self::NoSuchGate(_) => "no-such-gate",
            Self::NonceReused => "nonce-reused",
            Self::NotOpen(_) => "not-open",
            Self::AlreadyDecided { .. } => "already-decided",
            Self::StalePlan { .. } => "stale-plan",
            Self::Mismatch { .. } => "mismatch",
            Self::Expired(_) => "expired",
            Self::NotEligible { .. } => "not-eligible",
            Self::NoLongerReviewer { .. } => "no-longer-reviewer",
            Self::RulesOutOfReach(_) => "rules-out-of-reach",
            Self::AlreadyVoted(_) => "already-voted",
            Self::NoSuchLock(_) => "no-such-lock",
            Self::NoSuchTimer(_) => "no-such-timer",
            Self::NotDue(_) => "not-due",
            Self::AlreadyCancelled => "already-cancelled",
        }
    }
}
