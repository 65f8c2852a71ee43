//! The cluster as delivery sees it: objects in, objects out, and the only place that speaks to an API server.
//!
//! Invariants:
//! - One context and one namespace: the context is named, the user's current one is neither used nor changed, and a
//!   namespaced write outside the target's namespace is refused here, whatever was rendered.
//! - Patience: a server that is out of reach, overloaded or restarting is asked again with growing pauses until the
//!   caller's patience ends; people are told once ([`Notice`]). No answer is never taken for an answer.
//! - Only what may be done twice is sent twice: reads, server-side apply, patches and deletes with preconditions. A create
//!   that meets its own object after a lost answer says so ([`ClusterError::AlreadyExists`]).
//! - Every future may be dropped at any time; what was sent may have been carried out.
//! - Few requests, and counted: built-in kinds need no discovery, waiting is a [`Watch`].

mod access;
mod again;
mod call;
mod connect;
mod credentials;
mod discovery;
mod endpoints;
mod error;
mod exec;
mod http;
mod kinds;
mod logs;
mod objects;
mod patience;
mod proxy;
mod refusal;
mod watch;
mod write;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kube::config::AuthInfo;

use crate::{Progress, Target};

pub use access::{Missing, Verb};
pub(crate) use again::Tries;
pub use endpoints::{Endpoint, Endpoints, slices_of};
pub use error::{ClusterError, FieldConflict};
pub use exec::{ExecAnswer, ExecLimits};
pub use kinds::Resource;
pub use logs::{LogCall, Logs, Since};
pub(crate) use patience::short;
pub use patience::{Hook, Notice};
pub use proxy::{HttpAnswer, HttpCall};
pub use watch::{Filter, Watch};
pub use write::{Apply, Deleted, Patch, Precondition, Propagation};

/// Labels that objects must have, all of them.
pub type Labels = BTreeMap<String, String>;

/// The manager of objects that a unit's manifests describe.
pub const MANAGER: &str = "tagline";
/// The manager of what the engine moves by itself: Service selectors, HPA targets, PDB selectors.
pub const TRAFFIC: &str = "tagline-traffic";

/// A connection to one namespace of one cluster. Clones share the connection, the request count and the knowledge of
/// whether the server answers.
#[derive(Clone)]
pub struct Cluster {
    shared: Arc<Shared>,
    patience: Duration,
    hook: Option<Hook>,
}

struct Shared {
    client: kube::Client,
    credentials: AuthInfo,
    target: Target,
    reach: patience::Reach,
    requests: AtomicU64,
    discovered: Mutex<HashMap<(String, String), Resource>>,
}

impl Cluster {
    /// Reads the kubeconfigs and makes a client; sends nothing yet. No files: the user's default (`KUBECONFIG`, then
    /// `~/.kube/config`). Belongs to the tokio runtime it was made in.
    ///
    /// # Errors
    /// No kubeconfig, no such context (the known ones are named), a kubeconfig that cannot be used.
    pub async fn connect(target: &Target, kubeconfigs: &[PathBuf]) -> Result<Self, ClusterError> {
        let connection = connect::connect(&target.context, kubeconfigs).await?;
        let shared = Shared {
            client: connection.client,
            credentials: connection.credentials,
            target: target.clone(),
            reach: patience::Reach::default(),
            requests: AtomicU64::new(0),
            discovered: Mutex::default(),
        };
        Ok(Self { shared: Arc::new(shared), patience: patience::PATIENCE, hook: None })
    }

    /// The same connection, giving up after so long without an answer; 5 minutes where nothing is said.
    pub fn with_patience(&self, patience: Duration) -> Self {
        Self { patience, ..self.clone() }
    }

    /// The same connection, telling `hook` about absences of the server.
    pub fn with_hook(&self, hook: Hook) -> Self {
        Self { hook: Some(hook), ..self.clone() }
    }

    /// The same connection, telling an action's log about absences of the server.
    pub fn telling(&self, progress: Arc<dyn Progress>) -> Self {
        self.with_hook(Arc::new(move |notice| progress.warn(notice.text(progress.now()))))
    }

    /// Where it works.
    pub fn target(&self) -> &Target {
        &self.shared.target
    }

    /// The target's namespace.
    pub fn namespace(&self) -> &str {
        &self.shared.target.namespace
    }

    /// How long a call waits for a server that is away.
    pub fn patience(&self) -> Duration {
        self.patience
    }

    /// Requests sent so far, by all clones; a watch is one each time it is opened.
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::Relaxed)
    }

    fn count(&self) {
        self.shared.requests.fetch_add(1, Ordering::Relaxed);
    }

    fn tell(&self, notice: Option<Notice>) {
        if let (Some(hook), Some(notice)) = (&self.hook, notice) {
            hook(notice);
        }
    }
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cluster({})", self.target())
    }
}

/// `a=b,c=d`: how the API takes labels.
pub(crate) fn label_text(labels: &Labels) -> Option<String> {
    let pairs: Vec<_> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    (!pairs.is_empty()).then(|| pairs.join(","))
}
