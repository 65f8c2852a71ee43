//! What can go wrong with a store, in words for the person who must mend it.

use std::path::PathBuf;

use thiserror::Error;

/// An error of the store. Nothing was written when one is returned, unless it says so.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The store's URL is not one this version knows.
    #[error("`{0}` is not a store: use sqlite:///FOLDER")]
    Url(String),
    /// The folder or a file in it cannot be used.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// What was tried: `create`, `read`, `sync`.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Another engine drives this store.
    #[error("the store at {} is driven by {holder}", store.display())]
    Busy {
        /// The store's folder.
        store: PathBuf,
        /// The process: `process 4121 (tagline serve)`.
        holder: String,
    },
    /// The store was written by a newer version.
    #[error("the store at {} has format {found}; this version knows formats up to {known}", store.display())]
    Newer {
        /// The store's folder.
        store: PathBuf,
        /// The store's format.
        found: i64,
        /// The newest format known here.
        known: i64,
    },
    /// There is no store there yet.
    #[error("there is no store at {}", .0.display())]
    Missing(PathBuf),
    /// The disk is full. What was asked was not done; nothing that was there is lost.
    #[error("the disk of the store at {} is full", .0.display())]
    Full(PathBuf),
    /// Someone else appended to the run in the meantime.
    #[error("run {run} has moved on: expected event {expected}, found {found}")]
    Conflict {
        /// The run.
        run: u64,
        /// The sequence number the writer had seen.
        expected: u64,
        /// The run's newest.
        found: u64,
    },
    /// A row, a blob or a sealed value is not what it was when it was written.
    #[error("{what} is damaged: {why}")]
    Damaged {
        /// Which.
        what: String,
        /// How it shows.
        why: String,
    },
    /// No such run.
    #[error("there is no run {0}")]
    NoRun(u64),
    /// SQLite is older than the release that mended the WAL.
    #[error("SQLite {0} is linked, but 3.51.3 or newer is needed")]
    OldSqlite(&'static str),
    /// SQLite says no.
    #[error("the database refuses")]
    Database(#[source] rusqlite::Error),
}

impl StoreError {
    /// Whether another try may do: nothing is wrong with what is stored or what was asked.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Full(_) | Self::Busy { .. } | Self::Io { .. } | Self::Database(_))
    }

    /// The same error once more, for everyone whose work was in the transaction.
    pub fn again(&self) -> Self {
        match self {
            Self::Url(url) => Self::Url(url.clone()),
            Self::Io { doing, path, source } => {
                let source = std::io::Error::new(source.kind(), source.to_string());
                Self::Io { doing, path: path.clone(), source }
            }
            Self::Busy { store, holder } => Self::Busy { store: store.clone(), holder: holder.clone() },
            Self::Newer { store, found, known } => Self::Newer { store: store.clone(), found: *found, known: *known },
            Self::Missing(path) => Self::Missing(path.clone()),
            Self::Full(path) => Self::Full(path.clone()),
            Self::Conflict { run, expected, found } => Self::Conflict { run: *run, expected: *expected, found: *found },
            Self::Damaged { what, why } => Self::Damaged { what: what.clone(), why: why.clone() },
            Self::NoRun(run) => Self::NoRun(*run),
            Self::OldSqlite(version) => Self::OldSqlite(version),
            Self::Database(rusqlite::Error::SqliteFailure(error, text)) => {
                Self::Database(rusqlite::Error::SqliteFailure(*error, text.clone()))
            }
            // SQLite's other errors cannot be copied; their text can.
            Self::Database(error) => Self::Database(rusqlite::Error::ToSqlConversionFailure(error.to_string().into())),
        }
    }

    /// An input/output error with its place.
    pub(crate) fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| match source.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Self::Full(path),
            _ => Self::Io { doing, path, source },
        }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
    }
}
