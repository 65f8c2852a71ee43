//! Lines of the spool. Steps are numbered from 0 in the job's order; post steps follow. Times are milliseconds since
//! the Unix epoch by the agent's clock and decide nothing.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// One line of the spool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// First line: the job was accepted.
    JobStarted {
        /// When.
        at: u64,
        /// The attempt, as in the specification.
        attempt: u32,
    },
    /// A step begins, or is skipped (then `StepFinished` follows at once).
    StepStarted {
        /// Which.
        step: u32,
        /// Its id.
        id: String,
        /// Its display name, evaluated.
        name: String,
        /// When.
        at: u64,
    },
    /// Output, masked, control sequences other than colours removed, without line ends.
    Log {
        /// Which step; none for the job itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step: Option<u32>,
        /// When the first of the lines came.
        at: u64,
        /// Where from.
        stream: Stream,
        /// Whole lines.
        lines: Vec<String>,
        /// The last line goes on in the next record (a line past 64 KiB).
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        open: bool,
    },
    /// `::error::`, `::warning::`, `::notice::`, or the agent's own.
    Annotation(Annotation),
    /// The text of GITHUB_STEP_SUMMARY, masked.
    Summary {
        /// Which step.
        step: u32,
        /// Markdown.
        text: String,
    },
    /// A step ended. Synced before the next step's result can be.
    StepFinished {
        /// Which.
        step: u32,
        /// Before `continue-on-error`.
        outcome: Conclusion,
        /// After it.
        conclusion: Conclusion,
        /// The process's exit code where it had one.
        exit_code: Option<i32>,
        /// Why it failed or was skipped, one sentence, else empty.
        why: String,
        /// When.
        at: u64,
    },
    /// The last line: nothing follows.
    JobFinished {
        /// What came of the job.
        result: JobResult,
        /// When.
        at: u64,
    },
}

/// Where a log line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// The step's standard output or error (one ordered stream, as on GitHub).
    Output,
    /// A line of the agent: the command run, the environment shown, a refusal.
    Agent,
    /// `::debug::`.
    Debug,
    /// `::group::`: the lines until `EndGroup` fold under this one.
    Group,
    /// `::endgroup::`.
    EndGroup,
}

/// Severity of an annotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnnotationLevel {
    /// `notice`.
    Notice,
    /// `warning`.
    Warning,
    /// `error`.
    Error,
}

/// A message about a place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Annotation {
    /// Which step.
    pub step: Option<u32>,
    /// Severity.
    pub level: AnnotationLevel,
    /// At most 4,096 characters.
    pub message: String,
    /// `title`, `file`, `line`, `endLine`, `col`, `endColumn` as given.
    pub properties: IndexMap<String, String>,
}

/// How a step or job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Conclusion {
    /// All well.
    Success,
    /// Failed.
    Failure,
    /// Ended by a cancel or a job's time limit.
    Cancelled,
    /// Not run, by its condition.
    Skipped,
}

impl Conclusion {
    /// GitHub's word, as in `needs.X.result`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Cancelled => "cancelled",
            Self::Skipped => "skipped",
        }
    }
}

/// What came of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobResult {
    /// How it ended.
    pub conclusion: Conclusion,
    /// Outputs, evaluated; one that would be masked is dropped, with a warning in the log.
    pub outputs: IndexMap<String, String>,
    /// `environment.url`, evaluated; empty when there is none.
    pub url: String,
    /// Why it failed, one sentence naming the step, else empty.
    pub why: String,
    /// It ended because its time limit passed.
    pub timed_out: bool,
}
