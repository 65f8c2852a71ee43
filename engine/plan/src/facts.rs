//! What the evaluation of a job may know of its run. Given by the caller, never looked up.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// How a finished job counts for the jobs after it (after `continue-on-error`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NeedResult {
    /// It succeeded, or its failure is tolerated.
    Success,
    /// It failed.
    Failure,
    /// It was cancelled.
    Cancelled,
    /// It did not run.
    Skipped,
}

impl NeedResult {
    /// GitHub's word, `needs.X.result`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Cancelled => "cancelled",
            Self::Skipped => "skipped",
        }
    }
}

/// A finished job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinishedJob {
    /// How it counts.
    pub result: NeedResult,
    /// Its outputs; of a matrix, the last leg to set one wins.
    pub outputs: IndexMap<String, String>,
}

/// The state of a run as its jobs' expressions see it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// The run's number: `github.run_id` and `github.run_number`.
    pub run: u64,
    /// `github.run_attempt`, from 1.
    pub attempt: u32,
    /// Someone cancelled the run: `cancelled()`.
    pub cancelled: bool,
    /// The jobs that have finished, by id.
    pub finished: BTreeMap<String, FinishedJob>,
}
