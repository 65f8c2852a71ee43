//! The container daemon: Docker's, or Podman's where only that is there.

use std::collections::HashMap;
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::path::Path;

use bollard::Docker as Client;
use bollard::auth::DockerCredentials;
use bollard::errors::Error;
use bollard::models::{ContainerCreateBody, ContainerState, ContainerSummary};
use bollard::query_parameters::{
    CreateContainerOptions, CreateImageOptions, DownloadFromContainerOptions, KillContainerOptions,
    ListContainersOptions, LogsOptions, RemoveContainerOptions, WaitContainerOptions,
};
use futures_util::StreamExt;
use oci_client::Reference;

use crate::error::ExecutorError;
use crate::launch::ImageRef;
use crate::registry::{Credentials, Login};

/// The label every container of ours has.
const OURS: &str = "tagline.run";
/// Lines of a container's output that help to understand its end.
const LINES: &str = "20";

/// Root's numbers.
pub(super) const ROOT: &str = "0:0";
/// More of a file of a container is not read.
const LARGEST: usize = 1024 * 1024;

/// A daemon that answered.
#[derive(Debug, Clone)]
pub(super) struct Daemon {
    client: Client,
    /// Who an agent is in its container: root, unless that would leave this user with files it cannot remove.
    user: String,
}

/// A container as far as it matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Container {
    pub(super) id: String,
    pub(super) running: bool,
    /// Made, never started.
    pub(super) fresh: bool,
    /// Its first process, as the daemon's host counts; 0 where it does not tell.
    pub(super) pid: u32,
    pub(super) spec: Option<String>,
}

/// What a request to make a container came to.
pub(super) enum Created {
    Id(String),
    /// The name is taken.
    Taken,
    /// The image is not there.
    NoImage,
}

/// Docker's socket, where `DOCKER_HOST` names no other place.
const DOCKER: &str = "/var/run/docker.sock";

impl Daemon {
    /// Whether somebody listens on Docker's usual socket. Of any other place only an answer can tell.
    pub(super) fn listens() -> bool {
        std::env::var_os("DOCKER_HOST").is_none() && UnixStream::connect(DOCKER).is_ok()
    }

    /// Connects: `DOCKER_HOST`, else Docker's socket, else Podman's.
    pub(super) async fn connect() -> Result<Self, ExecutorError> {
        let host = std::env::var_os("DOCKER_HOST").is_some();
        let docker = Path::new(DOCKER).exists();
        let client =
            if host || docker { Client::connect_with_defaults() } else { Client::connect_with_podman_defaults() };
        let client = client.map_err(|error| failed("be reached", &error))?;
        // An old daemon silently ignores what a newer one knows.
        let client = client.negotiate_version().await;
        let client = client.map_err(|error| failed("be reached", &error))?;
        let user = user(&client).await?;
        Ok(Self { client, user })
    }

    /// `UID:GID` of agents.
    pub(super) fn user(&self) -> &str {
        &self.user
    }

    /// Its version, for people.
    pub(super) async fn version(&self) -> Result<String, ExecutorError> {
        let version = self.client.version().await.map_err(|error| failed("tell its version", &error))?;
        Ok(version.version.unwrap_or_default())
    }

    pub(super) async fn create(&self, name: &str, body: ContainerCreateBody) -> Result<Created, ExecutorError> {
        let options = CreateContainerOptions { name: Some(name.to_owned()), ..Default::default() };
        match self.client.create_container(Some(options), body).await {
            Ok(made) => Ok(Created::Id(made.id)),
            Err(error) => match status(&error) {
                Some(409) => Ok(Created::Taken),
                Some(404) => Ok(Created::NoImage),
                _ => Err(failed("make a container", &error)),
            },
        }
    }

    pub(super) async fn start(&self, id: &str) -> Result<(), ExecutorError> {
        match self.client.start_container(id, None).await {
            Ok(()) => Ok(()),
            // It runs already.
            Err(error) if status(&error) == Some(304) => Ok(()),
            Err(error) => Err(failed("start a container", &error)),
        }
    }

