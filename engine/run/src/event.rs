//! What has happened in a run: the only thing that is stored of it. Past tense, append only, replayed for ever.
//!
//! Events are written as JSON, the fact tagged by its name. A fact or field this build does not know is an error on load,
//! never skipped: a newer engine wrote it and this one would decide on half the truth. [`FORMAT`] names the shape.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tagline_plan::{GatePlan, Leg, NeedResult, Person, Plan};
use tagline_syntax::environments::Reviewers;

use crate::ids::{Attempt, GateId, Holder, JobKey, Lock, RunId, TimerId, Token};
use crate::milestone::Milestone;
use crate::statement::Vote;

/// The format of events. It is stored with each row; a higher one is refused on load.
pub const FORMAT: u32 = 1;

/// One row of the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// When, by the engine's clock. The order of events is their number, never this.
    pub at: Timestamp,
    /// What.
    pub fact: Fact,
}

/// How a step, job or run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Conclusion {
    /// All well.
    Success,
    /// Failed.
    Failure,
    /// Ended by a cancel or a time limit.
    Cancelled,
    /// Not run, by its condition.
    Skipped,
}

impl Conclusion {
    /// GitHub's word.
    pub fn word(self) -> &'static str {
        NeedResult::from(self).word()
    }
}

impl From<Conclusion> for NeedResult {
    fn from(conclusion: Conclusion) -> Self {
        match conclusion {
            Conclusion::Success => Self::Success,
            Conclusion::Failure => Self::Failure,
            Conclusion::Cancelled => Self::Cancelled,
            Conclusion::Skipped => Self::Skipped,
        }
    }
}

/// What made a job end as it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Its own steps or its condition.
    Job,
    /// Its time limit.
    TimedOut,
    /// It could not be launched.
    Launch,
    /// Its agent went away without a result; what it did is not known.
    Lost,
    /// Something of it cannot be evaluated, or names an environment that is not there.
    Invalid,
    /// A rule of its environment forbids it.
    Refused,
    /// A reviewer said no.
    Rejected,
    /// Nobody said yes in time.
    Expired,
    /// The run was cancelled.
    Cancelled,
    /// Another leg of its matrix failed.
    FailFast,
}

/// One leg of a job whose condition is true, with everything of it that is evaluated before it starts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadyLeg {
    /// The leg; its environment is known now.
    pub leg: Leg,
    /// `concurrency` of the job, evaluated.
    pub group: Option<tagline_plan::Group>,
    /// `continue-on-error`: its failure is tolerated.
    pub tolerated: bool,
    /// `timeout-minutes` in seconds.
    pub timeout_seconds: u64,
}

/// Who or what approved a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApprovedBy {
    /// The environment asks nobody.
    Rule,
    /// The votes reached what is required.
    Votes,
}

