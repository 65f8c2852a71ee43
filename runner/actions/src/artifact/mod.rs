//! Artifacts: files packed into one tar, byte for byte the same for the same files, and unpacked again.

mod download;
mod kind;
mod name;
mod pack;

pub use download::{Download, Placement, unpack};
pub use kind::Kind;
pub use name::check_name;
pub use pack::{IfNoFilesFound, Packed, PackedFile, Upload, pack};

use crate::extract::ExtractError;
use crate::glob::GlobError;
use crate::inputs::InputError;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// What stops an upload or a download.
#[derive(Debug, Error)]
pub enum ArtifactError {
    /// An artifact's name cannot be used.
    #[error("artifact name `{name}` cannot be used: {why}")]
    Name {
        /// The name as given.
        name: String,
        /// The rule it breaks.
        why: String,
    },
    /// A file's path holds a character that artifacts cannot hold.
    #[error("file `{path}` cannot be in an artifact: its name holds `{character}`; rename it or exclude it with `!`")]
    FileName {
        /// The path within the artifact.
        path: String,
        /// The character, escaped.
        character: String,
    },
    /// Two files of one artifact differ only by upper and lower case.
    #[error("files `{0}` and `{1}` differ only by upper and lower case, so one artifact cannot hold both")]
    CaseCollision(String, String),
    /// Nothing was found and `if-no-files-found` is `error`.
    #[error("no files were found with the provided path: {0}; no artifacts will be uploaded")]
    NoFiles(String),
    /// There is no artifact of that name.
    #[error("there is no artifact `{name}` in this run; there is: {}", list(available))]
    NotFound {
        /// The name asked for.
        name: String,
        /// The names there are.
        available: Vec<String>,
    },
    /// A pattern uses what is not carried out.
    #[error("pattern `{0}`: only `*`, `?` and `[…]` are supported; name the artifacts one by one")]
    Pattern(String),
    /// The folder to download into lies outside the workspace by a link.
    #[error("cannot unpack into {}: `{through}` on its way is a link or a file", path.display())]
    Folder {
        /// The folder asked for.
        path: PathBuf,
        /// Where the way ends.
        through: String,
    },
    /// An input of the action is wrong.
    #[error(transparent)]
    Input(#[from] InputError),
    /// A glob is wrong or a folder cannot be read.
    #[error(transparent)]
    Glob(#[from] GlobError),
    /// The artifact's tar is refused.
    #[error(transparent)]
    Extract(#[from] ExtractError),
    /// The system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

impl ArtifactError {
    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    names.join(", ")
}
