//! What is to be done for a run now. Derived from its state alone, so recovery is the normal path: fold the journal, ask
//! what is outstanding, do it. Doing one twice must do no harm.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use crate::ids::{Attempt, GateId, JobKey, TimerId, Token};

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// The leg may start: when there is room, answer with [`crate::Input::JobStarting`].
    StartJob {
        /// The leg.
        key: JobKey,
        /// The attempt it will have.
        attempt: Attempt,
    },
    /// Its start is stored: see that it runs (launch it if that never happened, else attach to its agent) and report.
    Attend {
        /// The leg.
        key: JobKey,
        /// Its attempt.
        attempt: Attempt,
        /// Its token.
        token: Token,
        /// What launches it.
        executor: String,
    },
    /// Tell its agent to end it; said once for each connection is enough.
    CancelJob {
        /// The leg.
        key: JobKey,
        /// Its attempt.
        attempt: Attempt,
        /// Its token.
        token: Token,
        /// Why, for the job's log.
        why: String,
        /// At once.
        kill: bool,
    },
    /// Gather what the gate needs and answer with [`crate::Input::GatePrepared`] or `GateUnprepared`.
    PrepareGate {
        /// The gate.
        gate: GateId,
        /// The environment.
        environment: String,
        /// The environment whose passed digests are asked for.
        after: Option<String>,
    },
    /// Tell [`crate::Input::TimerFired`] at that time.
    SetTimer {
        /// The timer.
        timer: TimerId,
        /// When.
        at: Timestamp,
    },
    /// Tell [`crate::Input::TimerChecked`] after so long by a clock that cannot jump.
    CheckTimer {
        /// The timer.
        timer: TimerId,
        /// How long.
        after: Duration,
    },
}

impl Ord for Token {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}

impl PartialOrd for Token {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
