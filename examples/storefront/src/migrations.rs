//! Numbered migrations, embedded, each applied in a transaction of its own together with its record.
//!
//! A release only adds to the schema; what it no longer needs goes one release later, when the version
//! before it has left. So two versions work on one schema, and a version is ready on any schema that is
//! at least its own.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use sha2::{Digest, Sha256};

use crate::database;
use crate::flags::{Failure, Flags};

/// One step of the schema, with its way back.
pub struct Migration {
    /// 1, 2, 3 … without gaps.
    pub number: u32,
    /// What it does, in a few words.
    pub name: &'static str,
    up: &'static str,
    down: &'static str,
}

macro_rules! migration {
    ($number:literal, $name:literal, $file:literal) => {
        Migration {
            number: $number,
            name: $name,
            up: include_str!(concat!("../migrations/", $file, ".up.sql")),
            down: include_str!(concat!("../migrations/", $file, ".down.sql")),
        }
    };
}

/// All migrations of this build, in order.
pub const MIGRATIONS: &[Migration] =
    &[migration!(1, "create products", "0001_create_products"), migration!(2, "add stock", "0002_add_stock")];

/// The schema this build is written for.
pub const EXPECTED: u32 = MIGRATIONS[MIGRATIONS.len() - 1].number;

impl Migration {
    /// Digest of the way up: a migration that was edited after it was applied is found by it.
    fn digest(&self) -> String {
        hex::encode(Sha256::digest(self.up))
    }
}

/// The number of the last migration applied; 0 for a new database.
pub fn current(connection: &Connection) -> rusqlite::Result<u32> {
    let table = "SELECT 1 FROM sqlite_schema WHERE name = 'schema_migrations'";
    if connection.query_row(table, [], |_| Ok(())).optional()?.is_none() {
        return Ok(0);
    }
    let last = "SELECT coalesce(max(number), 0) FROM schema_migrations";
    connection.query_row(last, [], |row| row.get(0))
}

/// Applies what is missing, up to `to` or to the newest. Says what was done, one line each; nothing is left
/// to do when it is called again, or beside another one.
pub fn up(connection: &mut Connection, to: Option<u32>) -> Result<Vec<String>, Failure> {
    let to = known(to.unwrap_or(EXPECTED))?;
    let mut done = Vec::new();
    for migration in MIGRATIONS.iter().filter(|migration| migration.number <= to) {
        let transaction = begin(connection)?;
        let Migration { number, name, .. } = *migration;
        let applied = "SELECT digest FROM schema_migrations WHERE number = ?1";
        let applied: Option<String> = transaction.query_row(applied, [number], |row| row.get(0)).optional()?;
        match applied {
            Some(digest) if digest == migration.digest() => continue,
            Some(_) => {
                let cause = "was changed after it was applied; add a new migration instead";
                return Err(Failure::new(format!("migration {number:04} {name} {cause}")));
            }
            None => step(&transaction, migration, migration.up)?,
        }
        let record = "INSERT INTO schema_migrations (number, name, digest) VALUES (?1, ?2, ?3)";
        transaction.execute(record, params![number, name, migration.digest()])?;
        transaction.commit()?;
        done.push(format!("{number:04} {name}: applied"));
    }
    Ok(done)
}

/// Takes back what lies above `to`, newest first; without `to` the last one.
pub fn down(connection: &mut Connection, to: Option<u32>) -> Result<Vec<String>, Failure> {
    let mut done = Vec::new();
    let from = current(connection)?;
    let to = known(to.unwrap_or(from.saturating_sub(1)))?;
    if from > EXPECTED {
        let cause = format!("the schema is at {from:04}, newer than this build's {EXPECTED:04}");
        return Err(Failure::new(format!("{cause}; use the version that made it")));
    }
    for migration in MIGRATIONS.iter().rev().filter(|migration| migration.number > to) {
        let transaction = begin(connection)?;
        let Migration { number, name, .. } = *migration;
        let record = "DELETE FROM schema_migrations WHERE number = ?1";
        if transaction.execute(record, [number])? == 0 {
            continue;
        }
        step(&transaction, migration, migration.down)?;
        transaction.commit()?;
        done.push(format!("{number:04} {name}: taken back"));
    }
    Ok(done)
}

