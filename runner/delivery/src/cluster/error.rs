//! Why the cluster did not do what was asked. Every error says cause and next step; nothing is guessed from a missing
//! answer.

use std::path::PathBuf;
use std::time::Duration;

use super::patience::short;
use crate::{DeliveryError, Failure};

/// A field that another manager owns.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FieldConflict {
    /// Who owns it: `kubectl-client-side-apply`.
    pub manager: String,
    /// `.spec.replicas`.
    pub field: String,
}

/// Why the cluster did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClusterError {
    /// There is no file to read the cluster's address from.
    #[error("no kubeconfig: looked for {}", list(.looked))]
    NoKubeconfig {
        /// Where it was looked for.
        looked: Vec<PathBuf>,
    },
    /// A kubeconfig cannot be read or used.
    #[error("kubeconfig for context {context}: {why}")]
    Kubeconfig {
        /// The context asked for.
        context: String,
        /// What is wrong with it.
        why: String,
    },
    /// The kubeconfig has no such context.
    #[error("there is no context {context} in the kubeconfig; known: {}", known.join(", "))]
    NoContext {
        /// The context asked for.
        context: String,
        /// Those that there are.
        known: Vec<String>,
        /// The nearest of them, where one is near.
        nearest: Option<String>,
    },
    /// No answer for as long as the caller would wait.
    #[error("the API server of context {context} did not answer for {}: {why}", short(*.waited))]
    Unreachable {
        /// The context.
        context: String,
        /// How long it was tried.
        waited: Duration,
        /// The last thing that went wrong.
        why: String,
    },
    /// The server's certificate is not accepted.
    #[error("the API server of context {context} is not trusted: {why}")]
    Untrusted {
        /// The context.
        context: String,
        /// The TLS error.
        why: String,
    },
    /// The credentials are expired or not accepted.
    #[error("the API server of context {context} does not accept the credentials: {why}")]
    Unauthorized {
        /// The context.
        context: String,
        /// `the client certificate expired 2026-11-18T10:00:00Z`, or what a plugin said.
        why: String,
    },
    /// The credentials are good, but lack a right.
    #[error("not allowed: {message}")]
    Forbidden {
        /// `patch`.
        verb: String,
        /// `services`.
        resource: String,
        /// The server's sentence.
        message: String,
    },
    /// An admission rule of the cluster refused it: a quota, a policy, a webhook.
    #[error("the cluster refused {what}: {why}")]
    Denied {
        /// The object.
        what: String,
        /// The rule's sentence.
        why: String,
    },
    /// There is no such object.
    #[error("{0} does not exist")]
    NotFound(String),
    /// The cluster does not serve this kind in this version.
    #[error("{api_version} {kind} is not served by this cluster{}", served_text(.served))]
    NotServed {
        /// `external-secrets.io/v1beta1`.
        api_version: String,
        /// `ExternalSecret`.
        kind: String,
        /// The versions of its group that serve it, the server's preferred one first.
        served: Vec<String>,
    },
    /// Fields belong to others (server-side apply).
    #[error("{what} has fields that others own: {}", conflicts_text(.managers))]
    Conflict {
        /// The object.
        what: String,
        /// Who owns what.
        managers: Vec<FieldConflict>,
    },
    /// It is not any more what the decision was made on: another UID or resourceVersion.
    #[error("{what} changed meanwhile: {why}")]
    Changed {
        /// The object.
        what: String,
        /// The server's sentence.
        why: String,
    },
    /// It is there already. After a lost answer it may be ours.
    #[error("{what} exists already")]
    AlreadyExists {
        /// The object.
        what: String,
        /// An earlier sending of the same request may have made it: look before deciding.
        maybe_ours: bool,
    },
    /// The server rejects the manifest.
    #[error("the cluster rejects {what}: {message}")]
    Invalid {
        /// The object.
        what: String,
        /// The server's sentence.
        message: String,
        /// Field and what is wrong with it, where the server says so.
        fields: Vec<(String, String)>,
    },
    /// The namespace is being deleted: nothing can be made in it.
    #[error("namespace {0} is being deleted")]
    Terminating(String),
    /// A namespaced write outside the target's namespace.
    #[error("{what} is outside of namespace {namespace}, the only one this delivery may write to")]
    OutsideTarget {
        /// The object with its namespace.
        what: String,
        /// The target's.
        namespace: String,
    },
    /// A pod or Service gave no HTTP answer through the API server's proxy: refused, closed, too late.
    #[error("{what} does not answer: {why}")]
    NoAnswer {
        /// `Pod/a port 8080`.
        what: String,
        /// The proxy's sentence.
        why: String,
    },
    /// Any other answer.
    #[error("{what}: the cluster answered {status}: {message}")]
    Refused {
        /// What was asked.
        what: String,
        /// The HTTP status; 0 where the answer could not be read.
        status: u16,
        /// The server's sentence.
        message: String,
    },
}

