//! Where a store is: one folder, for its owner only.
//!
//! `tagline.db` journal and projections · `tagline.lock` the engine's lock · `tagline.sock` the engine's socket · `key`
//! seals secrets · `blobs/` artifacts by digest · `runs/` a folder for each job attempt, whose spool is its log ·
//! `agent/` the agent binary by digest · `cache/` what can be made again.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::StoreError;

/// A store's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreFolder {
    root: PathBuf,
}

impl StoreFolder {
    /// From a URL such as `sqlite:///var/lib/tagline`, or an absolute path.
    ///
    /// # Errors
    /// [`StoreError::Url`] for anything else.
    pub fn from_url(url: &str) -> Result<Self, StoreError> {
        let path = url.strip_prefix("sqlite://").unwrap_or(url);
        if !path.starts_with('/') || path.contains("://") {
            return Err(StoreError::Url(url.to_owned()));
        }
        Ok(Self::at(path))
    }

    /// The store in a folder.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Makes the folder where it is missing, readable by its owner only.
    pub fn create(&self) -> Result<(), StoreError> {
        for folder in [self.root.clone(), self.blobs(), self.runs(), self.agents(), self.cache()] {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&folder)
                .map_err(StoreError::io("create", &folder))?;
        }
        // Where the folder was there before, it may be open to others.
        let owner_only = fs::Permissions::from_mode(0o700);
        fs::set_permissions(&self.root, owner_only).map_err(StoreError::io("restrict", &self.root))
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The URL that names it on a command line.
    pub fn url(&self) -> String {
        format!("sqlite://{}", self.root.display())
    }

    /// The database.
    pub fn database(&self) -> PathBuf {
        self.root.join("tagline.db")
    }

    /// The engine's lock.
    pub fn lock(&self) -> PathBuf {
        self.root.join("tagline.lock")
    }

    /// The engine's socket.
    pub fn socket(&self) -> PathBuf {
        self.root.join("tagline.sock")
    }

    /// The key that seals secrets.
    pub fn key(&self) -> PathBuf {
        self.root.join("key")
    }

    /// Content-addressed files.
    pub fn blobs(&self) -> PathBuf {
        self.root.join("blobs")
    }

    /// Job folders.
    pub fn runs(&self) -> PathBuf {
        self.root.join("runs")
    }

    /// The folder of one run.
    pub fn run(&self, run: u64) -> PathBuf {
        self.runs().join(run.to_string())
    }

    /// The folder of one attempt of a job leg; `job` is the text form of its key.
    pub fn job(&self, run: u64, job: &str, attempt: u32) -> PathBuf {
        self.run(run).join(job).join(attempt.to_string())
    }

    /// Agent binaries by digest.
    pub fn agents(&self) -> PathBuf {
        self.root.join("agent")
    }

    /// What can be made again: source archives, unpacked images.
    pub fn cache(&self) -> PathBuf {
        self.root.join("cache")
    }
}
