//! What engine and agent say to each other.
//!
//! Three channels, all JSON with one value a line:
//! - [`Command`]: engine to agent, over the job's control socket.
//! - [`Notice`]: agent to engine, over the same socket; wakes and requests only.
//! - [`Record`]: what happened in the job, appended by the agent to the job folder's `spool.jsonl` and synced at every
//!   step's end. It is the job's only record and its permanent log, so it survives both sides.
//!
//! Versions: [`VERSION`] is compared at `Hello`. A new optional field keeps the version; anything else raises it.

use std::time::Duration;

mod command;
mod job;
mod notice;
mod record;
mod sandbox;

pub use command::{Command, Reply};
pub use job::{Contexts, EnvLayer, JobPaths, JobSpec, StepAction, StepSpec, StepUser};
pub use notice::{AgentState, Notice, Request};
pub use record::{Annotation, AnnotationLevel, Conclusion, JobResult, Record, Stream};

pub use sandbox::{Launch, SandboxConfig, SandboxRoot};

/// The protocol's version.
pub const VERSION: u32 = 2;

/// How long at most an agent waits for a delivery that was told to end, so that the engine can go back first. The engine
/// keeps to the action's own limit, which is shorter; this one is for an engine that does not come back.
pub const DELIVERY_GRACE: Duration = Duration::from_hours(2);

/// Name of the spool in a job folder.
pub const SPOOL: &str = "spool.jsonl";
/// Name of the control socket in a job folder.
pub const SOCKET: &str = "control.sock";
/// Name of the file that says which process the agent is.
pub const AGENT_FILE: &str = "agent.json";
/// Folder of files from the engine, read-only to the job.
pub const INBOX: &str = "inbox";
/// Folder of files for the engine.
pub const OUTBOX: &str = "outbox";