    /// The container of that id or name.
    pub(super) async fn inspect(&self, id: &str) -> Result<Option<Container>, ExecutorError> {
        match self.client.inspect_container(id, None).await {
            Ok(found) => {
                let state = found.state.unwrap_or_default();
                let labels = found.config.and_then(|config| config.labels).unwrap_or_default();
                Ok(Some(Container {
                    id: found.id.unwrap_or_default(),
                    running: state.running.unwrap_or_default(),
                    fresh: is_fresh(&state),
                    pid: state.pid.and_then(|pid| u32::try_from(pid).ok()).unwrap_or_default(),
                    spec: labels.get("tagline.spec").cloned(),
                }))
            }
            Err(error) if status(&error) == Some(404) => Ok(None),
            Err(error) => Err(failed("look at a container", &error)),
        }
    }

    /// `USER` of an image that is here, as written; none where it has none.
    pub(super) async fn image_user(&self, image: &str) -> Result<Option<String>, ExecutorError> {
        let found = self.client.inspect_image(image).await.map_err(|error| failed("look at an image", &error))?;
        Ok(found.config.and_then(|config| config.user).filter(|user| !user.is_empty()))
    }

    /// A small file of a container, which need not run; empty where it has none.
    pub(super) async fn file_of(&self, id: &str, path: &str) -> Result<String, ExecutorError> {
        let options = DownloadFromContainerOptions { path: path.to_owned() };
        let mut archive = Vec::new();
        let mut pieces = std::pin::pin!(self.client.download_from_container(id, Some(options)));
        while let Some(piece) = pieces.next().await {
            match piece {
                Ok(_) if archive.len() > LARGEST => break,
                Ok(piece) => archive.extend_from_slice(&piece),
                Err(error) if status(&error) == Some(404) => return Ok(String::new()),
                Err(error) => return Err(failed("read a file of a container", &error)),
            }
        }
        let mut text = Vec::new();
        let mut archive = tar::Archive::new(archive.as_slice());
        let entry = archive.entries().ok().and_then(|mut entries| entries.next()?.ok());
        // A torn or odd archive has no file to read: then a name in it is not found, which is said.
        let _ = entry.map(|mut entry| entry.read_to_end(&mut text));
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// Kills a container and waits until it has ended.
    pub(super) async fn kill(&self, id: &str) -> Result<(), ExecutorError> {
        let options = KillContainerOptions { signal: "SIGKILL".to_owned() };
        match self.client.kill_container(id, Some(options)).await {
            Ok(()) => {}
            // Not there, or not running.
            Err(error) if matches!(status(&error), Some(404 | 409)) => return Ok(()),
            Err(error) => return Err(failed("kill a container", &error)),
        }
        let options = WaitContainerOptions { condition: "not-running".to_owned() };
        let mut ends = std::pin::pin!(self.client.wait_container(id, Some(options)));
        match ends.next().await {
            // The exit code of a killed container comes as an error.
            None | Some(Ok(_) | Err(Error::DockerContainerWaitError { .. })) => Ok(()),
            Some(Err(error)) if status(&error) == Some(404) => Ok(()),
            Some(Err(error)) => Err(failed("wait for a container", &error)),
        }
    }

    /// Removes a container with its anonymous volumes, whatever it is doing.
    pub(super) async fn remove(&self, id: &str) -> Result<(), ExecutorError> {
        let options = RemoveContainerOptions { force: true, v: true, ..Default::default() };
        match self.client.remove_container(id, Some(options)).await {
            Ok(()) => Ok(()),
            // Not there, or being removed.
            Err(error) if matches!(status(&error), Some(404 | 409)) => Ok(()),
            Err(error) => Err(failed("remove a container", &error)),
        }
    }

    /// Containers of ours, running or not; only those of one job folder where it is given.
    pub(super) async fn list(&self, folder: Option<&Path>) -> Result<Vec<ContainerSummary>, ExecutorError> {
        let mut labels = vec![OURS.to_owned()];
        labels.extend(folder.map(|folder| format!("tagline.folder={}", folder.display())));
        let filters = HashMap::from([("label".to_owned(), labels)]);
        let options = ListContainersOptions { all: true, filters: Some(filters), ..Default::default() };
        let listed = self.client.list_containers(Some(options)).await;
        listed.map_err(|error| failed("list containers", &error))
    }

    /// How a container ended, as the end of a sentence.
    pub(super) async fn epitaph(&self, id: &str) -> String {
        let mut text = match self.client.inspect_container(id, None).await {
            Ok(found) => how(&found.state.unwrap_or_default()),
            Err(_) => "its container is gone".to_owned(),
        };
        let options = LogsOptions { stdout: true, stderr: true, tail: LINES.to_owned(), ..Default::default() };
        let mut logs = std::pin::pin!(self.client.logs(id, Some(options)));
        while let Some(Ok(piece)) = logs.next().await {
            text.push_str("; ");
            text.push_str(String::from_utf8_lossy(&piece.into_bytes()).trim());
        }
        text
    }

    /// Pulls an image.
    pub(super) async fn pull(&self, image: &str, credentials: &Credentials) -> Result<(), ExecutorError> {
        let wrap = |why: String| ExecutorError::Image { image: ImageRef::Reference(image.to_owned()), why };
        let reference: Reference = image.parse().map_err(|error| wrap(format!("{error}")))?;
        let found = credentials.find(reference.resolve_registry()).await;
        let login = found.map_err(|error| wrap(error.to_string()))?.map(|login| in_daemons_words(login, &reference));
        // The full name: without a tag every tag would be pulled.
        let options = CreateImageOptions { from_image: Some(reference.whole()), ..Default::default() };
        let mut answers = std::pin::pin!(self.client.create_image(Some(options), None, login));
        while let Some(answer) = answers.next().await {
            let told = answer.map_err(|error| wrap(words(&error)))?;
            if let Some(message) = told.error_detail.and_then(|detail| detail.message) {
                return Err(wrap(message));
            }
        }
        Ok(())
    }
}

/// Root is GitHub's user in containers. An ordinary user with a daemon of the whole machine could neither reach the
/// control socket nor remove the files of such a job, so there the agent is that user, without root's rights. In a
/// rootless daemon root is the ordinary user.
async fn user(client: &Client) -> Result<String, ExecutorError> {
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    if uid.is_root() {
        return Ok(ROOT.to_owned());
    }
    let info = client.info().await.map_err(|error| failed("tell about itself", &error))?;
    let rootless = info.security_options.unwrap_or_default().iter().any(|option| option.contains("rootless"));
    Ok(if rootless { ROOT.to_owned() } else { format!("{}:{}", uid.as_raw(), gid.as_raw()) })
}

/// A login as the daemon takes it; identity tokens it exchanges itself.
fn in_daemons_words(login: Login, reference: &Reference) -> DockerCredentials {
    let serveraddress = Some(reference.resolve_registry().to_owned());
    match login {
        Login::Identity(token) => DockerCredentials { identitytoken: Some(token), serveraddress, ..Default::default() },
        Login::Password { user, password } => {
            DockerCredentials { username: Some(user), password: Some(password), serveraddress, ..Default::default() }
        }
    }
}

fn is_fresh(state: &ContainerState) -> bool {
    state.status.is_some_and(|status| status == bollard::models::ContainerStateStatusEnum::CREATED)
}

fn how(state: &ContainerState) -> String {
    let code = state.exit_code.unwrap_or_default();
    let mut text = if state.oom_killed.unwrap_or_default() {
        "its container ran out of memory".to_owned()
    } else {
        format!("its container ended with exit code {code}")
    };
    if let Some(error) = state.error.as_ref().filter(|error| !error.is_empty()) {
        text.push_str(": ");
        text.push_str(error);
    }
    text
}

fn status(error: &Error) -> Option<u16> {
    match error {
        Error::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

/// What the daemon said, without the client's wrapping.
fn words(error: &Error) -> String {
    match error {
        Error::DockerResponseServerError { message, .. } => message.trim().to_owned(),
        Error::DockerStreamError { error } => error.clone(),
        other => crate::error::chain(other),
    }
}

fn failed(action: &'static str, error: &Error) -> ExecutorError {
    ExecutorError::Docker { action, why: words(error) }
}
