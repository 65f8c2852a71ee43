//! What the tests need from the machine: packages, a Docker daemon, two local images and a registry on loopback.
//!
//! Every part is idempotent and either there at the end or listed with the reason why not. The tests learn of it
//! through `state.json` in the cache and through the environment (see [`State::environment`]).

mod docker;
mod image;
mod packages;
mod registry;
mod rootfs;

use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::json;

use crate::paths;
pub(crate) use docker::docker;
pub(crate) use packages::{add as install_packages, missing as missing_packages};

/// A part of the set-up that is not there.
pub(crate) struct Missing {
    /// What.
    pub(crate) part: &'static str,
    /// Why, and what would help.
    pub(crate) reason: String,
}

/// What is there for the tests.
#[derive(Default)]
pub(crate) struct State {
    /// `DOCKER_HOST` of a daemon that answers.
    pub(crate) docker: Option<String>,
    /// `HOST:PORT` of the registry on loopback.
    pub(crate) registry: Option<String>,
    /// Local images, by name.
    pub(crate) images: Vec<&'static str>,
    /// What could not be had.
    pub(crate) missing: Vec<Missing>,
}

impl State {
    /// Notes a part that failed and goes on without it.
    fn note<T>(&mut self, part: &'static str, made: Result<T>) -> Option<T> {
        match made {
            Ok(value) => {
                println!("✓ {part}");
                Some(value)
            }
            Err(error) => {
                println!("! {part}: {error:#}");
                self.missing.push(Missing { part, reason: format!("{error:#}") });
                None
            }
        }
    }

    /// What the tests read from their environment.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        let mut pairs = Vec::new();
        if let Some(host) = &self.docker {
            pairs.push(("DOCKER_HOST", host.clone()));
        }
        if let Some(address) = &self.registry {
            pairs.push(("TAGLINE_TEST_REGISTRY", address.clone()));
        }
        pairs
    }

    fn save(&self) -> Result<()> {
        let value = json!({ "docker": self.docker, "registry": self.registry, "images": self.images });
        let file = state_file()?;
        std::fs::write(&file, format!("{value:#}\n")).with_context(|| format!("cannot write {}", file.display()))
    }
}

fn state_file() -> Result<PathBuf> {
    Ok(paths::cache()?.join("state.json"))
}

/// The number a daemon left in a file, if it is still that program.
fn pid_in(file: &std::path::Path, program: &str) -> Option<u32> {
    let pid = std::fs::read_to_string(file).ok()?.trim().parse().ok()?;
    crate::shell::runs(pid, program).then_some(pid)
}

/// Stops a daemon by its own process id and waits for its end.
fn stop(pid: u32, program: &str) -> Result<()> {
    crate::shell::output(std::process::Command::new("kill").arg(pid.to_string()))?;
    let ended = crate::shell::wait(std::time::Duration::from_secs(30), || !crate::shell::runs(pid, program));
    anyhow::ensure!(ended, "{program} (process {pid}) did not end within 30 s");
    println!("✓ {program} stopped");
    Ok(())
}

/// Brings everything up that can be had.
pub(crate) fn run() -> Result<State> {
    let mut state = State::default();
    let packages = packages::install();
    state.note("packages", packages);
    let host = docker::start();
    state.docker = state.note("docker", host);
    if state.docker.is_some() {
        for image in image::ALL {
            if state.note(image.name, image.make()).is_some() {
                state.images.push(image.name);
            }
        }
    }
    let address = registry::start();
    state.registry = state.note("registry", address);
    if let Some(registry) = &state.registry
        && state.images.contains(&image::BUSYBOX)
    {
        let pushed = image::push(image::BUSYBOX, registry);
        state.note("image in the registry", pushed);
    }
    state.save()?;
    Ok(state)
}

/// `HOST:PORT` of the registry alone, started if need be.
pub(crate) fn registry() -> Result<String> {
    registry::start()
}

/// `cargo xtask setup`.
pub(crate) fn command() -> Result<bool> {
    let state = run()?;
    for missing in &state.missing {
        println!("skipped {}: {}", missing.part, missing.reason);
    }
    Ok(state.missing.is_empty() || !paths::ci())
}

/// `cargo xtask clean`: stops the cluster and what `setup` started, by process id, and frees its folders.
pub(crate) fn clean() -> Result<bool> {
    let cluster = crate::cluster::clean();
    let images = image::remove();
    let registry = registry::stop();
    let docker = docker::stop();
    let state = state_file()?;
    if state.exists() {
        std::fs::remove_file(&state)?;
    }
    cluster.and(images).and(registry).and(docker)?;
    Ok(true)
}
