//! The sandbox: how a job comes to run in namespaces of its own, as nobody's child.
//!
//! Three processes of this program, each one thread until the last:
//! 1. the *launcher* ([`launcher`]), started by the executor: makes the job's folders, starts the second, maps its
//!    users, prints one [`Launch`](tagline_protocol::Launch) line and exits;
//! 2. the *gate* ([`gate`]): has its own session, leaves the namespaces, starts the third and exits;
//! 3. the *agent* ([`agent`]): process 1 of the pid namespace, and a child of the host's init from then on. It builds
//!    the root file system ([`root`]), moves into it and runs the job.
//!
//! Invariants: what a step may see is in [`root`] and nowhere else. Before the first step no descriptor but the
//! agent's own is open, the agent is not dumpable, and `no_new_privs` is set.

pub mod agent;
mod etc;
mod folders;
pub mod gate;
mod ids;
pub mod launcher;
mod mounts;
mod raw;
mod root;

pub use ids::STEP;
pub use raw::close_inherited;

use serde::{Deserialize, Serialize};
use tagline_protocol::SandboxConfig;

/// What the launcher hands to the agent, on its standard input.
#[derive(Debug, Serialize, Deserialize)]
struct Order {
    config: SandboxConfig,
    /// No namespaces: run on the host's own file system.
    plain: bool,
}

/// What gate and agent tell the launcher, one JSON line each, on their standard output.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    /// The gate has left the namespaces and waits for its users to be mapped.
    Unshared,
    /// The agent's process id as the host counts.
    Agent(u32),
    /// The agent listens.
    Listening,
    /// It cannot be.
    Failed(String),
}
