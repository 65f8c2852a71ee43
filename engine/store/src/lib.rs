//! What Tagline remembers: one SQLite file with the journal, and one folder with artifacts and logs.
//!
//! Invariants:
//! - what a method that writes has returned is on disk;
//! - events, projections and outbox change together in one transaction;
//! - the journal only grows, and its hash chain shows any other change;
//! - one engine drives a store ([`EngineLock`]); everyone else reads beside it.

mod backup;
mod blobs;
mod chain;
mod connection;
mod error;
mod folder;
mod journal;
mod lock;
mod projection;
mod secrets;

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, TransactionBehavior};
use tagline_run::{Event, RunId};

pub use backup::Copied;
pub use blobs::Blobs;
pub use chain::Verified;
pub use error::StoreError;
pub use folder::StoreFolder;
pub use journal::{Append, First, OutboxEntry, Outgoing, Summary};
pub use lock::EngineLock;
pub use projection::{ArtifactRow, DeliveryRow, DeploymentRow, PLANNED, RunFilter, RunRow};
pub use secrets::{ListedSecret, SecretScope};

/// A store, open. Methods may be called from any thread; they block on the disk.
#[derive(Debug)]
pub struct Store {
    folder: StoreFolder,
    blobs: Blobs,
    connection: Mutex<Connection>,
}

impl Store {
    /// Opens a store for writing, making it where there is none.
    pub fn open(folder: &StoreFolder) -> Result<Self, StoreError> {
        Ok(Self::with(folder, connection::open(folder)?))
    }

    /// Opens a store for reading, beside whoever writes.
    ///
    /// # Errors
    /// [`StoreError::Missing`] where there is no store yet.
    pub fn open_read_only(folder: &StoreFolder) -> Result<Self, StoreError> {
        Ok(Self::with(folder, connection::open_read_only(folder)?))
    }

    fn with(folder: &StoreFolder, connection: Connection) -> Self {
        Self { blobs: Blobs::at(folder.blobs()), folder: folder.clone(), connection: Mutex::new(connection) }
    }

    /// Where the store is.
    pub fn folder(&self) -> &StoreFolder {
        &self.folder
    }

    /// Its artifacts' bytes.
    pub fn blobs(&self) -> &Blobs {
        &self.blobs
    }

    /// Begins a run of a repository that is at `root` on this machine. Within the transaction `existing` may answer from
    /// the runs there are that this trigger has its run already; else `make` gives what the run begins with.
    ///
    /// # Returns
    /// The run, and whether it was made now.
    pub fn create_run(
        &self,
        root: &str,
        existing: impl FnOnce(&[RunRow]) -> Option<RunId>,
        filter: &RunFilter,
        make: impl FnOnce(RunId) -> First,
    ) -> Result<(RunId, bool), StoreError> {
        self.write(|transaction| {
            if let Some(run) = existing(&projection::runs(transaction, filter)?) {
                return Ok((run, false));
            }
            let run = projection::reserve(transaction, root)?;
            let First { events, summary, secrets } = make(run);
            let at = events.first().map_or(0, |event| event.at.as_millisecond());
            for (scope, name, value) in &secrets {
                secrets::set(transaction, &self.folder, scope, name, value, at)?;
            }
            journal::append(transaction, &Append { run, seen: 0, events, summary, outgoing: Vec::new() })?;
            Ok((run, true))
        })
    }

    /// Appends events to runs and ticks off outbox rows by key, all in one transaction with one sync.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when a run has moved on: load what is new, decide again. Nothing was appended then.
    pub fn append(&self, appends: &[Append], done: &[String]) -> Result<(), StoreError> {
        self.write(|transaction| {
            journal::tick_off(transaction, done)?;
            appends.iter().try_for_each(|one| journal::append(transaction, one).map(|_| ()))
        })
    }

    /// Events of a run after number `after`, in order.
    pub fn events(&self, run: RunId, after: u64) -> Result<Vec<(u64, Event)>, StoreError> {
        journal::events(&self.connection(), run, after)
    }

    /// The number of the newest journal row over all runs: whoever follows the journal asks again when it grows.
    pub fn last_number(&self) -> Result<u64, StoreError> {
        journal::last_number(&self.connection())
    }

    /// Runs, newest first.
    pub fn runs(&self, filter: &RunFilter) -> Result<Vec<RunRow>, StoreError> {
        projection::runs(&self.connection(), filter)
    }

