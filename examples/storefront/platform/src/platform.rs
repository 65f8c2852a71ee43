//! All environments and artifacts below one folder, which one platform at a time uses.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::artifacts::Artifacts;
use crate::environment::Environment;
use crate::fault::Fault;
use crate::names;

/// Environments, at most: each holds a port and up to two processes.
const LIMIT: usize = 8;

type Environments = BTreeMap<String, Arc<Environment>>;

/// What the API works on.
pub(crate) struct Platform {
    pub(crate) artifacts: Arc<Artifacts>,
    folder: PathBuf,
    environments: Mutex<Environments>,
    /// Locked as long as it is open.
    _lock: File,
}

impl Platform {
    /// Opens the folder and brings back every environment in it.
    pub(crate) fn open(state: &Path) -> Result<Self, String> {
        let failed = |error| format!("{}: {error}", state.display());
        // The databases below are nobody else's business.
        DirBuilder::new().recursive(true).mode(0o700).create(state).map_err(failed)?;
        // Children are started elsewhere, so their paths must not depend on the folder this was started in.
        let state = state.canonicalize().map_err(failed)?;
        let lock = File::create(state.join("lock")).map_err(failed)?;
        lock.try_lock().map_err(|_| format!("{}: another platform uses it", state.display()))?;
        let artifacts = Arc::new(Artifacts::open(state.join("artifacts")).map_err(failed)?);
        let folder = state.join("environments");
        fs::create_dir_all(&folder).map_err(failed)?;
        let mut environments = Environments::new();
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            if let Some(name) = name.to_str().filter(|name| names::environment(name).is_ok()) {
                let environment = Environment::open(name, folder.join(name), Arc::clone(&artifacts))?;
                environments.insert(name.to_owned(), Arc::new(environment));
            }
        }
        Ok(Self { artifacts, folder, environments: Mutex::new(environments), _lock: lock })
    }

    /// All environments, by name.
    pub(crate) fn all(&self) -> Vec<Arc<Environment>> {
        self.environments().values().cloned().collect()
    }

    /// One that exists.
    pub(crate) fn find(&self, name: &str) -> Result<Arc<Environment>, Fault> {
        let name = names::environment(name)?;
        let found = self.environments().get(name).cloned();
        found.ok_or_else(|| Fault::new(404, format_args!("there is no environment {name}; a deployment makes one")))
    }

    /// One that exists or is made.
    pub(crate) fn make(&self, name: &str) -> Result<Arc<Environment>, Fault> {
        let name = names::environment(name)?;
        let mut environments = self.environments();
        if let Some(found) = environments.get(name) {
            return Ok(Arc::clone(found));
        }
        if environments.len() >= LIMIT {
            return Err(Fault::new(507, format_args!("there are {LIMIT} environments; that is the limit")));
        }
        let made = Environment::open(name, self.folder.join(name), Arc::clone(&self.artifacts));
        let made = Arc::new(made.map_err(|error| Fault::new(500, error))?);
        environments.insert(name.to_owned(), Arc::clone(&made));
        Ok(made)
    }

    /// Looks after the processes of every environment.
    pub(crate) fn watch(&self) {
        for environment in self.all() {
            environment.watch();
        }
    }

    /// Ends everything; nothing can be asked of it any more.
    pub(crate) fn stop(&self) {
        for environment in std::mem::take(&mut *self.environments()).values() {
            environment.stop();
        }
    }

    fn environments(&self) -> MutexGuard<'_, Environments> {
        self.environments.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
