//! Jobs in namespaces of this host, without a daemon.
//!
//! Invariants: the launcher gets an empty environment, no descriptor but its three, and the folder `/`; a job folder
//! has at most one agent (the launch log is locked until the launcher and what it started are through); `agent.json`
//! is written as soon as the agent is known, and an agent that came up while nobody wrote it down is taken over.

mod images;
mod launcher;

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tagline_protocol::{JobPaths, SandboxConfig, SandboxRoot, VERSION};
use tokio::time::{Instant, sleep};

use crate::environment::{Environment, merge};
use crate::error::ExecutorError;
use crate::folder::{AgentFile, JobFolder, Recorded};
use crate::launch::Launch;
use crate::link::{Greeting, greet};
use crate::process::Process;
use crate::registry::Registry;
use crate::{Found, Launched};

use images::Images;

/// The executor's name in `agent.json`.
const NAME: &str = "sandbox";

/// How long an earlier launcher of the same folder may take to end or to come up.
const EARLIER: Duration = Duration::from_secs(15);
/// How often it is asked.
const POLL: Duration = Duration::from_millis(10);

/// Runs jobs in sandboxes.
#[derive(Debug, Clone)]
pub struct Sandbox {
    environment: Environment,
    images: Images,
    plain_process: PlainProcess,
}

/// Which jobs may run as a plain process group where the kernel refuses namespaces. As an ordinary user's, such a job can
/// read all that the engine can, the store's key too. A job with an image never may: it has no root of its own then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PlainProcess {
    /// None.
    Never,
    /// Those without an environment.
    #[default]
    WithoutEnvironment,
    /// All.
    Always,
}

impl Sandbox {
    /// With the base environment of the steps, and the folder in which images of `container:` are kept unpacked.
    pub fn new(environment: Environment, image_cache: impl Into<PathBuf>) -> Self {
        let images = Images::new(image_cache.into(), Registry::of_user());
        Self { environment, images, plain_process: PlainProcess::default() }
    }

    /// Which jobs may go without isolation where the kernel gives none.
    #[must_use]
    pub fn plain_process(mut self, which: PlainProcess) -> Self {
        self.plain_process = which;
        self
    }

    /// GitHub's own places.
    pub(crate) fn paths(repository: &str) -> JobPaths {
        JobPaths {
            workspace: format!("/home/runner/work/{repository}/{repository}"),
            temp: "/home/runner/work/_temp".to_owned(),
            home: "/home/runner".to_owned(),
            tool_cache: "/opt/hostedtoolcache".to_owned(),
        }
    }

    pub(crate) async fn launch(&self, launch: &Launch) -> Result<Launched, ExecutorError> {
        launch.folder.create()?;
        if let Some(found) = recorded(launch)? {
            return Ok(found);
        }
        if !launch.limits.is_empty() {
            return Err(ExecutorError::Limits);
        }
        // Before the lock: an image may take its time.
        let config = self.config(launch).await?;
        let log = launch.folder.launch_log()?;
        if let Some(found) = wait_for_earlier(launch, &log).await? {
            return Ok(found);
        }
        launch.folder.forget_agent()?;
        let up = launcher::run(launch, &config, log).await.map_err(|error| self.advise(launch, error))?;
        record(launch, up.process, up.isolation)
    }

    async fn config(&self, launch: &Launch) -> Result<SandboxConfig, ExecutorError> {
        let (root, base) = self.root(launch).await?;
        let text = |path: &Path| path.to_string_lossy().into_owned();
        // An image brings its tools; the host's would not run on its libraries.
        let expose = match &launch.image {
            None => launch.expose.folders.as_slice(),
            Some(_) => &[],
        };
        Ok(SandboxConfig {
            version: VERSION,
            job_folder: text(launch.folder.path()),
            token: launch.token.clone(),
            root,
            expose: expose.iter().map(|path| text(path)).collect(),
            environment: merge([base, launch.environment.clone()]),
            paths: launch.paths.clone(),
            allow_plain_process: self.may_be_plain(launch),
        })
    }

    fn may_be_plain(&self, launch: &Launch) -> bool {
        let allowed = match self.plain_process {
            PlainProcess::Never => false,
            PlainProcess::WithoutEnvironment => !launch.has_environment,
            PlainProcess::Always => true,
        };
        allowed && launch.image.is_none()
    }

    /// A refusal of the kernel, with what of ours keeps the job from running all the same.
    fn advise(&self, launch: &Launch, error: ExecutorError) -> ExecutorError {
        let advice = match (self.plain_process, &launch.image) {
            (_, Some(_)) => "a job with an image cannot go without",
            (PlainProcess::Never, None) => "`plain-process = false` in runner.toml lets no job go without",
            _ => "a job with an environment goes without only with `plain-process = true` in runner.toml",
        };
        match error {
            ExecutorError::Refused { key, why } => ExecutorError::Refused { key, why: format!("{why}; {advice}") },
            other => other,
        }
    }

