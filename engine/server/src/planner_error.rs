//! Why nothing was started.

use std::path::PathBuf;

use tagline_plan::PlanError;
use tagline_syntax::diagnostic::{Diagnostic, SourceFile};
use tagline_syntax::tag::TagError;
use tagline_syntax::workflow::Position;
use thiserror::Error;

use crate::repository::RepositoryError;

/// Why there is no plan. All of these are exit code 2: nothing could start.
#[derive(Debug, Error)]
pub enum PlannerError {
    /// The repository or the tag.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// The tag is not a release's.
    #[error(transparent)]
    Tag(#[from] TagError),
    /// No workflow files at all.
    #[error("nothing to run: no .github/workflows/*.yml and no .tagline/workflows/*.yml in {}", .0.display())]
    NoWorkflow(PathBuf),
    /// Not the one that was named.
    #[error("there is no workflow `{name}`")]
    NoSuchWorkflow {
        /// What was asked for.
        name: String,
        /// The files there are.
        known: Vec<String>,
    },
    /// None starts on what happened.
    #[error("no workflow starts on {what}")]
    NothingStarts {
        /// The tag or event.
        what: String,
        /// Each file with why not.
        passed_over: Vec<(String, String)>,
    },
    /// A workflow or environments file has errors.
    #[error("{} cannot be used", file.name())]
    Unusable {
        /// The file.
        file: Box<SourceFile>,
        /// All of them, and the warnings.
        diagnostics: Vec<Diagnostic>,
        /// Where it was read: a commit, a branch, the working tree.
        origin: String,
    },
    /// It uses what Tagline does not carry out.
    #[error("{path} uses what this version does not carry out")]
    NotCarriedOut {
        /// The file.
        path: String,
        /// Place and name of each.
        missing: Vec<(Position, String)>,
    },
    /// The plan cannot be made.
    #[error("{} cannot be planned", file.name())]
    Plan {
        /// The workflow's file.
        file: Box<SourceFile>,
        /// Every reason.
        errors: Vec<PlanError>,
    },
    /// An input of a dispatch.
    #[error("input `{name}`: {why}")]
    Input {
        /// The input.
        name: String,
        /// One sentence.
        why: String,
    },
    /// Who edited the workflow last is out of sight, and may not approve.
    #[error("who may approve for {environment} cannot be told: nobody knows who last changed {path}")]
    EditorUnknown {
        /// The workflow's file.
        path: String,
        /// The oldest commit of the clone, short.
        oldest: String,
        /// The environment that keeps its own people from approving.
        environment: String,
    },
    /// Nobody to say who asked.
    #[error("who asks is not known: Git has no user.email")]
    NoIdentity,
}
