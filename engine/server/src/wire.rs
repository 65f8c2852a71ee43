//! What commands say to the engine that serves their store, over its socket: JSON, one value a line.
//!
//! The socket lies in the store's folder, which only its owner may enter; whoever can connect could write the store too.

use serde::{Deserialize, Serialize};
use tagline_run::{Event, Input, Refusal, RunId};

use crate::ledger::TellError;

/// From a command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Request {
    /// Something for a run.
    Tell { run: RunId, input: Box<Input> },
    /// Drive a run that has just been begun in the store.
    TakeUp { run: RunId },
    /// Say whenever something happens to a run.
    Follow { run: RunId },
}

/// From the engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Response {
    /// It is stored; these are the events it led to.
    Told { events: Vec<Event> },
    /// The engine drives it.
    TakenUp,
    /// Something happened to a run that is followed.
    Changed { run: RunId },
    /// The run says no.
    Refused { refusal: Refusal },
    /// The engine has ended and did nothing of it; the command does what it does without one.
    Ended,
    /// The engine cannot.
    Failed { why: String },
}

impl Response {
    /// The answer to a [`Request::Tell`].
    pub(crate) fn of(answer: Result<Vec<Event>, TellError>) -> Self {
        match answer {
            Ok(events) => Self::Told { events },
            Err(TellError::Refused(refusal)) => Self::Refused { refusal },
            Err(error) => Self::failed(&error),
        }
    }

    /// The answer where something else than the run says no.
    pub(crate) fn failed(error: &TellError) -> Self {
        match error {
            error if crate::engine::has_ended(error) => Self::Ended,
            error => Self::Failed { why: crate::services::chain(error) },
        }
    }
}
