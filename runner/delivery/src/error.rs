//! Why an action cannot go on. Every error has cause, effect and what to do next.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::cluster::ClusterError;
use crate::progress::Stop;

/// The effect of what failed before its first change.
pub const UNCHANGED: &str = "nothing was changed";

/// A failure as people read it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Failure {
    /// One line: `image cannot be pulled`.
    pub what: String,
    /// The cause in one line: which pod, which rule, which object.
    pub why: String,
    /// What it means for users now: `no traffic moved; 1.2.2 serves 100 %`.
    pub effect: String,
    /// What to do: a command or a place to edit.
    pub next: String,
    /// Lines that show it: log lines, events.
    pub evidence: Vec<String>,
    /// The step's input that is to be corrected, or that leads to what is; empty where the step may be as it is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub input: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [&self.what, &self.why, &self.effect];
        let mut parts = parts.into_iter().filter(|part| !part.is_empty());
        let Some(first) = parts.next() else { return f.write_str("failed") };
        f.write_str(first)?;
        for (number, part) in parts.enumerate() {
            write!(f, "{}{part}", if number == 0 { ": " } else { "; " })?;
        }
        if !self.next.is_empty() {
            write!(f, " (next: {})", self.next)?;
        }
        Ok(())
    }
}

impl Failure {
    /// A failure of one line and its cause.
    pub fn new(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { what: what.into(), why: why.into(), ..Self::default() }
    }

    /// With what it means for users.
    pub fn effect(mut self, effect: impl Into<String>) -> Self {
        self.effect = effect.into();
        self
    }

    /// Of an input that is to be corrected.
    pub fn of_input(mut self, input: impl Into<String>) -> Self {
        self.input = input.into();
        self
    }

    /// All that it says, a line each: its evidence, or what and why.
    pub fn lines(&self) -> Vec<String> {
        match (self.evidence.as_slice(), self.why.is_empty()) {
            ([], true) => vec![self.what.clone()],
            ([], false) => vec![format!("{}: {}", self.what, self.why)],
            (lines, _) => lines.to_vec(),
        }
    }

    /// With what to do.
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.next = next.into();
        self
    }
}

/// Why an action ended without success.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// It failed; what could be undone is undone, and `effect` says how things stand.
    #[error("{0}")]
    Failed(Box<Failure>),
    /// It is to end.
    #[error(transparent)]
    Stopped(#[from] Stop),
}

impl From<Failure> for DeliveryError {
    fn from(failure: Failure) -> Self {
        Self::Failed(Box::new(failure))
    }
}

/// Why there is no plan.
///
/// What the cluster refused is kept as it is, and made a failure in one place, by [`plan`](crate::action::plan): whoever may
/// not even look is told all the rights that are missing, whichever action looked first.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The cluster could not be asked, or it refused.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// Anything else.
    #[error(transparent)]
    Delivery(#[from] DeliveryError),
}

impl From<Failure> for PlanError {
    fn from(failure: Failure) -> Self {
        Self::Delivery(failure.into())
    }
}

impl From<PlanError> for DeliveryError {
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::Cluster(error) => error.into(),
            PlanError::Delivery(error) => error,
        }
    }
}
