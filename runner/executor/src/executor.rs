//! One interface over the places a job can run in.

use tagline_protocol::{JobPaths, StepUser};

use crate::error::ExecutorError;
use crate::fake::Fake;
use crate::folder::JobFolder;
use crate::launch::Launch;
use crate::sandbox::Sandbox;

/// A place jobs run in.
#[derive(Debug, Clone)]
pub enum Executor {
    /// Namespaces of this host.
    Sandbox(Sandbox),
    /// Scripts, for tests.
    Fake(Fake),
}

/// An agent that listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launched {
    /// Active namespaces of a sandbox (`user`, `mount`, `pid`, `ipc`, `uts`; empty for a plain process), or
    /// `container`.
    pub isolation: Vec<String>,
    /// False when the agent was up already.
    pub new: bool,
}

/// What became of a job folder's agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// It runs, or is about to end by itself.
    Alive,
    /// It ran and has ended; its spool is complete as far as it will ever be.
    Dead,
    /// None was ever recorded. A launch with the same token takes over one that nobody wrote down.
    Never,
}

impl Executor {
    /// Brings the job's agent up: it listens when this returns. The same key, attempt and token again finds it; where
    /// it has died meanwhile another one starts in the same folder.
    pub async fn launch(&self, launch: &Launch) -> Result<Launched, ExecutorError> {
        match self {
            Self::Sandbox(sandbox) => sandbox.launch(launch).await,
            Self::Fake(fake) => fake.launch(launch),
        }
    }

    /// Whether the agent of a job folder lives.
    #[expect(clippy::unused_async, reason = "a container's daemon is asked")]
    pub async fn find(&self, folder: &JobFolder) -> Result<Found, ExecutorError> {
        match self {
            Self::Sandbox(_) => Sandbox::find(folder),
            Self::Fake(fake) => fake.find(folder),
        }
    }

    /// Ends the agent and every process of the job at once, and waits for their end.
    pub async fn kill(&self, folder: &JobFolder) -> Result<(), ExecutorError> {
        match self {
            Self::Sandbox(_) => Sandbox::kill(folder).await,
            Self::Fake(fake) => {
                fake.kill(folder).await;
                Ok(())
            }
        }
    }

    /// Ends what is left of the job and removes everything but its spool.
    pub async fn clean(&self, folder: &JobFolder) -> Result<(), ExecutorError> {
        match self {
            Self::Sandbox(_) => Sandbox::clean(folder).await,
            Self::Fake(fake) => fake.clean(folder).await,
        }
    }

    /// Where steps see their folders; `repository` is the name without its owner.
    pub fn paths(&self, repository: &str) -> JobPaths {
        match self {
            Self::Sandbox(_) => Sandbox::paths(repository),
            Self::Fake(_) => Fake::paths(repository),
        }
    }

    /// Who the steps run as, for the job's specification; none is the agent's own user.
    pub fn step_user(&self) -> Option<StepUser> {
        match self {
            Self::Sandbox(_) => Sandbox::step_user(),
            Self::Fake(_) => None,
        }
    }
}
