//! Which executor a job gets.

use std::sync::Arc;

use tagline_executor::{Executor, Exposure};

/// The executors of this machine, by name. The name is stored with a job's start, so the right one is asked again after a
/// restart.
#[derive(Debug, Clone, Default)]
pub struct Executors {
    known: Arc<Vec<(String, Executor)>>,
    /// Those that did not answer when the engine started: only for what was started on them before.
    away: Arc<Vec<(String, Executor)>>,
    /// Host folders that jobs in the sandbox may read.
    pub exposure: Arc<Exposure>,
}

impl Executors {
    /// The first is the default of `auto`.
    pub fn new(known: Vec<(String, Executor)>, exposure: Exposure) -> Self {
        Self { known: Arc::new(known), away: Arc::default(), exposure: Arc::new(exposure) }
    }

    /// Adds executors that this machine may have, but that do not answer now. No job is given to them by choice.
    #[must_use]
    pub fn and_away(self, away: Vec<(String, Executor)>) -> Self {
        Self { away: Arc::new(away), ..self }
    }

    /// The executor of a job that was started on it, also one that was out of reach when the engine started.
    pub fn of_started(&self, name: &str) -> Option<&Executor> {
        self.get(name).or_else(|| self.away.iter().find(|(away, _)| away == name).map(|(_, executor)| executor))
    }

    /// The executor of a name; none when this machine has none of it.
    pub fn get(&self, name: &str) -> Option<&Executor> {
        self.known.iter().find(|(known, _)| known == name).map(|(_, executor)| executor)
    }

    /// The name of the executor for a job. `auto` gives a job with an image of its own to Docker where there is one, since
    /// that is where images live, and everything else to the default. A name this machine does not have is kept, so that
    /// the job fails by that name.
    pub fn choose<'n>(&'n self, runner: &'n str, image: Option<&str>) -> &'n str {
        if runner != "auto" {
            return runner;
        }
        let layout = image.is_some_and(|image| image.starts_with("oci:"));
        if image.is_some() && !layout && self.get("docker").is_some() {
            return "docker";
        }
        self.known.first().map_or("sandbox", |(name, _)| name)
    }
}