/// Why a run ended as it did; it decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// By its jobs.
    Jobs,
    /// A gate was rejected.
    Rejected,
    /// A gate expired.
    Expired,
    /// It was cancelled.
    Cancelled,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Fact {
    /// First of every run: the plan it will follow, frozen.
    RunCreated {
        /// The run.
        run: RunId,
        /// The plan; who asked and why stand in its trigger.
        plan: Box<Plan>,
        /// The runner asked for: `auto`, `sandbox`, `docker`, …
        runner: String,
        /// A version below the live one is wanted.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        allow_downgrade: bool,
        /// Random: numbers begin anew in each store. Empty for a run that was begun before there was one.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        identity: String,
    },
    /// The run or a job wants a lock and takes its place in the queue.
    LockAsked {
        /// The lock.
        lock: Lock,
        /// Who within the run.
        holder: Holder,
        /// The holder now in possession is to be cancelled.
        cancel_in_progress: bool,
        /// What waits is never dropped.
        queue: bool,
    },
    /// It has it.
    LockGranted {
        /// The lock.
        lock: Lock,
        /// Who within the run.
        holder: Holder,
    },
    /// It has it no longer, or no longer waits for it.
    LockReleased {
        /// The lock.
        lock: Lock,
        /// Who within the run.
        holder: Holder,
    },
    /// Its needs have ended and its condition is true.
    JobReady {
        /// The job's id.
        job: String,
        /// `strategy.fail-fast`.
        fail_fast: bool,
        /// `strategy.max-parallel`.
        max_parallel: Option<u32>,
        /// Its legs; one without matrix values where there is no matrix.
        legs: Vec<ReadyLeg>,
    },
    /// Its condition is false.
    JobSkipped {
        /// The job's id.
        job: String,
        /// One sentence naming what was false.
        why: String,
    },
    /// The first job of an environment is ready, so the gate is wanted.
    GateRequested {
        /// The gate.
        gate: GateId,
        /// The environment.
        environment: String,
        /// The legs it will cover: the stage as far as it is known, and what comes before it is over or in it.
        jobs: Vec<JobKey>,
    },
    /// The gate is open for votes.
    GateOpened {
        /// The gate.
        gate: GateId,
        /// What an approval says yes to.
        plan: Box<GatePlan>,
        /// The gate digest.
        digest: String,
        /// Single use, made at random.
        nonce: String,
        /// Who must say yes; none where nobody is asked.
        requires: Option<Reviewers>,
        /// Silence until then is a no; none where nobody is asked.
        expires: Option<Timestamp>,
    },
    /// Somebody voted.
    VoteRecorded {
        /// The gate.
        gate: GateId,
        /// The vote, as it was signed.
        vote: Box<Vote>,
    },
    /// The jobs of the gate may go.
    GateApproved {
        /// The gate.
        gate: GateId,
        /// By votes or because nobody is asked.
        by: ApprovedBy,
    },
    /// A reviewer said no.
    GateRejected {
        /// The gate.
        gate: GateId,
    },
    /// Nobody decided in time: a no.
    GateExpired {
        /// The gate.
        gate: GateId,
    },
    /// A rule forbids it, or it could not be prepared; nobody is asked.
    GateRefused {
        /// The gate.
        gate: GateId,
        /// Machine word of the rule: `version-not-allowed`, `not-passed`, `not-prepared`, `downgrade`.
        code: String,
        /// One sentence.
        why: String,
    },
    /// It no longer counts, nor do its votes: what it bound has changed, or the run was cancelled.
    GateVoided {
        /// The gate.
        gate: GateId,
        /// One sentence.
        why: String,
    },
    /// The intent to launch, stored before the launch.
    JobStarted {
        /// The leg.
        key: JobKey,
        /// The run's attempt.
        attempt: Attempt,
        /// The agent's secret.
        token: Token,
        /// What launches it: `sandbox`, `docker`, `fake`.
        executor: String,
    },
    /// It did not come up, or its agent was gone before the first step.
    LaunchFailed {
        /// The leg.
        key: JobKey,
        /// The run's attempt.
        attempt: Attempt,
        /// One sentence.
        why: String,
        /// When it is tried again, under the same attempt with another token.
        again_at: Timestamp,
    },
    /// A step began.
    StepStarted {
        /// The leg.
        key: JobKey,
        /// Its attempt.
        attempt: Attempt,
        /// The step, from 0 in the job's order.
        step: u32,
        /// Its id.
        id: String,
        /// Its display name.
        name: String,
    },
    /// A step ended.
    StepFinished {
        /// The leg.
        key: JobKey,
        /// Its attempt.
        attempt: Attempt,
        /// The step.
        step: u32,
        /// Before `continue-on-error`.
        outcome: Conclusion,
        /// After it.
        conclusion: Conclusion,
        /// Why it failed or was skipped, else empty.
        why: String,
    },
    /// A step has reached something in the world. It may come after the end of the job or run it belongs to.
    Milestone {
        /// The leg.
        key: JobKey,
        /// Its attempt.
        attempt: Attempt,
        /// The step.
        step: u32,
        /// What.
        milestone: Milestone,
    },
    /// An artifact is in the content store.
    ArtifactStored {
        /// The leg that made it.
        key: JobKey,
        /// Its attempt.
        attempt: Attempt,
        /// Its number in the run, from 1.
        id: u64,
        /// Its name, unique in the run.
        name: String,
        /// `sha256:` and 64 hex digits.
        digest: String,
        /// Bytes.
        size: u64,
        /// `file`, `sbom` or `image`.
        kind: String,
    },
    /// A started leg is to end.
    JobCancelRequested {
        /// The leg.
        key: JobKey,
        /// Its attempt.
        attempt: Attempt,
        /// What made it so.
        cause: Cause,
        /// One sentence.
        why: String,
        /// At once, without its `always()` steps.
        kill: bool,
    },
    /// A leg ended, whether it had started or not. A job that ends before its legs are known has leg 0.
    JobFinished {
        /// The leg.
        key: JobKey,
        /// The run's attempt.
        attempt: Attempt,
        /// How, before `continue-on-error`.
        conclusion: Conclusion,
        /// What made it so.
        cause: Cause,
        /// Its outputs.
        outputs: IndexMap<String, String>,
        /// `environment.url`, evaluated, else empty.
        url: String,
        /// Why it did not succeed, one sentence, else empty.
        why: String,
    },
    /// Its agent went away without a result: it counts as failed, and what it did is not known.
    JobLost {
        /// The leg.
        key: JobKey,
        /// Its attempt.
        attempt: Attempt,
        /// One sentence.
        why: String,
    },
    /// Every job of an environment has succeeded: this is live there now.
    Deployed {
        /// The environment.
        environment: String,
        /// The gate that let it.
        gate: GateId,
        /// The release's version, when a tag started the run.
        version: Option<String>,
        /// The commit.
        commit: String,
        /// The release digest.
        release_digest: String,
        /// Digests of all artifacts of the run by name.
        artifacts: BTreeMap<String, String>,
        /// The environment's address, as the last of its jobs gave it, else empty.
        url: String,
        /// Who approved, in the order of their votes.
        approved_by: Vec<Person>,
    },
    /// The run is to end.
    CancelRequested {
        /// Who; none when a rule did.
        by: Option<Person>,
        /// One sentence.
        reason: String,
        /// At once: nothing goes on, not even `always()`.
        force: bool,
    },
    /// Parts of a finished run start anew.
    RerunRequested {
        /// The new attempt.
        attempt: Attempt,
        /// Who asked.
        by: Person,
        /// Jobs that are decided anew from their condition on.
        jobs: Vec<String>,
        /// Legs that run again while the rest of their job stands.
        legs: Vec<JobKey>,
        /// A version below the live one is wanted from now on.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        allow_downgrade: bool,
    },
    /// A timer came more than five minutes late: downtime, or a clock that jumped. It is looked at once more.
    TimerHeld {
        /// The timer.
        timer: TimerId,
    },
    /// It was looked at once more: unless it is acted on next, the clock had jumped and the deadline stands. Of a launch:
    /// it is time to try again.
    TimerReleased {
        /// The timer.
        timer: TimerId,
    },
    /// Nothing is left to do. Only a rerun follows, and late milestones.
    RunFinished {
        /// How.
        conclusion: Conclusion,
        /// Why.
        ending: Ending,
        /// One sentence, else empty.
        why: String,
    },
}

/// One list for the names of facts: the match keeps it whole.
macro_rules! fact_names {
    ($($name:ident)*) => {
        impl Fact {
            /// The fact's name, as it stands in the journal.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$name { .. } => stringify!($name),)*
                }
            }

            /// All names: a test holds that every one of them happens.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($name)),*];
        }
    };
}

fact_names! {
    RunCreated LockAsked LockGranted LockReleased JobReady JobSkipped GateRequested GateOpened VoteRecorded GateApproved
    GateRejected GateExpired GateRefused GateVoided JobStarted LaunchFailed StepStarted StepFinished Milestone
    ArtifactStored JobCancelRequested JobFinished JobLost Deployed CancelRequested RerunRequested TimerHeld TimerReleased
    RunFinished
}