    /// The root file system and its base environment.
    async fn root(&self, launch: &Launch) -> Result<(SandboxRoot, Vec<(String, String)>), ExecutorError> {
        let Some(image) = &launch.image else {
            let environment = self.environment.for_host(&launch.expose);
            return Ok((SandboxRoot::Host, environment));
        };
        let rootfs = self.images.rootfs(image, launch.login.as_ref()).await?;
        let path = rootfs.path.to_string_lossy().into_owned();
        let environment = merge([self.environment.for_image(), rootfs.environment]);
        Ok((SandboxRoot::Folder { path }, environment))
    }

    pub(crate) fn find(folder: &JobFolder) -> Result<Found, ExecutorError> {
        let agent = match folder.recorded()? {
            Recorded::Never => return Ok(Found::Never),
            Recorded::Damaged => return Ok(Found::Dead),
            Recorded::Agent(agent) => ours(agent)?,
        };
        let found = if process(&agent).alive() { Found::Alive } else { Found::Dead };
        Ok(found)
    }

    /// Whether a process is the one that is written down.
    pub(crate) fn is_agent(folder: &JobFolder, process: u32) -> Result<bool, ExecutorError> {
        Ok(agent(folder)?.is_some_and(|agent| agent.pid == process))
    }

    pub(crate) async fn kill(folder: &JobFolder) -> Result<(), ExecutorError> {
        let Some(agent) = agent(folder)? else {
            return Ok(());
        };
        let process = process(&agent);
        let killed = if agent.isolation.iter().any(|space| space == "pid") {
            process.kill().await
        } else {
            process.kill_tree().await
        };
        killed.map_err(|source| ExecutorError::Kill { pid: agent.pid, source })
    }

    pub(crate) async fn clean(folder: &JobFolder) -> Result<(), ExecutorError> {
        Self::kill(folder).await?;
        Ok(folder.clean()?)
    }
}

/// The agent that is written down legibly.
fn agent(folder: &JobFolder) -> Result<Option<AgentFile>, ExecutorError> {
    match folder.recorded()? {
        Recorded::Agent(agent) => ours(agent).map(Some),
        Recorded::Never | Recorded::Damaged => Ok(None),
    }
}

fn ours(agent: AgentFile) -> Result<AgentFile, ExecutorError> {
    if agent.executor == NAME { Ok(agent) } else { Err(ExecutorError::Other { executor: agent.executor }) }
}

fn process(agent: &AgentFile) -> Process {
    Process { pid: agent.pid, start_time: agent.start_time }
}

/// The live agent that `agent.json` names.
fn recorded(launch: &Launch) -> Result<Option<Launched>, ExecutorError> {
    let Some(agent) = agent(&launch.folder)? else {
        return Ok(None);
    };
    if !process(&agent).alive() {
        return Ok(None);
    }
    if agent.token != launch.token {
        return Err(ExecutorError::Taken { key: launch.key.clone() });
    }
    Ok(Some(Launched { isolation: agent.isolation, new: false }))
}

/// Locks the launch log. While an earlier launcher or its agent holds it, the agent may come up: then it is the one.
async fn wait_for_earlier(launch: &Launch, log: &File) -> Result<Option<Launched>, ExecutorError> {
    let deadline = Instant::now() + EARLIER;
    loop {
        if let Some(greeting) = greet(&launch.folder, &launch.token).await.unwrap_or(None) {
            return adopt(launch, &greeting).map(Some);
        }
        match log.try_lock() {
            Ok(()) => return Ok(None),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => sleep(POLL).await,
            Err(TryLockError::WouldBlock) => {
                return Err(ExecutorError::Taken { key: launch.key.clone() });
            }
            // A file system without locks: nothing can be waited for.
            Err(TryLockError::Error(error)) => {
                tracing::debug!(%error, "the launch log cannot be locked");
                return Ok(None);
            }
        }
    }
}

/// Writes down an agent that answers to the token.
fn adopt(launch: &Launch, greeting: &Greeting) -> Result<Launched, ExecutorError> {
    let process = greeting.pid().and_then(Process::of);
    let process = process.ok_or_else(|| ExecutorError::Sandbox {
        key: launch.key.clone(),
        why: "its agent is no process of this host".to_owned(),
    })?;
    let isolation = crate::probe::namespaces(process.pid);
    Ok(Launched { new: false, ..record(launch, process, isolation)? })
}

fn record(launch: &Launch, process: Process, isolation: Vec<String>) -> Result<Launched, ExecutorError> {
    launch.folder.write_agent(&AgentFile {
        version: AgentFile::VERSION,
        executor: NAME.to_owned(),
        token: launch.token.clone(),
        pid: process.pid,
        start_time: process.start_time,
        container: None,
        isolation: isolation.clone(),
        user: None,
    })?;
    Ok(Launched { isolation, new: true })
}
