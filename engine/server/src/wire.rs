//! What commands say to the engine that serves their store, over its socket: JSON, one value a line.
//!
//! The socket lies in the store's folder, which only its owner may enter; whoever can connect could write the store too.
//!
//! Command and engine may be of different versions for a while: what is new in an answer may be missing, and a word that
//! is not known counts as none.

use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tagline_run::{Corrupt, Event, Fact, Input, Refusal, RunId};
use tagline_store::{StoreError, StoreFolder};

use crate::ledger::TellError;
use crate::vote::VoteError;

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
    Failed {
        why: String,
        /// What is wrong, so that it is told as it would be without an engine.
        #[serde(default)]
        trouble: Trouble,
    },
}

/// What kept an engine from doing what it was told.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Trouble {
    /// The disk is full.
    Full { store: PathBuf },
    /// There is no such run.
    NoRun { run: u64 },
    /// The run has moved on.
    Conflict { run: u64, expected: u64, found: u64 },
    /// What is stored is not what it was.
    Damaged { what: String, why: String },
    /// The signature of a vote does not fit.
    Signature { why: String },
    /// The journal makes no sense.
    Corrupt { number: u64, fact: String, why: String },
    /// Anything else.
    #[default]
    #[serde(other)]
    Other,
}

impl Trouble {
    fn of(error: &TellError) -> Self {
        match error {
            TellError::Store(StoreError::Full(store)) => Self::Full { store: store.clone() },
            TellError::Store(StoreError::NoRun(run)) => Self::NoRun { run: *run },
            TellError::Store(StoreError::Conflict { run, expected, found }) => {
                Self::Conflict { run: *run, expected: *expected, found: *found }
            }
            TellError::Store(StoreError::Damaged { what, why }) => {
                Self::Damaged { what: what.clone(), why: why.clone() }
            }
            TellError::Vote(VoteError::Signature(why)) => Self::Signature { why: why.clone() },
            TellError::Corrupt(Corrupt { number, fact, why }) => {
                Self::Corrupt { number: *number, fact: (*fact).to_owned(), why: why.clone() }
            }
            _ => Self::Other,
        }
    }

    /// The error it was in the engine. `why` is its text there.
    pub(crate) fn into_error(self, folder: &StoreFolder, why: String) -> TellError {
        match self {
            Self::Full { store } => StoreError::Full(store).into(),
            Self::NoRun { run } => StoreError::NoRun(run).into(),
            Self::Conflict { run, expected, found } => StoreError::Conflict { run, expected, found }.into(),
            Self::Damaged { what, why } => StoreError::Damaged { what, why }.into(),
            Self::Signature { why } => VoteError::Signature(why).into(),
            Self::Corrupt { number, fact, why } => {
                let fact = Fact::NAMES.iter().find(|name| **name == fact).copied().unwrap_or("none");
                Corrupt { number, fact, why }.into()
            }
            Self::Other => {
                let path = folder.socket();
                StoreError::Io { doing: "use the engine at", path, source: io::Error::other(why) }.into()
            }
        }
    }
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
            error => Self::Failed { why: crate::services::chain(error), trouble: Trouble::of(error) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a command is told of an engine's error.
    fn told(error: TellError) -> TellError {
        let line = serde_json::to_string(&Response::of(Err(error))).unwrap();
        match serde_json::from_str(&line).unwrap() {
            Response::Failed { why, trouble } => trouble.into_error(&StoreFolder::at("/store"), why),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_error_is_the_same_through_the_socket() {
        let corrupt = Corrupt { number: 4, fact: Fact::NAMES[0], why: "it is there twice".into() };
        let errors: Vec<fn(Corrupt) -> TellError> = vec![
            |_| StoreError::Full("/elsewhere".into()).into(),
            |_| StoreError::NoRun(7).into(),
            |_| StoreError::Conflict { run: 7, expected: 3, found: 4 }.into(),
            |_| StoreError::Damaged { what: "row 12".into(), why: "its hash does not fit".into() }.into(),
            |_| VoteError::Signature("it is not by the key".into()).into(),
            |corrupt| corrupt.into(),
        ];
        for make in errors {
            assert_eq!(format!("{:?}", told(make(corrupt.clone()))), format!("{:?}", make(corrupt.clone())));
        }
    }

    #[test]
    fn an_engine_of_another_version_is_understood() {
        for line in
            [r#"{"failed":{"why":"no"}}"#, r#"{"failed":{"why":"no","trouble":{"kind":"tired","of":"it"},"more":1}}"#]
        {
            let response: Response = serde_json::from_str(line).unwrap();
            assert_eq!(response, Response::Failed { why: "no".into(), trouble: Trouble::Other });
        }
    }
}