    /// One run.
    ///
    /// # Errors
    /// [`StoreError::NoRun`] when there is none of that number.
    pub fn run(&self, run: RunId) -> Result<RunRow, StoreError> {
        projection::run(&self.connection(), run)?.ok_or(StoreError::NoRun(run.0))
    }

    /// Deployments, newest first.
    pub fn deployments(&self, root: Option<&str>, environment: Option<&str>) -> Result<Vec<DeploymentRow>, StoreError> {
        projection::deployments(&self.connection(), root, environment)
    }

    /// The deliveries to an environment of a repository, newest first.
    pub fn deliveries(&self, root: &str, environment: &str) -> Result<Vec<DeliveryRow>, StoreError> {
        projection::deliveries(&self.connection(), root, environment)
    }

    /// Artifacts of a run.
    pub fn artifacts(&self, run: RunId) -> Result<Vec<ArtifactRow>, StoreError> {
        projection::artifacts(&self.connection(), run)
    }

    /// What is still to be done in the world, oldest first.
    pub fn outbox(&self) -> Result<Vec<OutboxEntry>, StoreError> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached("SELECT run, key, body FROM outbox ORDER BY id")?;
        let rows = statement
            .query_map([], |row| Ok(OutboxEntry { run: RunId(row.get(0)?), key: row.get(1)?, body: row.get(2)? }))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Ticks off what has been done, by key. Lost in a crash, it is done once more.
    pub fn done(&self, keys: &[String]) -> Result<(), StoreError> {
        self.write(|transaction| journal::tick_off(transaction, keys))
    }

    /// Checks the journal's hash chain.
    pub fn verify(&self) -> Result<Verified, StoreError> {
        chain::verify(&self.connection())
    }

    /// Makes the projections again from the journal.
    pub fn rebuild(&self, fold: &dyn Fn(&[Event]) -> Result<Summary, String>) -> Result<(), StoreError> {
        self.write(|transaction| projection::rebuild(transaction, fold))
    }

    /// Copies the whole store into a new folder while it is in use.
    pub fn backup(&self, to: &Path) -> Result<Copied, StoreError> {
        backup::backup(&self.connection(), &self.folder, to)
    }

    /// Sets a secret. `name` is upper case; `at` is milliseconds since the epoch.
    pub fn set_secret(&self, scope: &SecretScope, name: &str, value: &str, at: i64) -> Result<(), StoreError> {
        secrets::set(&self.connection(), &self.folder, scope, name, value, at)
    }

    /// Seals secrets for a run that is there already, together with the outbox row by which they are removed again.
    /// Names are upper case; `at` is milliseconds since the epoch.
    pub fn give_secrets<'s>(
        &self,
        run: RunId,
        scope: &SecretScope,
        given: impl IntoIterator<Item = (&'s str, &'s str)>,
        at: i64,
        removal: Outgoing,
    ) -> Result<(), StoreError> {
        self.write(|transaction| {
            for (name, value) in given {
                secrets::set(transaction, &self.folder, scope, name, value, at)?;
            }
            journal::put(transaction, run, &[removal])
        })
    }

    /// Opens a secret; none when it is not set.
    pub fn secret(&self, scope: &SecretScope, name: &str) -> Result<Option<String>, StoreError> {
        secrets::get(&self.connection(), &self.folder, scope, name)
    }

    /// The names in a scope, with when each was set.
    pub fn secrets(&self, scope: &SecretScope) -> Result<Vec<(String, i64)>, StoreError> {
        secrets::list(&self.connection(), scope)
    }

    /// The names of a repository and of all its environments.
    pub fn all_secrets(&self, root: &str) -> Result<Vec<ListedSecret>, StoreError> {
        secrets::list_all(&self.connection(), root)
    }

    /// Removes a secret; says whether it was there.
    pub fn remove_secret(&self, scope: &SecretScope, name: &str) -> Result<bool, StoreError> {
        secrets::remove(&self.connection(), scope, name)
    }

    /// One transaction, synced when this returns.
    fn write<T>(
        &self,
        work: impl FnOnce(&rusqlite::Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut connection = self.connection();
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|error| connection::explain(&self.folder, error))?;
        let explained = |error| match error {
            StoreError::Database(error) => connection::explain(&self.folder, error),
            other => other,
        };
        let value = work(&transaction).map_err(explained)?;
        transaction.commit().map_err(|error| connection::explain(&self.folder, error))?;
        Ok(value)
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        // A panic while it was held rolled its transaction back: the connection is as good as before.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
