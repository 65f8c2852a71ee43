//! Why an archive is refused, and what else can go wrong while extracting.

use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// The rule an archive or one of its entries broke.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The name starts with `/`.
    #[error("its name is absolute")]
    Absolute,
    /// The name holds a `..` component.
    #[error("its name holds `..`")]
    Parent,
    /// The name cannot be a file's name.
    #[error("its name cannot be used: {0}")]
    Name(&'static str),
    /// More folders above it than allowed.
    #[error("it lies more than {limit} folders deep")]
    TooDeep {
        /// Folders allowed.
        limit: usize,
    },
    /// A symbolic link whose target lies outside.
    #[error("it links to `{target}`, which lies outside")]
    LinkEscapes {
        /// The target as written.
        target: String,
    },
    /// A hard link to something that was not extracted before as a regular file.
    #[error("it is a hard link to `{target}`, which is not a file extracted before")]
    HardLink {
        /// The target as written.
        target: String,
    },
    /// A component of its path is a link or a file.
    #[error("`{through}` on its path is not a folder")]
    Through {
        /// The component, from the root.
        through: String,
    },
    /// A device, a fifo or a socket.
    #[error("it is a device, a fifo or a socket")]
    Device,
    /// An entry type that is not a file, folder or link.
    #[error("its type `{0}` is not supported")]
    Type(String),
    /// The set-user-id or set-group-id bit is set.
    #[error("it is set-user-id or set-group-id")]
    SpecialBits,
    /// The name came before in the same archive.
    #[error("its name came before")]
    Duplicate,
    /// The name differs from an earlier one only by upper and lower case.
    #[error("its name differs from `{other}` only by upper and lower case")]
    CaseCollision {
        /// The earlier name.
        other: String,
    },
    /// Two headers disagree about the size.
    #[error("its headers disagree about its size: {header} and {extended}")]
    SizeMismatch {
        /// Size in the plain header, or announced.
        header: u64,
        /// Size in the extended header, or found.
        extended: u64,
    },
    /// Two extended headers name the same entry.
    #[error("two extended headers give it a name")]
    TwoNames,
    /// More entries than allowed.
    #[error("it has more than {limit} entries")]
    TooMany {
        /// Entries allowed.
        limit: u64,
    },
    /// More bytes than allowed.
    #[error("it unpacks to more than {limit} bytes")]
    TooLarge {
        /// Bytes allowed.
        limit: u64,
    },
    /// Compressed more tightly than real content is.
    #[error("it unpacks to more than {limit} times its size")]
    Ratio {
        /// Ratio allowed.
        limit: u64,
    },
    /// The archive ends before its end mark.
    #[error("it is cut off")]
    Truncated,
    /// A compression this extractor does not read.
    #[error("it is compressed with {0}; use gzip or none")]
    Compression(&'static str),
    /// The archive is encrypted.
    #[error("it is encrypted")]
    Encrypted,
    /// The archive does not keep to its format.
    #[error("it is malformed: {0}")]
    Malformed(String),
    /// The destination already holds something of that name that may not be replaced.
    #[error("the destination already holds something else of that name")]
    Exists,
}

/// What stopped an extraction. Nothing of the archive is left in the destination.
#[derive(Debug, Error)]
pub enum ExtractError {
    /// One entry broke a rule.
    #[error("archive refused at entry `{entry}`: {why}; nothing was extracted")]
    Entry {
        /// The entry's name as the archive spells it.
        entry: String,
        /// The rule it broke.
        why: Refusal,
    },
    /// The archive as a whole broke a rule.
    #[error("archive refused: {0}; nothing was extracted")]
    Archive(Refusal),
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

impl ExtractError {
    /// The rule that was broken; `None` when the system refused.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Entry { why, .. } | Self::Archive(why) => Some(why),
            Self::Io { .. } => None,
        }
    }

    pub(crate) fn entry(name: impl std::fmt::Display, why: Refusal) -> Self {
        Self::Entry { entry: name.to_string(), why }
    }

    pub(crate) fn io(action: &'static str, path: &Path, source: impl Into<io::Error>) -> Self {
        Self::Io { action, path: path.to_owned(), source: source.into() }
    }

    /// An error of the archive's own stream: a limit met while reading, a cut, a broken compression.
    pub(crate) fn reading(error: io::Error) -> Self {
        if let Some(refusal) = error.get_ref().and_then(|inner| inner.downcast_ref::<Refusal>()) {
            return Self::Archive(refusal.clone());
        }
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Archive(Refusal::Truncated),
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
                Self::Archive(Refusal::Malformed(error.to_string()))
            }
            _ => Self::io("read", Path::new("the archive"), error),
        }
    }
}
