//! One interface over the places a job can run in.

use std::path::Path;

use tagline_protocol::{JobPaths, StepUser};

use crate::docker::{Docker, Orphan};
use crate::error::ExecutorError;
use crate::fake::Fake;
use crate::folder::JobFolder;
use crate::launch::Launch;
use crate::sandbox::Sandbox;

/// A place jobs run in. Clones share it.
#[derive(Debug, Clone)]
pub enum Executor {
    /// Namespaces of this host.
    Sandbox(Sandbox),
    /// Containers.
    Docker(Docker),
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
    /// No agent is recorded: none ever was, or the record was lost with the power or in a restored store, which the spool
    /// shows. A launch with the same token takes over one that nobody wrote down.
    Never,
}

impl Executor {
    /// Brings the job's agent up: it listens when this returns. The same key, attempt and token again finds it; where
    /// it has died meanwhile another one starts in the same folder.
    pub async fn launch(&self, launch: &Launch) -> Result<Launched, ExecutorError> {
        match self {
            Self::Sandbox(sandbox) => sandbox.launch(launch).await,
            Self::Docker(docker) => docker.launch(launch).await,
            Self::Fake(fake) => fake.launch(launch),
        }
    }

    /// Whether the agent of a job folder lives. An error says nothing about the job: with Docker, the daemon does not
    /// answer.
    pub async fn find(&self, folder: &JobFolder) -> Result<Found, ExecutorError> {
        match self {
            Self::Sandbox(_) => Sandbox::find(folder),
            Self::Docker(docker) => docker.find(folder).await,
            Self::Fake(fake) => fake.find(folder),
        }
    }

    /// Whether a process of this host, the one at the other end of the job's link, is the job's agent, as far as can be
    /// told.
    pub async fn is_agent(&self, folder: &JobFolder, process: u32) -> Result<bool, ExecutorError> {
        match self {
            Self::Sandbox(_) => Sandbox::is_agent(folder, process),
            Self::Docker(docker) => docker.is_agent(folder, process).await,
            Self::Fake(_) => Ok(Fake::is_agent(process)),
        }
    }

    /// Ends the agent and every process of the job at once, and waits for their end.
    pub async fn kill(&self, folder: &JobFolder) -> Result<(), ExecutorError> {
        match self {
            Self::Sandbox(_) => Sandbox::kill(folder).await,
            Self::Docker(docker) => docker.kill(folder).await,
            Self::Fake(fake) => {
                fake.kill(folder).await;
                Ok(())
            }
        }
    }

    /// Ends what is left of the job and removes everything but its spool. With Docker this takes a while: nothing need
    /// wait for it.
    pub async fn clean(&self, folder: &JobFolder) -> Result<(), ExecutorError> {
        match self {
            Self::Sandbox(_) => Sandbox::clean(folder).await,
            Self::Docker(docker) => docker.clean(folder).await,
            Self::Fake(fake) => fake.clean(folder).await,
        }
    }

    /// Containers of jobs whose folders lie below `store`, of live jobs too: the caller knows which are forgotten.
    pub async fn orphans(&self, store: &Path) -> Result<Vec<Orphan>, ExecutorError> {
        match self {
            Self::Docker(docker) => docker.orphans(store).await,
            Self::Sandbox(_) | Self::Fake(_) => Ok(Vec::new()),
        }
    }

    /// Removes a forgotten container.
    pub async fn remove(&self, orphan: &Orphan) -> Result<(), ExecutorError> {
        match self {
            Self::Docker(docker) => docker.remove(orphan).await,
            Self::Sandbox(_) | Self::Fake(_) => Ok(()),
        }
    }

    /// Where steps see their folders; `repository` with or without its owner.
    pub fn paths(&self, repository: &str) -> JobPaths {
        let name = folder_name(repository);
        match self {
            Self::Sandbox(_) | Self::Fake(_) => Sandbox::paths(&name),
            Self::Docker(_) => Docker::paths(&name),
        }
    }

    /// Who the steps of a launched job run as, for its specification; none is left to the agent, which in a sandbox that
    /// root started takes an unprivileged user.
    pub fn step_user(&self, folder: &JobFolder) -> Result<Option<StepUser>, ExecutorError> {
        Ok(folder.agent()?.and_then(|agent| agent.user))
    }
}

/// The repository's name as a folder's: what it is called may come from anywhere.
fn folder_name(repository: &str) -> String {
    let last = repository.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    let name: String = last.chars().map(|letter| if plain(letter) { letter } else { '-' }).take(100).collect();
    if name.trim_matches('.').is_empty() { "repository".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repositorys_name_is_one_plain_folder() {
        for (repository, folder) in [
            ("shop", "shop"),
            ("village/shop", "shop"),
            ("shop/", "shop"),
            ("..", "repository"),
            ("a/..", "repository"),
            ("", "repository"),
            ("my shop:x,y", "my-shop-x-y"),
        ] {
            assert_eq!(folder_name(repository), folder);
        }
    }
}
