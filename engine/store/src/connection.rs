//! Opening the database: settings, format, and the SQLite that is good enough.
//!
//! Every commit is synced (WAL with `synchronous=FULL`) before anyone is told. Writers begin with `BEGIN IMMEDIATE`, so
//! a busy database waits instead of failing half-way. Closing leaves the write-ahead log as it is: it is written back when
//! it has grown, so that commands that open the store one after the other do not do it each time.

use std::time::Duration;

use rusqlite::backup::Backup;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use crate::{StoreError, StoreFolder};

/// The migrations, each applied once and in order; the database's `user_version` counts them.
const MIGRATIONS: &[&str] =
    &[include_str!("../migrations/0001_first.sql"), include_str!("../migrations/0002_deliveries.sql")];

/// The first SQLite without the WAL reset that could lose a commit (fixed 2026-03-13).
const OLDEST_SQLITE: i32 = 3_051_003;

/// How long a writer waits for another process's transaction.
const PATIENCE: Duration = Duration::from_secs(10);

/// Opens the database for writing, making or migrating it.
pub(crate) fn open(folder: &StoreFolder) -> Result<Connection, StoreError> {
    sqlite_is_new_enough()?;
    folder.create()?;
    let mut connection = Connection::open(folder.database()).map_err(|error| explain(folder, error))?;
    set_up(&connection).map_err(|error| explain(folder, error))?;
    migrate(&mut connection, folder)?;
    Ok(connection)
}

/// Opens the database for reading beside whoever writes.
pub(crate) fn open_read_only(folder: &StoreFolder) -> Result<Connection, StoreError> {
    sqlite_is_new_enough()?;
    if !folder.database().exists() {
        return Err(StoreError::Missing(folder.root().to_owned()));
    }
    let mut opened = reader(folder);
    if opened.as_ref().is_err_and(is_cramped) {
        opened = in_memory(folder);
    }
    let (connection, found) = opened.map_err(|error| explain(folder, error))?;
    if found == 0 {
        return Err(StoreError::Missing(folder.root().to_owned()));
    }
    refuse_newer(folder, found)?;
    Ok(connection)
}

/// A connection for reading, with the database's format.
fn reader(folder: &StoreFolder) -> rusqlite::Result<(Connection, i64)> {
    let connection = existing(folder)?;
    let format = format_of(&connection)?;
    Ok((connection, format))
}

/// A copy of the database in memory. Where a full disk has no room for the shared memory nobody else has the database
/// open, and alone it is read without; no longer than for the copy, or nobody could write once there is room.
fn in_memory(folder: &StoreFolder) -> rusqlite::Result<(Connection, i64)> {
    let source = existing(folder)?;
    source.pragma_update(None, "locking_mode", "exclusive")?;
    let mut copy = Connection::open_in_memory()?;
    Backup::new(&source, &mut copy)?.run_to_completion(1024, Duration::ZERO, None)?;
    copy.pragma_update(None, "query_only", true)?;
    let format = format_of(&copy)?;
    Ok((copy, format))
}

fn existing(folder: &StoreFolder) -> rusqlite::Result<Connection> {
    // Not SQLITE_OPEN_READ_ONLY: reading a WAL needs its shared memory file, which the first reader may have to make.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(folder.database(), flags)?;
    connection.busy_timeout(PATIENCE)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

/// The WAL's shared memory file has no room: SQLite has no word of its own for that.
fn is_cramped(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|error| error.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE)
}

/// Turns SQLite's "full" into ours; every other error stays what it is.
pub(crate) fn explain(folder: &StoreFolder, error: rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        _ if is_cramped(&error) => StoreError::Full(folder.root().to_owned()),
        Some(rusqlite::ErrorCode::DiskFull) => StoreError::Full(folder.root().to_owned()),
        Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => {
            StoreError::Damaged { what: format!("{}", folder.database().display()), why: error.to_string() }
        }
        _ => StoreError::Database(error),
    }
}

fn sqlite_is_new_enough() -> Result<(), StoreError> {
    if rusqlite::version_number() >= OLDEST_SQLITE { Ok(()) } else { Err(StoreError::OldSqlite(rusqlite::version())) }
}

fn set_up(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(PATIENCE)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "mmap_size", 0)
}

fn migrate(connection: &mut Connection, folder: &StoreFolder) -> Result<(), StoreError> {
    let wrap = |error| explain(folder, error);
    refuse_newer(folder, format_of(connection).map_err(wrap)?)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(wrap)?;
    let done = usize::try_from(format_of(&transaction).map_err(wrap)?).unwrap_or(0);
    for (place, migration) in MIGRATIONS.iter().enumerate().skip(done) {
        transaction.execute_batch(migration).map_err(wrap)?;
        transaction.pragma_update(None, "user_version", place + 1).map_err(wrap)?;
    }
    transaction.commit().map_err(wrap)
}

fn format_of(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

fn refuse_newer(folder: &StoreFolder, found: i64) -> Result<(), StoreError> {
    let known = i64::try_from(MIGRATIONS.len()).expect("a handful of migrations");
    if found > known {
        return Err(StoreError::Newer { store: folder.root().to_owned(), found, known });
    }
    Ok(())
}
