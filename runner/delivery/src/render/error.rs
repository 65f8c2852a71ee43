//! Why a unit cannot be rendered.

use std::path::PathBuf;

use thiserror::Error;

use crate::{Failure, UNCHANGED};

/// Why a unit cannot be rendered. Nothing has been asked of a cluster when this comes.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RenderError {
    /// The path is not in the tagged commit.
    #[error("no kustomization.yaml, Chart.yaml or *.yaml under {path}; found: {found}{guess}")]
    NotFound {
        /// As the step gives it.
        path: String,
        /// What lies beside or in it.
        found: String,
        /// `; did you mean …?`
        guess: String,
    },
    /// A program is not there.
    #[error("{program} is not on the engine's PATH; install {wanted} from {from}")]
    NoProgram {
        /// `helm`
        program: &'static str,
        /// The version that is right.
        wanted: &'static str,
        /// Where it can be had.
        from: &'static str,
    },
    /// A program ended with an error.
    #[error("{program} could not render {path}: {message}{hint}")]
    Program {
        /// `helm template`
        program: &'static str,
        /// What it was to render.
        path: String,
        /// What it said, without paths of this machine.
        message: String,
        /// `; …`: what to do, where known.
        hint: String,
    },
    /// A program took too long.
    #[error("{program} had not rendered {path} after {seconds} s")]
    TimedOut {
        /// `helm template`
        program: &'static str,
        /// What it was to render.
        path: String,
        /// The limit.
        seconds: u64,
    },
    /// More than the limit.
    #[error("{what} is larger than {limit} MiB")]
    TooLarge {
        /// What.
        what: String,
        /// The limit.
        limit: u64,
    },
    /// A document that is not an object of the API.
    #[error("{file}: document {document} (line {line}): {message}")]
    Document {
        /// The file, or the program whose output it is.
        file: String,
        /// Which one, from 1.
        document: usize,
        /// The line it begins at, or the line of the error, from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// Objects that cannot be delivered as they are; all of them.
    #[error("{}", .0.join("; "))]
    Objects(Vec<String>),
    /// Nothing is rendered.
    #[error("{0} renders no object")]
    Empty(String),
    /// Two renderings of the same files differ.
    #[error(
        "{path} renders differently each time ({object}); an approval could not bind it; remove random and time functions"
    )]
    Unstable {
        /// What was rendered.
        path: String,
        /// The first object that differs.
        object: String,
    },
    /// A file cannot be read or copied.
    #[error("{}: {message}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        message: String,
    },
}

impl From<RenderError> for Failure {
    fn from(error: RenderError) -> Self {
        let mut failure = Self::new("the manifests cannot be rendered", error.to_string());
        if let RenderError::Objects(problems) = error {
            failure.why = problems.first().cloned().unwrap_or_default();
            failure.evidence = problems;
        }
        failure.effect(UNCHANGED)
    }
}
