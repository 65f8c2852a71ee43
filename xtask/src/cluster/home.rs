//! Where the cluster keeps its things: one folder of the cache, of which `down` leaves only the built programs.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::programs::VERSION;
use crate::paths;

/// The folder of the cluster in the cache.
#[derive(Clone)]
pub(super) struct Home(PathBuf);

impl Home {
    /// The folder, made if need be.
    pub(super) fn new() -> Result<Self> {
        let folder = paths::cache()?.join("cluster");
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(Self(folder))
    }

    /// A folder of a test.
    #[cfg(test)]
    pub(super) fn at(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// The folder itself.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Where the programs of this version of Kubernetes are, and where they are built.
    pub(super) fn version(&self) -> PathBuf {
        self.0.join(VERSION)
    }

    /// The folder of the programs built here.
    pub(super) fn bin(&self) -> PathBuf {
        self.version().join("bin")
    }

    /// A program built here.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.bin().join(name)
    }

    /// Configuration, certificates and data of the cluster that is up.
    pub(super) fn run(&self, name: &str) -> PathBuf {
        self.0.join("run").join(name)
    }

    /// The folder of the logs.
    pub(super) fn logs(&self) -> PathBuf {
        self.0.join("logs")
    }

    /// What is up: process ids, ports, addresses.
    pub(super) fn state(&self) -> PathBuf {
        self.0.join("state.json")
    }

    /// Held while a command changes the cluster.
    pub(super) fn lock(&self) -> PathBuf {
        self.0.join("lock")
    }

    /// Writes a file of the running cluster, unless it says that already: kube-proxy ends when its file is touched.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let file = self.run(name);
        let folder = file.parent().expect("a file has a folder");
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        if std::fs::read_to_string(&file).is_ok_and(|there| there == text) {
            return Ok(file);
        }
        std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        Ok(file)
    }
}
