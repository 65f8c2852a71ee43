//! One container per job, with the agent as its first process.
//!
//! Invariants: a container is found again by its id in `agent.json`, which is written before it starts, else by its
//! labels; it is removed by `clean`, never by the daemon, so that how it ended can still be told; the daemon is not asked
//! anything before a job needs it, for its first answer takes it a while.

mod create;
mod daemon;
mod user;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tagline_protocol::{JobPaths, StepUser};
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep};

use crate::environment::Environment;
use crate::error::ExecutorError;
use crate::folder::{AgentFile, JobFolder, Recorded};
use crate::launch::{ImageRef, Key, Launch};
use crate::link::greet;
use crate::registry::Credentials;
use crate::{Found, Launched};

use create::{Plan, plan};
use daemon::{Container, Created, Daemon, ROOT};

/// The executor's name in `agent.json`.
const NAME: &str = "docker";

/// The image of jobs without `container:` where `image` in the runner's configuration names no other.
pub const DEFAULT_IMAGE: &str = "debian:bookworm-slim";

/// A container that is not up by then will not be.
const PATIENCE: Duration = Duration::from_mins(1);
/// How often a starting agent is called. Its socket costs microseconds to try and the daemon is not asked.
const CALL: Duration = Duration::from_millis(1);
/// How often the daemon is asked whether a container that does not answer still runs.
const LOOK: Duration = Duration::from_millis(500);

/// Runs jobs in containers.
#[derive(Debug, Clone)]
pub struct Docker {
    daemon: Arc<OnceCell<Daemon>>,
    environment: Environment,
    image: String,
    credentials: Credentials,
}

/// A container of a job that an engine may have forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orphan {
    /// The container's id.
    pub container: String,
    /// Which job it says it is of.
    pub key: Key,
    /// The job's folder on the host.
    pub folder: PathBuf,
    /// Whether it runs.
    pub running: bool,
}

impl Docker {
    /// Connects to the daemon: `DOCKER_HOST`, else Docker's socket, else Podman's. `image` is for jobs without
    /// `container:`.
    pub async fn connect(environment: Environment, image: Option<String>) -> Result<Self, ExecutorError> {
        let docker = Self::new(environment, image);
        docker.daemon().await?;
        Ok(docker)
    }

    /// The same where a daemon listens, connected when a job first needs it.
    pub async fn on_demand(environment: Environment, image: Option<String>) -> Result<Self, ExecutorError> {
        if Daemon::listens() { Ok(Self::new(environment, image)) } else { Self::connect(environment, image).await }
    }

    /// The same where no daemon answers yet: each use asks for it again until one does.
    pub fn later(environment: Environment, image: Option<String>) -> Self {
        Self::new(environment, image)
    }

    fn new(environment: Environment, image: Option<String>) -> Self {
        Self {
            daemon: Arc::default(),
            environment,
            image: image.unwrap_or_else(|| DEFAULT_IMAGE.to_owned()),
            credentials: Credentials::of_user(),
        }
    }

    async fn daemon(&self) -> Result<&Daemon, ExecutorError> {
        self.daemon.get_or_try_init(Daemon::connect).await
    }

    /// The daemon's version.
    pub async fn version(&self) -> Result<String, ExecutorError> {
        self.daemon().await?.version().await
    }

    /// GitHub's own places in containers.
    pub(crate) fn paths(repository: &str) -> JobPaths {
        JobPaths {
            workspace: format!("/__w/{repository}/{repository}"),
            temp: "/__w/_temp".to_owned(),
            home: "/github/home".to_owned(),
            tool_cache: "/__t".to_owned(),
        }
    }

    async fn plan(&self, launch: &Launch) -> Result<Plan, ExecutorError> {
        let image = match &launch.image {
            None => &self.image,
            Some(ImageRef::Reference(name)) => name,
            Some(image @ ImageRef::Layout(_)) => {
                return Err(ExecutorError::Image {
                    image: image.clone(),
                    why: "Docker takes images from registries; the sandbox runs a layout".to_owned(),
                });
            }
        };
        Ok(plan(launch, image, self.daemon().await?.user(), self.environment.for_image()))
    }

