//! Appending to the journal and reading it back.
//!
//! Invariants: a transaction carries events, projections and outbox together or not at all; a run's events are numbered
//! from 1 without gaps; a writer that has not seen a run's newest event is refused, so two writers never decide on the
//! same state.

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use tagline_run::{Event, RunId};

use crate::chain::{Hash, ROOT, Row};
use crate::{SecretScope, StoreError, projection};

/// How a run stands, for lists: what only its folded state can say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// `queued`, `in_progress`, `waiting` or `completed`.
    pub status: String,
    /// Once completed: `success`, `failure`, `cancelled`, `rejected` or `expired`.
    pub conclusion: Option<String>,
    /// `github.run_attempt`.
    pub attempt: u32,
}

/// What a run begins with: it is stored together or not at all.
pub struct First {
    /// The first events.
    pub events: Vec<Event>,
    /// How the run stands after them.
    pub summary: Summary,
    /// Secrets to be sealed: whose, name in upper case, value.
    pub secrets: Vec<(SecretScope, String, String)>,
}

/// Events for one run.
#[derive(Debug, Clone)]
pub struct Append {
    /// The run.
    pub run: RunId,
    /// Number of its newest event as the writer has seen it.
    pub seen: u64,
    /// What happened since, in order.
    pub events: Vec<Event>,
    /// How it stands now.
    pub summary: Summary,
    /// What is to be done for it.
    pub outgoing: Vec<Outgoing>,
}

/// Something to be done in the world once the transaction holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// The same thing asked twice has the same key and is done once.
    pub key: String,
    /// What, JSON; the engine's business.
    pub body: String,
}

/// A row of the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxEntry {
    /// The run it belongs to.
    pub run: RunId,
    /// Its key, by which it is ticked off.
    pub key: String,
    /// What is to be done.
    pub body: String,
}

/// Appends events of a run with their projections. Returns the newest number.
pub(crate) fn append(transaction: &Transaction<'_>, append: &Append) -> Result<u64, StoreError> {
    let Append { run, seen, events, summary, outgoing } = append;
    let (run, seen) = (*run, *seen);
    let found = newest(transaction, run)?;
    if found != seen {
        return Err(StoreError::Conflict { run: run.0, expected: seen, found });
    }
    let (mut number, mut hash) = head(transaction)?;
    let mut seq = seen;
    let mut insert = transaction
        .prepare_cached("INSERT INTO journal (number, run, seq, at, event, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    for event in events {
        (number, seq) = (number + 1, seq + 1);
        let at = event.at.as_millisecond();
        let text = serde_json::to_string(event)
            .map_err(|error| StoreError::Damaged { what: format!("an event of run {run}"), why: error.to_string() })?;
        hash = Row { number, run: run.0, seq, at, event: &text }.hash(&hash);
        insert.execute(params![number, run.0, seq, at, text, hash])?;
        projection::apply(transaction, number, run, event)?;
    }
    drop(insert);
    projection::summarise(transaction, run, seq, events.last(), summary)?;
    put(transaction, run, outgoing)?;
    Ok(seq)
}

/// Puts rows into the outbox; one whose key is there already stays as it is.
pub(crate) fn put(transaction: &Transaction<'_>, run: RunId, outgoing: &[Outgoing]) -> Result<(), StoreError> {
    let mut put = transaction.prepare_cached("INSERT OR IGNORE INTO outbox (run, key, body) VALUES (?1, ?2, ?3)")?;
    outgoing.iter().try_for_each(|one| put.execute(params![run.0, one.key, one.body]).map(|_| ()))?;
    Ok(())
}

/// Removes outbox rows.
pub(crate) fn tick_off(transaction: &Transaction<'_>, keys: &[String]) -> Result<(), StoreError> {
    let mut delete = transaction.prepare_cached("DELETE FROM outbox WHERE key = ?1")?;
    keys.iter().try_for_each(|key| delete.execute([key]).map(|_| ()))?;
    Ok(())
}

/// The number of a run's newest event; 0 for a run that is not there.
pub(crate) fn newest(connection: &Connection, run: RunId) -> Result<u64, StoreError> {
    let mut statement = connection.prepare_cached("SELECT max(seq) FROM journal WHERE run = ?1")?;
    Ok(statement.query_row([run.0], |row| row.get::<_, Option<u64>>(0))?.unwrap_or(0))
}

/// The events of a run after a number, in order.
pub(crate) fn events(connection: &Connection, run: RunId, after: u64) -> Result<Vec<(u64, Event)>, StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT seq, event FROM journal WHERE run = ?1 AND seq > ?2 ORDER BY seq")?;
    let rows = statement.query_map(params![run.0, after], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))?;
    let mut events = Vec::new();
    for row in rows {
        let (seq, text) = row?;
        let event = serde_json::from_str(&text).map_err(|error| StoreError::Damaged {
            what: format!("event {seq} of run {run}"),
            why: format!("this version cannot read it: {error}"),
        })?;
        events.push((seq, event));
    }
    Ok(events)
}

/// The number of the newest row over all runs.
pub(crate) fn last_number(connection: &Connection) -> Result<u64, StoreError> {
    Ok(head(connection)?.0)
}

fn head(connection: &Connection) -> Result<(u64, Hash), StoreError> {
    let mut statement = connection.prepare_cached("SELECT number, hash FROM journal ORDER BY number DESC LIMIT 1")?;
    let head = statement.query_row([], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    Ok(head.unwrap_or((0, ROOT)))
}
