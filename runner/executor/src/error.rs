//! Why a job could not be launched, found, killed or cleaned up.

use std::io;
use std::path::PathBuf;

use crate::folder::FolderError;
use crate::launch::{ImageRef, Key};

/// What an executor answers when it cannot.
#[derive(Debug, thiserror::Error)]
pub enum ExecutorError {
    /// The job's folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The agent's program does not start.
    #[error("cannot start the agent {path}: {source}", path = path.display())]
    Agent {
        /// The program.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The sandbox could not be made.
    #[error("job {key} cannot start in the sandbox: {why}")]
    Sandbox {
        /// Which job.
        key: Key,
        /// In the launcher's words.
        why: String,
    },
    /// The kernel gives no isolation, and the job may not go without.
    #[error("job {key} cannot start in the sandbox: {why}")]
    Refused {
        /// Which job.
        key: Key,
        /// The kernel's refusal, and what would let the job run all the same.
        why: String,
    },
    /// The agent did not come up in time.
    #[error("the agent of job {key} did not answer within {seconds} s{said}")]
    Slow {
        /// Which job.
        key: Key,
        /// How long was waited.
        seconds: u64,
        /// What it said meanwhile, if anything.
        said: String,
    },
    /// Its container ended before the agent answered.
    #[error("the agent of job {key} did not come up: {why}")]
    Ended {
        /// Which job.
        key: Key,
        /// How it ended and what it said.
        why: String,
    },
    /// The folder is in use by an agent with another token.
    #[error("job {key} is run by an agent of another start; `tagline cancel` ends it")]
    Taken {
        /// Which job.
        key: Key,
    },
    /// The agent was started by another executor.
    #[error("this job runs with `--runner {executor}`; use that runner again")]
    Other {
        /// Which one.
        executor: String,
    },
    /// A process could not be signalled.
    #[error("cannot end the agent, process {pid}: {source}")]
    Kill {
        /// Which.
        pid: u32,
        /// Why.
        source: io::Error,
    },
    /// The image for a job could not be had.
    #[error("cannot use the image {image}: {why}")]
    Image {
        /// Which.
        image: ImageRef,
        /// Why not, in the daemon's or the registry's words.
        why: String,
    },
    /// The sandbox holds no limits.
    #[error("the sandbox carries out no `container.options`; use `--runner docker`, or remove them")]
    Limits,
    /// `container.options` ask for a user that the job's agent cannot become.
    #[error(
        "job {key} cannot have the container's `options: --user {wanted}`: its agent runs as {agent}, because the engine \
         is an ordinary user beside a daemon of the whole machine; remove `--user`, or use a rootless daemon or the sandbox"
    )]
    User {
        /// Which job.
        key: Key,
        /// `UID:GID` asked for.
        wanted: String,
        /// `UID:GID` of the agent.
        agent: String,
    },
    /// The `container` of the job cannot be carried out as it came out.
    #[error("job {key} cannot have its container: {why}")]
    Container {
        /// Which job.
        key: Key,
        /// Which key, where, and what is wrong with it.
        why: String,
    },
    /// The container daemon.
    #[error("Docker cannot {action}: {why}; `tagline doctor` says what is there")]
    Docker {
        /// What was tried.
        action: &'static str,
        /// In the daemon's words.
        why: String,
    },
    /// The script of a fake says so.
    #[error("{0}")]
    Fake(String),
}

impl ExecutorError {
    /// Whether the executor itself is out of reach: then the error says nothing about a job.
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Docker { .. } | Self::Fake(_))
    }

    /// Whether a second try may end otherwise: not where the job itself asks for what cannot be had.
    pub fn is_retryable(&self) -> bool {
        !matches!(
            self,
            Self::Limits | Self::Taken { .. } | Self::Refused { .. } | Self::User { .. } | Self::Container { .. }
        )
    }
}

/// An error with its causes: a refused connection is the last of them.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
