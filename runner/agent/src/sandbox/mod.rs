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
//! agent's own is open, the agent is not dumpable, and `no_new_privs` is set. Isolation is left out only where the
//! kernel refuses it ([`Trouble::Refused`]) and the configuration allows that; every other trouble ends the launch.

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

use std::io;

use serde::{Deserialize, Serialize};
use tagline_protocol::SandboxConfig;

/// What the launcher hands to the agent, on its standard input.
#[derive(Debug, Serialize, Deserialize)]
struct Order {
    config: SandboxConfig,
    /// No namespaces: run on the host's own file system.
    plain: bool,
    /// Why there are none, for the job's log.
    #[serde(default)]
    refusal: String,
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
    /// The kernel refuses isolation to this user.
    Refused(String),
    /// It cannot be.
    Failed(String),
}

/// Why there is no sandbox.
#[derive(Debug)]
enum Trouble {
    /// The kernel gives this user no namespaces, or no right in its own ones. It would say the same of any job.
    Refused(String),
    /// Anything else, mostly of this very job.
    Failed(String),
}

impl From<String> for Trouble {
    fn from(why: String) -> Self {
        Self::Failed(why)
    }
}

impl From<Trouble> for Word {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Refused(why) => Self::Refused(why),
            Trouble::Failed(why) => Self::Failed(why),
        }
    }
}

/// What the kernel answered to the wish for isolation: its refusal, as a sentence without its end, unless the trouble
/// passes (no memory) or is ours (a process that is gone).
fn refused(what: &str, error: &io::Error) -> Trouble {
    if matches!(error.kind(), io::ErrorKind::OutOfMemory | io::ErrorKind::NotFound) {
        return Trouble::Failed(format!("the kernel gives no {what}: {error}"));
    }
    // What `unshare` says of a limit is misread.
    let error = match error.kind() {
        io::ErrorKind::StorageFull => "the limit of user.max_user_namespaces is reached".to_owned(),
        _ => error.to_string(),
    };
    Trouble::Refused(format!(
        "the kernel refuses {what} to this user ({error}); `tagline doctor` says what to allow, or use the docker runner"
    ))
}
