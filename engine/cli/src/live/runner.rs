//! The runner of this machine: its configuration, and the engine that is started with it.
//!
//! `runner.yml` stands in the store's folder, else in `$XDG_CONFIG_HOME/tagline`:
//!
//! ```yaml
//! expose: [ ~/.cargo/bin, ~/.rustup ]   # folders jobs in the sandbox may read
//! max-jobs: 4                           # at the same time
//! image: debian:bookworm-slim           # for jobs in Docker that name none
//! ```

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use tagline_executor::{Docker, Environment, Executor, Exposure, Sandbox};
use tagline_server::{Engine, EngineConfig, Executors, Faults};
use tagline_store::{StoreError, StoreFolder};

use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;

/// The file's name.
pub(crate) const FILE: &str = "runner.yml";
/// A lock that a passing command holds is free again within this.
const PATIENCE: Duration = Duration::from_millis(600);
const AGAIN: Duration = Duration::from_millis(40);
/// A daemon that does not answer within this is not there.
const DOCKER: Duration = Duration::from_secs(3);

/// The runner's configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct RunnerFile {
    /// Folders of this machine that jobs in the sandbox may read.
    pub(crate) expose: Vec<PathBuf>,
    /// Jobs at the same time; without it one for each processor, at least two.
    pub(crate) max_jobs: Option<usize>,
    /// The image of jobs in Docker that name none.
    pub(crate) image: Option<String>,
}

/// Reads the configuration; the default one where there is no file.
pub(crate) fn read(store: &StoreFolder) -> Result<RunnerFile, Failure> {
    for path in places(store) {
        match std::fs::read_to_string(&path) {
            Ok(text) => return parse(&path, &text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(bad(&path, &error.to_string())),
        }
    }
    Ok(RunnerFile::default())
}

/// Where the configuration may stand, the first one found counts.
pub(crate) fn places(store: &StoreFolder) -> Vec<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let config = absolute("XDG_CONFIG_HOME").or_else(|| absolute("HOME").map(|home| home.join(".config")));
    let of_user = config.map(|config| config.join("tagline").join(FILE));
    std::iter::once(store.root().join(FILE)).chain(of_user).collect()
}

fn parse(path: &Path, text: &str) -> Result<RunnerFile, Failure> {
    if text.trim().is_empty() {
        return Ok(RunnerFile::default());
    }
    serde_yaml::from_str(text).map_err(|error| bad(path, &error.to_string()))
}

fn bad(path: &Path, why: &str) -> Failure {
    let message = format!("the runner's configuration {} cannot be used", path.display());
    let next = format!("mend {}: it knows expose, max-jobs and image", path.display());
    Failure::unusable("bad-runner-file", message).why(why).effect("nothing was run").next(next)
}

/// The folders jobs in the sandbox may read.
pub(crate) fn exposure(file: &RunnerFile) -> Result<Exposure, Failure> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    Exposure::of(&file.expose, home.as_deref()).map_err(|error| {
        Failure::unusable("bad-exposure", error).effect("nothing was run").next("see what fits: tagline doctor")
    })
}

/// Starts an engine on the store. `holder` is the command, for whom a second engine is refused.
///
/// # Errors
/// [`StoreError::Busy`] in the inner result within a second when another engine drives the store.
pub(crate) async fn start(context: &Context, holder: &str) -> Result<Result<Engine, StoreError>, Failure> {
    let file = read(&context.store)?;
    let exposure = exposure(&file)?;
    context.store.create()?;
    let agent = crate::agent::extract(&context.store).map_err(|error| {
        Failure::new(Exit::OutOfReach, "no-agent", "the agent of the jobs cannot be written into the store")
            .why(error)
            .effect("nothing was run")
            .next("tagline doctor")
    })?;
    let config = EngineConfig {
        folder: context.store.clone(),
        holder: holder.to_owned(),
        agent,
        max_jobs: file.max_jobs.filter(|jobs| *jobs > 0).unwrap_or_else(processors),
        executors: Executors::new(known(context, &file).await, exposure),
        faults: faults(),
    };
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        match Engine::start(config.clone()) {
            // An approval beside us holds the lock for a moment only; an engine keeps it.
            Err(StoreError::Busy { .. }) if tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(AGAIN).await;
            }
            started => return Ok(started),
        }
    }
}

/// What is to go wrong: only a debug build can be told, by `TAGLINE_FAULT`, and only tests tell it.
fn faults() -> Faults {
    let told = std::env::var("TAGLINE_FAULT").ok().filter(|_| cfg!(debug_assertions));
    told.and_then(|text| Faults::parse(&text)).unwrap_or_default()
}

/// The executors of this machine.
async fn known(context: &Context, file: &RunnerFile) -> Vec<(String, Executor)> {
    let environment = Environment::of_process();
    let sandbox = Sandbox::new(environment.clone(), context.store.cache().join("images"));
    let mut known = vec![("sandbox".to_owned(), Executor::Sandbox(sandbox))];
    let docker = tokio::time::timeout(DOCKER, Docker::connect(environment, file.image.clone())).await;
    if let Ok(Ok(docker)) = docker {
        known.push(("docker".to_owned(), Executor::Docker(docker)));
    }
    known
}

/// Refuses a runner this machine does not have, before anything is begun.
pub(crate) async fn require(runner: &str) -> Result<(), Failure> {
    if runner != "docker" {
        return Ok(());
    }
    let connected = tokio::time::timeout(DOCKER, Docker::connect(Environment::of_process(), None)).await;
    let why = match connected {
        Ok(Ok(_)) => return Ok(()),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "it does not answer".to_owned(),
    };
    Err(Failure::new(Exit::OutOfReach, "no-docker", "Docker is out of reach")
        .why(why)
        .effect("nothing was run")
        .next("start the daemon, or leave --runner out: the sandbox needs none"))
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from).max(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_read_and_what_it_does_not_know_is_refused() {
        let file = parse(Path::new("runner.yml"), "expose: [ /opt/go ]\nmax-jobs: 3\n").unwrap();
        assert_eq!((file.expose, file.max_jobs), (vec![PathBuf::from("/opt/go")], Some(3)));
        assert_eq!(parse(Path::new("runner.yml"), "\n").unwrap(), RunnerFile::default());
        let error = parse(Path::new("runner.yml"), "exposed: []").unwrap_err();
        assert_eq!((error.code, error.exit), ("bad-runner-file", Exit::Unusable));
    }
}
