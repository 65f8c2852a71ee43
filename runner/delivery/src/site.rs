//! Where and for whom an action works: everything it may know from outside.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A namespace of a cluster. `cluster:` of an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The kubeconfig's context: given for each call, the user's current one is never changed nor used unasked.
    pub context: String,
    /// The namespace.
    pub namespace: String,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "namespace {} of context {}", self.namespace, self.context)
    }
}

/// An image by digest: `registry/name@sha256:…`, never a tag.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ImageRef {
    /// `registry:5000/team/name`.
    pub repository: String,
    /// `sha256:` and 64 hex digits.
    pub digest: String,
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.repository, self.digest)
    }
}

/// What an action works on.
#[derive(Debug, Clone)]
pub struct Site {
    /// The environment's name as its file spells it.
    pub environment: String,
    /// The environment asks for approvals: what is only advice elsewhere is required here.
    pub protected: bool,
    /// Where it is.
    pub target: Target,
    /// Files to read the cluster's address and credentials from; empty means the user's default.
    pub kubeconfig: Vec<PathBuf>,
    /// The repository's name.
    pub repository: String,
    /// The release's version without prefix: `1.2.3`; of a run without a tag [`Site::untagged`].
    pub version: String,
    /// The commit, 40 hex digits.
    pub commit: String,
    /// The run's number in its store.
    pub run: u64,
    /// What tells the run from those that have its number in other stores; empty where it has nothing of the kind.
    pub identity: String,
    /// The job as `show` names it.
    pub job: String,
    /// The job's attempt, from 1.
    pub attempt: u32,
    /// The step's number, from 0.
    pub step: u32,
    /// The tagged commit's files, read only.
    pub tree: PathBuf,
    /// Digests (`sha256:…`) that jobs of this run built and the store recorded.
    pub built: Vec<String>,
}

impl Site {
    /// The version of a run without a tag.
    pub fn untagged(commit: &str) -> String {
        format!("0.0.0-{}", commit.get(..7).unwrap_or(commit))
    }

    /// This step of this attempt of this run, and of no other in any store: `7/deploy/1/0/9f86…`.
    pub fn asker(&self) -> String {
        let step = format!("{}/{}/{}/{}", self.run, self.job, self.attempt, self.step);
        if self.identity.is_empty() { step } else { format!("{step}/{}", self.identity) }
    }

    /// Whether the run releases a version; one without a tag works on what is there.
    pub fn is_of_tag(&self) -> bool {
        self.version != Self::untagged(&self.commit)
    }
}
