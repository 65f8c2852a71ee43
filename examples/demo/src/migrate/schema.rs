//! The database's side of migrations: what is applied, and one step more or less.

use std::time::Duration;

use postgres::{Client, SimpleQueryMessage};

use crate::database::sentence;
use crate::failure::Failure;

use super::files::Migration;

/// The session lock that one migration holds: any number, the same for all.
const LOCK: i64 = 7_216_034_112_900_551;

/// A connection that migrates.
pub(super) struct Schema(Client);

/// One row of the table.
pub(super) struct Row {
    /// The number of the migration.
    pub(super) version: i64,
    /// Whether somebody left it half done; this program never does.
    pub(super) dirty: bool,
}

impl Schema {
    /// Sets the timeouts and makes the table where it is missing.
    pub(super) fn open(mut client: Client, lock: Duration, statement: Duration) -> Result<Self, Failure> {
        client.batch_execute(&format!(
            "set lock_timeout = {}; set statement_timeout = {}; set client_min_messages = warning; \
             create table if not exists schema_migrations (version bigint primary key, \
             dirty boolean not null default false, name text not null default '', \
             applied_at timestamptz not null default now())",
            lock.as_millis(),
            statement.as_millis(),
        ))?;
        Ok(Self(client))
    }

    /// Takes the lock for as long as the connection lives.
    pub(super) fn lock(&mut self) -> Result<(), Failure> {
        let taken = self.0.execute("select pg_advisory_lock($1)", &[&LOCK]);
        taken.map(drop).map_err(|error| Failure::new(format!("another migration holds the lock: {}", sentence(&error))))
    }

    /// What the table says, by number.
    pub(super) fn rows(&mut self) -> Result<Vec<Row>, Failure> {
        let rows = self.0.query("select version, dirty from schema_migrations order by version", &[])?;
        Ok(rows.iter().map(|row| Row { version: row.get(0), dirty: row.get(1) }).collect())
    }

    /// The applied versions; fails where one is half done.
    pub(super) fn clean(&mut self) -> Result<Vec<i64>, Failure> {
        let rows = self.rows()?;
        match rows.iter().find(|row| row.dirty) {
            Some(row) => {
                let said = format!("{:03} is dirty: look what it left, mend it, then clear the mark", row.version);
                Err(Failure::new(said))
            }
            None => Ok(rows.into_iter().map(|row| row.version).collect()),
        }
    }

    /// The newest applied version; 0 for none.
    pub(super) fn version(&mut self) -> Result<i64, Failure> {
        Ok(self.rows()?.last().map_or(0, |row| row.version))
    }

    /// Makes one migration and its row, or nothing.
    pub(super) fn apply(&mut self, one: &Migration) -> Result<(), Failure> {
        self.step(one, "up", one.up.as_deref(), "insert into schema_migrations (version, name) values ($1, $2)")
    }

    /// Takes one migration and its row back, or nothing.
    pub(super) fn revert(&mut self, one: &Migration) -> Result<(), Failure> {
        self.step(one, "down", one.down.as_deref(), "delete from schema_migrations where version = $1 and name = $2")
    }

    fn step(&mut self, one: &Migration, kind: &str, sql: Option<&str>, record: &str) -> Result<(), Failure> {
        let sql = sql.ok_or_else(|| Failure::new(format!("{one} has no {kind}")))?;
        let failed = |error: postgres::Error| Failure::new(format!("{one}.{kind}.sql: {}", sentence(&error)));
        let mut transaction = self.0.transaction().map_err(failed)?;
        transaction.batch_execute(sql).map_err(failed)?;
        let rows = transaction.execute(record, &[&one.version, &one.name]).map_err(failed)?;
        if rows != 1 {
            let said = format!("{one}: the table knows {:03} by another name; nothing was changed", one.version);
            return Err(Failure::new(said));
        }
        transaction.commit().map_err(failed)
    }

    /// Why a migration is not as it should be.
    pub(super) fn verify(&mut self, one: &Migration) -> Result<Option<String>, Failure> {
        let Some(sql) = &one.verify else {
            return Ok(None);
        };
        let messages = match self.0.simple_query(sql) {
            Ok(messages) => messages,
            Err(error) if error.as_db_error().is_some() => return Ok(Some(sentence(&error))),
            Err(error) => return Err(error.into()),
        };
        let values: Vec<bool> = messages
            .iter()
            .filter_map(|message| match message {
                SimpleQueryMessage::Row(row) => Some(!row.is_empty() && row.get(0) == Some("t")),
                _ => None,
            })
            .collect();
        Ok(match (values.len(), values.iter().filter(|yes| !**yes).count()) {
            (0, _) => Some("verify gave no row".to_owned()),
            (_, 0) => None,
            (all, no) => Some(format!("verify said no in {no} of {all} rows")),
        })
    }
}
