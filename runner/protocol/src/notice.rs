//! Agent to engine, over the socket.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// One line from the agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Notice {
    /// Answer to the engine's `Hello`. Pending requests follow it again.
    Hello {
        /// [`crate::VERSION`] of the agent.
        version: u32,
        /// What the agent is doing.
        state: AgentState,
    },
    /// The spool is now this long. Coalesced, and dropped when the socket is full: a hint, never data.
    Grown {
        /// Bytes.
        bytes: u64,
    },
    /// The job needs something only the engine has. Sent again on every new connection until it is answered.
    Request {
        /// Number in the job, from 1.
        id: u64,
        /// What is asked.
        body: Request,
    },
    /// The step of a request is to end: the engine brings what it does for it to an orderly end and answers all the same.
    /// Sent again after the request on every new connection.
    Withdraw {
        /// The request's number.
        id: u64,
        /// Why, one sentence: `cancelled by ana@example.com`, `it ran longer than its limit of 5 min`.
        why: String,
    },
}

/// What an agent is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentState {
    /// No job yet; it ends by itself when none comes within a minute.
    Waiting,
    /// A job runs.
    Running,
    /// The result is in the spool.
    Finished,
}

/// A service of the engine. The engine decides what a job may have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// The source, for `actions/checkout`.
    Source {
        /// `owner/name`, or empty for the run's own repository.
        repository: String,
        /// A ref or commit, or empty for the run's own commit.
        reference: String,
        /// Commits of history; 0 is all.
        fetch_depth: u32,
        /// With all tags.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        fetch_tags: bool,
    },
    /// An artifact the agent has written to the outbox as a tar.
    Upload {
        /// The artifact's name.
        name: String,
        /// File in the outbox.
        file: String,
        /// `sha256:` and 64 hex digits; the engine hashes again.
        digest: String,
        /// Bytes.
        size: u64,
        /// Replaces one of that name made by this run.
        overwrite: bool,
        /// What the agent takes it for: `file`, `sbom`, `image`. Nothing follows from it: the engine looks for itself.
        kind: String,
    },
    /// Artifacts of this run.
    Download {
        /// Exact name; empty with `pattern` or for all.
        name: String,
        /// Glob over names.
        pattern: String,
    },
    /// A base image.
    Image {
        /// `registry/name:tag`, or with `@sha256:…`.
        reference: String,
    },
    /// Push an OCI layout from the outbox.
    Push {
        /// Folder in the outbox.
        layout: String,
        /// `registry/name:tag`.
        reference: String,
        /// The manifest's digest.
        digest: String,
    },
    /// Carry out a delivery action, or go on with it. The answer may take as long as the action does.
    Deliver {
        /// The step, from 0: one step delivers once.
        step: u32,
        /// As written: `tagline/deploy@v1`.
        uses: String,
        /// Inputs, evaluated.
        with: IndexMap<String, String>,
    },
}
