//! Opening the database, the same way for every command.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;

/// Opens or makes the database. Write-ahead logging lets two versions of the service use it side by side.
pub fn open(file: &Path) -> rusqlite::Result<Connection> {
    prepare(Connection::open(file)?)
}

/// Settings every connection has: waits up to 5 s for another writer.
pub fn prepare(connection: Connection) -> rusqlite::Result<Connection> {
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    Ok(connection)
}
