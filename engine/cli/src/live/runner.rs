//! The engine of this machine: its executors as `runner.toml` has them.
//!
//! The file in the store's folder counts, else the user's: a store with tool chains of its own (the demo's) needs no
//! change to the user's configuration.

use std::path::PathBuf;
use std::time::Duration;

use tagline_executor::{Config, ConfigError, Docker, Environment, Executor, Exposure, Sandbox};
use tagline_server::{Engine, EngineConfig, Executors, Faults};
use tagline_store::{StoreError, StoreFolder};

use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;

/// The configuration's name.
pub(crate) const FILE: &str = "runner.toml";
/// A daemon that does not answer within this is not there.
const DOCKER: Duration = Duration::from_secs(3);

/// The runner's configuration, and the file it stands in or would stand in.
pub(crate) fn config(store: &StoreFolder) -> Result<(Config, PathBuf), Failure> {
    let own = store.root().join(FILE);
    let path = if own.exists() { own } else { Config::place().unwrap_or(own) };
    let config = Config::read(&path).map_err(|error| bad(&error))?;
    Ok((config, path))
}

/// The folders jobs in the sandbox may read.
pub(crate) fn exposure(store: &StoreFolder) -> Result<Exposure, Failure> {
    let (config, path) = config(store)?;
    config.exposure(&path).map_err(|error| bad(&error))
}

fn bad(error: &ConfigError) -> Failure {
    Failure::of(Exit::Unusable, "bad-runner-file", error)
        .effect("nothing was run")
        .next("see what fits: tagline doctor")
}

/// Starts an engine on the store. `holder` is the command, for whom a second engine is refused.
///
/// # Errors
/// [`StoreError::Busy`] in the inner result within a second when another engine drives the store.
pub(crate) async fn start(context: &Context, holder: &str) -> Result<Result<Engine, StoreError>, Failure> {
    let (config, _) = config(&context.store)?;
    let exposure = exposure(&context.store)?;
    context.store.create()?;
    let agent = crate::agent::extract(&context.store).map_err(|error| {
        Failure::new(Exit::OutOfReach, "no-agent", "the agent of the jobs cannot be written into the store")
            .why(error)
            .effect("nothing was run")
            .next("tagline doctor")
    })?;
    let engine = EngineConfig {
        folder: context.store.clone(),
        holder: holder.to_owned(),
        agent,
        max_jobs: config.jobs.map_or_else(processors, usize::from),
        executors: executors(context, config, exposure).await,
        deliverer: std::sync::Arc::new(tagline_server::delivery::Kubernetes),
        faults: faults(),
    };
    Ok(Engine::start(engine))
}

/// What is to go wrong: only a debug build can be told, by `TAGLINE_FAULT`, and only tests tell it.
fn faults() -> Faults {
    let told = std::env::var("TAGLINE_FAULT").ok().filter(|_| cfg!(debug_assertions));
    told.and_then(|text| Faults::parse(&text)).unwrap_or_default()
}

/// The executors of this machine. A daemon that comes up after the engine finds its jobs of before attended to.
async fn executors(context: &Context, config: Config, exposure: Exposure) -> Executors {
    let environment = Environment::of_process();
    let sandbox = Sandbox::new(environment.clone(), context.store.cache().join("images"));
    let sandbox = sandbox.plain_process(config.plain_process());
    let mut known = vec![("sandbox".to_owned(), Executor::Sandbox(sandbox))];
    let docker = tokio::time::timeout(DOCKER, Docker::on_demand(environment.clone(), config.image.clone())).await;
    let away = match docker {
        Ok(Ok(docker)) => {
            known.push(("docker".to_owned(), Executor::Docker(docker)));
            Vec::new()
        }
        _ => vec![("docker".to_owned(), Executor::Docker(Docker::later(environment, config.image)))],
    };
    Executors::new(known, exposure).and_away(away)
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