    pub(crate) async fn launch(&self, launch: &Launch) -> Result<Launched, ExecutorError> {
        launch.folder.create()?;
        // Another launch of the same folder goes first; then it is found.
        let _lock = launch.folder.lock().await?;
        if let Some(found) = self.recorded(launch).await? {
            return Ok(found);
        }
        let asked = user::asked(launch, self.daemon().await?.user())?;
        let plan = self.plan(launch).await?;
        let container = self.make(launch, &plan).await?;
        let user = match asked {
            None => self.image_user(launch, &plan, &container.id).await?,
            asked => asked,
        };
        if container.running {
            record(launch, &container.id, user)?;
            self.listening(launch, &container.id).await?;
            return Ok(launched(false));
        }
        if let Some(user) = user {
            launch.folder.give_to(user)?;
        }
        launch.folder.forget_agent()?;
        record(launch, &container.id, user)?;
        self.start(launch, &container.id).await?;
        Ok(launched(true))
    }

    /// Who the steps run as where the options do not say: as the job's image does. An agent that is not root can become
    /// nobody else, and the runner's own image is not the job's choice.
    async fn image_user(
        &self,
        launch: &Launch,
        plan: &Plan,
        container: &str,
    ) -> Result<Option<StepUser>, ExecutorError> {
        let daemon = self.daemon().await?;
        let image = plan.body.image.as_deref().filter(|_| launch.image.is_some() && daemon.user() == ROOT);
        match image {
            Some(image) => user::of_image(daemon, image, container).await,
            None => Ok(None),
        }
    }

    /// The container that `agent.json` names, if it runs.
    async fn recorded(&self, launch: &Launch) -> Result<Option<Launched>, ExecutorError> {
        let Some(agent) = agent(&launch.folder)? else {
            return Ok(None);
        };
        let id = agent.container.unwrap_or_default();
        let running = self.daemon().await?.inspect(&id).await?.is_some_and(|container| container.running);
        if !running {
            return Ok(None);
        }
        if agent.token != launch.token {
            return Err(ExecutorError::Taken { key: launch.key.clone() });
        }
        self.listening(launch, &id).await?;
        Ok(Some(launched(false)))
    }

    /// The container of a plan: a new one, or one of the same definition that runs or was never started.
    async fn make(&self, launch: &Launch, plan: &Plan) -> Result<Container, ExecutorError> {
        let image = plan.body.image.as_deref().unwrap_or_default();
        let mut pulled = false;
        loop {
            match self.daemon().await?.create(&plan.name, plan.body.clone()).await? {
                Created::Id(id) => {
                    return Ok(Container { id, running: false, fresh: true, pid: 0, spec: Some(plan.spec.clone()) });
                }
                Created::NoImage if !pulled => {
                    let credentials = self.credentials.or_given(launch.login.as_ref());
                    self.daemon().await?.pull(image, &credentials).await?;
                    pulled = true;
                }
                Created::NoImage => {
                    return Err(ExecutorError::Image {
                        image: ImageRef::Reference(image.to_owned()),
                        why: "it was pulled, but Docker does not find it".to_owned(),
                    });
                }
                Created::Taken => {
                    let Some(found) = self.daemon().await?.inspect(&plan.name).await? else {
                        continue;
                    };
                    if found.spec.as_ref() == Some(&plan.spec) && (found.running || found.fresh) {
                        return Ok(found);
                    }
                    self.daemon().await?.remove(&found.id).await?;
                }
            }
        }
    }

    /// Starts a container; the agent may listen before the daemon has said that it started.
    async fn start(&self, launch: &Launch, id: &str) -> Result<(), ExecutorError> {
        let (daemon, name) = (self.daemon().await?.clone(), id.to_owned());
        // A task of its own: a dropped request might stop the container half-way.
        let mut started = tokio::spawn(async move { daemon.start(&name).await });
        tokio::select! {
            biased;
            listening = self.listening(launch, id) => listening,
            started = &mut started => {
                started.map_err(|error| docker("start a container", &error.to_string()))??;
                self.listening(launch, id).await
            }
        }
    }