/// One line for each migration: number, name, and since when it is applied.
pub fn status(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let current = current(connection)?;
    let mut lines = Vec::new();
    for Migration { number, name, .. } in MIGRATIONS {
        let at: Option<String> = if current == 0 {
            None
        } else {
            let at = "SELECT applied_at FROM schema_migrations WHERE number = ?1";
            connection.query_row(at, [number], |row| row.get(0)).optional()?
        };
        let state = at.map_or("pending".to_owned(), |at| format!("applied {at}"));
        lines.push(format!("{number:04} {name}: {state}"));
    }
    if current > EXPECTED {
        lines.push(format!("{current:04}: applied by a newer version than {}", crate::version()));
    }
    Ok(lines)
}

/// `storefront migrate ACTION`.
pub fn command(action: &str, words: &[&str]) -> Result<(), Failure> {
    let flags = Flags::parse(words, &["to", "database"], &[])?;
    let to = match flags.get("to").map(str::parse) {
        Some(Ok(number)) => Some(number),
        Some(Err(_)) => return Err(Failure::usage("--to is not the number of a migration")),
        None => None,
    };
    let mut connection = database::open(Path::new(flags.need("database")?))?;
    let lines = match action {
        "up" => up(&mut connection, to)?,
        "down" => down(&mut connection, to)?,
        "status" => status(&connection)?,
        other => {
            return Err(Failure::usage(format!("`{other}` is none of up, down, status")));
        }
    };
    for line in &lines {
        println!("{line}");
    }
    println!("schema at {:04}", current(&connection)?);
    Ok(())
}

/// Begins a transaction that holds the write lock, so that two migrators follow each other.
fn begin(connection: &mut Connection) -> rusqlite::Result<Transaction<'_>> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(
        "CREATE TABLE IF NOT EXISTS schema_migrations (
            number     INTEGER PRIMARY KEY,
            name       TEXT NOT NULL,
            digest     TEXT NOT NULL,
            applied_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        ) STRICT;",
    )?;
    Ok(transaction)
}

fn step(transaction: &Transaction<'_>, migration: &Migration, sql: &str) -> Result<(), Failure> {
    let Migration { number, name, .. } = migration;
    let explain = |error| format!("migration {number:04} {name} failed, nothing of it was kept: {error}");
    transaction.execute_batch(sql).map_err(|error| Failure::new(explain(error)))
}

fn known(number: u32) -> Result<u32, Failure> {
    if number <= EXPECTED {
        return Ok(number);
    }
    let text = format!("there is no migration {number:04}; this build ends at {EXPECTED:04}");
    Err(Failure::usage(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(connection: &Connection) -> Vec<String> {
        let all = "SELECT sql FROM sqlite_schema WHERE name != 'schema_migrations' ORDER BY name";
        let mut all = connection.prepare(all).unwrap();
        all.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    }

    #[test]
    fn numbers_have_no_gap() {
        assert!(MIGRATIONS.iter().zip(1..).all(|(migration, number)| migration.number == number));
    }

    #[test]
    fn up_is_idempotent_and_down_leads_back_step_by_step() {
        let mut connection = Connection::open_in_memory().unwrap();
        let mut schemas = vec![schema(&connection)];
        for number in 1..=EXPECTED {
            assert_eq!(up(&mut connection, Some(number)).unwrap().len(), 1);
            schemas.push(schema(&connection));
        }
        assert!(up(&mut connection, None).unwrap().is_empty());
        for number in (0..EXPECTED).rev() {
            schemas.pop();
            assert_eq!(down(&mut connection, None).unwrap().len(), 1);
            assert_eq!(current(&connection).unwrap(), number);
            assert_eq!(schema(&connection), *schemas.last().unwrap());
        }
        assert!(down(&mut connection, None).unwrap().is_empty());
    }

    #[test]
    fn an_edited_migration_is_refused() {
        let mut connection = Connection::open_in_memory().unwrap();
        up(&mut connection, None).unwrap();
        connection.execute("UPDATE schema_migrations SET digest = 'x' WHERE number = 1", []).unwrap();
        assert!(up(&mut connection, None).unwrap_err().to_string().contains("0001 create products was changed"));
    }

    #[test]
    fn a_failed_migration_leaves_nothing() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute("CREATE TABLE products (sku TEXT)", []).unwrap();
        assert!(up(&mut connection, None).is_err());
        assert_eq!(current(&connection).unwrap(), 0);
    }

    #[test]
    fn a_newer_schema_is_left_alone() {
        let mut connection = Connection::open_in_memory().unwrap();
        up(&mut connection, None).unwrap();
        let newer = "INSERT INTO schema_migrations (number, name, digest) VALUES (9, 'later', 'x')";
        connection.execute(newer, []).unwrap();
        assert!(up(&mut connection, None).unwrap().is_empty());
        assert!(down(&mut connection, None).is_err());
        assert_eq!(current(&connection).unwrap(), 9);
    }
}
