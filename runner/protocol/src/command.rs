//! Engine to agent.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::JobSpec;

/// One line from the engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// First line of every connection. The agent answers with `Notice::Hello`, or closes on a wrong version or token.
    Hello {
        /// [`crate::VERSION`] of the engine.
        version: u32,
        /// The attempt's secret; who does not know it is refused (fencing).
        token: String,
    },
    /// The job. Refused unless the agent is waiting for one, so a repeated `Start` does no harm.
    Start(Box<JobSpec>),
    /// Ends the job as GitHub does: the running step gets SIGINT, 7.5 s later SIGTERM, 2.5 s later its tree is killed;
    /// steps with `always()` or `cancelled()` still run, within five minutes in all.
    Cancel {
        /// Why, for the log: `cancelled by ana@example.com`, `timed out after 5m`.
        reason: String,
    },
    /// Ends the job now: every process but the agent is killed, the result is `cancelled`.
    Kill,
    /// The answer to `Notice::Request` of the same id.
    Reply {
        /// The request's id.
        id: u64,
        /// What came of it; the error is one sentence for the step's log.
        result: Result<Reply, String>,
    },
    /// What is said of a request that takes long, for the step's log. Answers nothing.
    Progress {
        /// The request's id.
        id: u64,
        /// Whole lines.
        lines: Vec<String>,
        /// Warnings, each a line of the log and an annotation.
        warnings: Vec<String>,
    },
}

/// What a request yields. Paths are names inside the job folder's inbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// A tar of the source tree with its `.git`.
    Source {
        /// File in the inbox.
        file: String,
        /// The commit, 40 hex digits.
        commit: String,
        /// The full ref, or the commit.
        reference: String,
    },
    /// The artifact is stored.
    Uploaded {
        /// Its number in the run, GitHub's `artifact-id`.
        id: u64,
        /// `sha256:` and 64 hex digits of its bytes.
        digest: String,
    },
    /// The artifacts asked for, each a tar in the inbox.
    Downloaded {
        /// Name and file, by name.
        artifacts: Vec<(String, String)>,
        /// What the pattern meets and the job may not have: a sentence for each, for the step's log.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        left_out: Vec<String>,
    },
    /// An image as an OCI layout folder in the inbox.
    Image {
        /// Folder in the inbox.
        layout: String,
        /// The manifest's digest.
        digest: String,
    },
    /// The image is in the registry.
    Pushed {
        /// `registry/name@sha256:…`.
        reference: String,
    },
    /// The delivery is done.
    Delivered {
        /// The step's outputs.
        outputs: IndexMap<String, String>,
    },
}