    /// Waits until the agent listens, or its container has ended.
    async fn listening(&self, launch: &Launch, id: &str) -> Result<(), ExecutorError> {
        let begin = Instant::now();
        let mut look = begin + LOOK;
        loop {
            let answer = greet(&launch.folder, &launch.token).await;
            if let Ok(Some(_)) = answer {
                return Ok(());
            }
            let now = Instant::now();
            if now >= look {
                look = now + LOOK;
                let found = self.daemon().await?.inspect(id).await?;
                let key = launch.key.clone();
                if found.is_none_or(|container| !container.running && !container.fresh) {
                    return Err(ExecutorError::Ended { key, why: self.daemon().await?.epitaph(id).await });
                }
                if now > begin + PATIENCE {
                    let said = answer.err().map_or_else(String::new, |error| format!(": {error}"));
                    return Err(ExecutorError::Slow { key, seconds: PATIENCE.as_secs(), said });
                }
            }
            sleep(CALL).await;
        }
    }

    pub(crate) async fn find(&self, folder: &JobFolder) -> Result<Found, ExecutorError> {
        let agent = match folder.recorded()? {
            Recorded::Never => return Ok(Found::Never),
            Recorded::Damaged => return Ok(Found::Dead),
            Recorded::Agent(agent) => ours(agent)?,
        };
        let container = self.daemon().await?.inspect(&agent.container.unwrap_or_default()).await?;
        let alive = container.is_some_and(|container| container.running);
        Ok(if alive { Found::Alive } else { Found::Dead })
    }

    /// Whether a process of this host is the first one of the job's container. The daemon is asked, not the folder, which
    /// is in reach of the container. Where it does not tell, as with a daemon that counts for itself, any will do.
    pub(crate) async fn is_agent(&self, folder: &JobFolder, process: u32) -> Result<bool, ExecutorError> {
        let Some(id) = self.containers(folder).await?.into_iter().next() else { return Ok(false) };
        let found = self.daemon().await?.inspect(&id).await?;
        let is_first = |container: Container| container.running && [0, process].contains(&container.pid);
        Ok(found.is_some_and(is_first))
    }

    /// The containers of a job folder, by its label: what is written down in the folder a step could have changed, and then
    /// another job's container would be ended.
    async fn containers(&self, folder: &JobFolder) -> Result<Vec<String>, ExecutorError> {
        let listed = self.daemon().await?.list(Some(folder.path())).await?;
        Ok(listed.into_iter().filter_map(|container| container.id).collect())
    }

    pub(crate) async fn kill(&self, folder: &JobFolder) -> Result<(), ExecutorError> {
        for id in self.containers(folder).await? {
            self.daemon().await?.kill(&id).await?;
        }
        Ok(())
    }

    pub(crate) async fn clean(&self, folder: &JobFolder) -> Result<(), ExecutorError> {
        for id in self.containers(folder).await? {
            self.daemon().await?.remove(&id).await?;
        }
        Ok(folder.clean()?)
    }

    /// Every container whose job folder lies below `store`.
    pub(crate) async fn orphans(&self, store: &Path) -> Result<Vec<Orphan>, ExecutorError> {
        let listed = self.daemon().await?.list(None).await?;
        let orphans = listed.into_iter().filter_map(|container| {
            let labels = container.labels.unwrap_or_default();
            let label = |name: &str| labels.get(&format!("tagline.{name}")).map(String::as_str);
            let folder = PathBuf::from(label("folder")?);
            if !folder.starts_with(store) {
                return None;
            }
            Some(Orphan {
                container: container.id?,
                key: Key {
                    run: label("run")?.parse().ok()?,
                    job: label("job")?.to_owned(),
                    leg: label("leg")?.parse().ok()?,
                    attempt: label("attempt")?.parse().ok()?,
                },
                folder,
                running: container.state.is_some_and(|state| state.to_string() == "running"),
            })
        });
        Ok(orphans.collect())
    }

    pub(crate) async fn remove(&self, orphan: &Orphan) -> Result<(), ExecutorError> {
        self.daemon().await?.remove(&orphan.container).await
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

fn record(launch: &Launch, id: &str, user: Option<StepUser>) -> Result<(), ExecutorError> {
    Ok(launch.folder.write_agent(&AgentFile {
        version: AgentFile::VERSION,
        executor: NAME.to_owned(),
        token: launch.token.clone(),
        pid: 0,
        start_time: 0,
        container: Some(id.to_owned()),
        isolation: vec!["container".to_owned()],
        user,
    })?)
}

fn launched(new: bool) -> Launched {
    Launched { isolation: vec!["container".to_owned()], new }
}

fn docker(action: &'static str, why: &str) -> ExecutorError {
    ExecutorError::Docker { action, why: why.to_owned() }
}