fn list(paths: &[PathBuf]) -> String {
    let paths = paths.iter().map(|path| path.display().to_string());
    paths.collect::<Vec<_>>().join(", ")
}

fn served_text(served: &[String]) -> String {
    if served.is_empty() { String::new() } else { format!(" (served: {})", served.join(", ")) }
}

fn conflicts_text(conflicts: &[FieldConflict]) -> String {
    let each = conflicts.iter().map(|conflict| format!("{} by {}", conflict.field, conflict.manager));
    each.collect::<Vec<_>>().join(", ")
}

impl ClusterError {
    /// What to do about it.
    pub fn next(&self) -> String {
        match self {
            Self::NoKubeconfig { .. } => "write a kubeconfig there, or set KUBECONFIG".to_owned(),
            Self::Kubeconfig { .. } => "correct the kubeconfig".to_owned(),
            Self::NoContext { nearest: Some(near), .. } => {
                format!("did you mean {near}? Correct `cluster.context` in .tagline/environments.yml")
            }
            Self::NoContext { .. } => "correct `cluster.context` in .tagline/environments.yml".to_owned(),
            Self::Unreachable { .. } => {
                "see whether the API server runs; then run again, it goes on from here".to_owned()
            }
            Self::Untrusted { .. } => "renew the certificate authority in the kubeconfig".to_owned(),
            Self::Unauthorized { .. } => "renew the credentials in the kubeconfig, then run again".to_owned(),
            Self::Forbidden { .. } => "grant it: tagline doctor --role | kubectl apply -f -".to_owned(),
            Self::Denied { .. } => "change the manifest, or the rule of the cluster".to_owned(),
            Self::NotFound(_) => "look whether its name and namespace are right".to_owned(),
            Self::NotServed { served, .. } => match served.first() {
                Some(version) => format!("write apiVersion: {version}"),
                None => "install its CustomResourceDefinition first, or correct apiVersion and kind".to_owned(),
            },
            Self::Conflict { .. } => {
                "leave these fields out of the manifest, or take them over with `force-conflicts: true`".to_owned()
            }
            Self::Changed { .. } => "look who changed it; then run again".to_owned(),
            Self::AlreadyExists { .. } => "remove it, or give this one another name".to_owned(),
            Self::Invalid { .. } => "correct the manifest".to_owned(),
            Self::Terminating(_) => "wait until it is gone and make it anew, or deploy to another namespace".to_owned(),
            Self::OutsideTarget { .. } => {
                "leave `metadata.namespace` out of the manifest, or deploy it in an environment of its own".to_owned()
            }
            Self::NoAnswer { .. } => "look at the pod's log and at the port it listens on".to_owned(),
            Self::Refused { .. } => "look at the API server's log".to_owned(),
        }
    }

    /// The object is not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound(_))
    }

    /// As people read it. `effect` is left for the caller, who knows what it means for users.
    pub fn failure(&self, what: &str) -> Failure {
        Failure::new(what, self.to_string()).next(self.next())
    }
}

impl From<ClusterError> for Failure {
    fn from(error: ClusterError) -> Self {
        Failure::new(error.to_string(), "").next(error.next())
    }
}

impl From<ClusterError> for DeliveryError {
    fn from(error: ClusterError) -> Self {
        Failure::from(error).into()
    }
}
