//! What may be told to a run. Facts about the world and about other runs, and everything random, come in here.

use std::collections::BTreeSet;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use tagline_plan::{Person, Plan, PlannedDelivery};

use crate::event::{Conclusion, Event, Fact};
use crate::ids::{Attempt, GateId, Holder, JobKey, Lock, RunId, TimerId, Token};
use crate::milestone::Milestone;
use crate::statement::Vote;

/// What begins a run: see [`crate::create`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Start {
    /// The run's number, which the store gives.
    pub run: RunId,
    /// The plan it will follow.
    pub plan: Box<Plan>,
    /// The runner asked for: `auto`, `sandbox`, `docker`, …
    pub runner: String,
    /// A version below the live one is wanted.
    pub allow_downgrade: bool,
    /// A fresh random text: what tells the run from one with its number in another store.
    pub identity: String,
}

/// Who reports of a job: the leg, its attempt and the secret of this start. A report with another token is stale.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sender {
    /// The leg.
    pub key: JobKey,
    /// Its attempt.
    pub attempt: Attempt,
    /// The token of its start.
    pub token: Token,
}

/// What is told to a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// Answer to [`crate::Effect::StartJob`]: there is room, and this is what will launch it. The launch comes after the
    /// events are stored.
    JobStarting {
        /// The leg.
        key: JobKey,
        /// A fresh random token.
        token: Token,
        /// What will launch it.
        executor: String,
    },
    /// It could not be launched.
    LaunchFailed {
        /// Of which start.
        from: Sender,
        /// One sentence.
        why: String,
        /// Another try may help.
        retryable: bool,
    },
    /// What the agent wrote, in its order. What is known already is passed over, so a spool may be read again.
    Reported {
        /// Of which start.
        from: Sender,
        /// The news.
        reports: Vec<Report>,
    },
    /// An artifact of the job is in the content store already and wants its name.
    ArtifactStored {
        /// Of which start.
        from: Sender,
        /// Its name.
        name: String,
        /// `sha256:` and 64 hex digits.
        digest: String,
        /// Bytes.
        size: u64,
        /// `file`, `sbom` or `image`.
        kind: String,
        /// Takes the place of one of that name.
        overwrite: bool,
    },
    /// A step of it has reached something in the world.
    Milestone {
        /// Of which start.
        from: Sender,
        /// The step, from 0.
        step: u32,
        /// What.
        milestone: Milestone,
    },
    /// What a step had left for later is done, or never will be. The run may have ended long since.
    Retired {
        /// The leg.
        key: JobKey,
        /// Its attempt.
        attempt: Attempt,
        /// The step, from 0.
        step: u32,
        /// What came of it.
        milestone: Milestone,
    },
    /// The agent is dead and its spool, read to the end, holds no result.
    AgentGone {
        /// Of which start.
        from: Sender,
        /// The spool shows a step that began.
        steps_started: bool,
    },
    /// Answer to [`crate::Effect::PrepareGate`].
    GatePrepared {
        /// The gate.
        gate: GateId,
        /// Fresh, random, single use.
        nonce: String,
        /// Digests (of artifacts, and release digests) that runs before this one brought through the environment that
        /// `after` names; empty where there is none.
        passed: BTreeSet<String>,
        /// What the delivery steps of its stage will do, as far as it can be worked out now.
        #[serde(default)]
        deliveries: Vec<PlannedDelivery>,
    },
    /// It cannot be prepared.
    GateUnprepared {
        /// The gate.
        gate: GateId,
        /// One sentence.
        why: String,
    },
    /// A higher version came live in an environment in the meantime. What of its stage has not begun is refused, unless the
    /// run may go below what is live.
    Downgrade {
        /// The environment.
        environment: String,
        /// One sentence.
        why: String,
    },
    /// Somebody votes. A signature has been verified by the caller.
    Vote(Box<Vote>),
    /// The arbiter ([`crate::locks::arbitrate`]) gives the lock.
    LockGranted {
        /// The lock.
        lock: Lock,
        /// To whom.
        holder: Holder,
    },
    /// The arbiter ends who waits for or has a lock, for a newcomer.
    Superseded {
        /// The lock.
        lock: Lock,
        /// Who gives way.
        holder: Holder,
        /// Who comes: a run's number.
        by: RunId,
    },
    /// A time has come: answer to [`crate::Effect::SetTimer`].
    TimerFired(TimerId),
    /// Answer to [`crate::Effect::CheckTimer`].
    TimerChecked(TimerId),
    /// End the run.
    Cancel {
        /// Who.
        by: Person,
        /// One sentence, may be empty.
        reason: String,
        /// At once.
        force: bool,
    },
    /// Do parts of a finished run again.
    Rerun {
        /// Who.
        by: Person,
        /// Which.
        what: Rerun,
        /// A version below the live one is wanted.
        #[serde(default)]
        allow_downgrade: bool,
    },
}

/// What to do again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rerun {
    /// Everything.
    All,
    /// What did not succeed, and what comes after it.
    Failed,
    /// A job, and what comes after it.
    From(String),
}

/// One piece of news from a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// A step began.
    StepStarted {
        /// From 0.
        step: u32,
        /// Its id.
        id: String,
        /// Its display name.
        name: String,
    },
    /// A step ended.
    StepFinished {
        /// From 0.
        step: u32,
        /// Before `continue-on-error`.
        outcome: Conclusion,
        /// After it.
        conclusion: Conclusion,
        /// Why it failed or was skipped, else empty.
        why: String,
    },
    /// The job ended.
    Finished {
        /// How.
        conclusion: Conclusion,
        /// Its outputs.
        outputs: IndexMap<String, String>,
        /// `environment.url`, else empty.
        url: String,
        /// Why it failed, else empty.
        why: String,
        /// Its time limit ended it.
        timed_out: bool,
    },
}

impl Start {
    /// The first event of the run.
    pub(crate) fn into_event(self, at: jiff::Timestamp) -> Event {
        let Self { run, plan, runner, allow_downgrade, identity } = self;
        Event { at, fact: Fact::RunCreated { run, plan, runner, allow_downgrade, identity } }
    }
}
