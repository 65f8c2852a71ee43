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
    /// Images that the step does not give, or that it gives for nothing; all of them.
    #[error("{}", .0.join("; "))]
    Images(Vec<String>),
    /// A values file that cannot be used.
    #[error("{path}: {message}")]
    Values {
        /// Which.
        path: String,
        /// Why.
        message: String,
    },
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

impl RenderError {
    /// The input that is to be corrected, or that leads to what is. `source` is the one that says what is rendered. None where
    /// the engine's machine is in the way.
    fn input<'s>(&self, source: &'s str) -> Option<&'s str> {
        match self {
            Self::NoProgram { .. } | Self::TimedOut { .. } => None,
            Self::Images(_) => Some("images"),
            Self::Values { .. } => Some("values"),
            _ => Some(source),
        }
    }

    fn next(&self) -> &'static str {
        match self {
            Self::NoProgram { .. } => "tagline doctor",
            Self::TimedOut { .. } => "make it render faster, or commit what it renders",
            Self::TooLarge { .. } => "deliver it in parts, each a step of its own",
            Self::NotFound { .. } => "correct the path, or commit what is missing",
            Self::Images(_) => "correct images or the manifests",
            Self::Values { .. } => "correct values, or commit the file",
            _ => "correct the manifests",
        }
    }

    /// As people read it; see [`Self::input`] for `source`.
    pub fn failure(self, source: &str) -> Failure {
        let mut failure = Failure::new("the manifests cannot be rendered", self.to_string());
        failure = failure.effect(UNCHANGED).next(self.next()).of_input(self.input(source).unwrap_or_default());
        if let Self::Objects(problems) | Self::Images(problems) = self {
            failure.why = problems.first().cloned().unwrap_or_default();
            failure.evidence = problems;
        }
        failure
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_input_and_what_to_do() {
        let values = RenderError::Values { path: "v.yaml".to_owned(), message: "no such file".to_owned() };
        let failure = values.failure("chart");
        assert_eq!(failure.input, "values");
        let said = "the manifests cannot be rendered: v.yaml: no such file; nothing was changed (next: correct values, or \
                    commit the file)";
        assert_eq!(failure.to_string(), said);
        let images = RenderError::Images(vec!["a".to_owned(), "b".to_owned()]).failure("manifests");
        assert_eq!((images.input.as_str(), images.why.as_str(), images.evidence.len()), ("images", "a", 2));
        assert_eq!(RenderError::Empty("k8s".to_owned()).failure("manifests").input, "manifests");
        let missing = RenderError::NoProgram { program: "helm", wanted: "Helm 3", from: "x" };
        assert_eq!(missing.failure("chart").input, "");
    }
}
