//! Tables made from the journal, for lists and look-ups. Wrong ones are made again with [`rebuild`]; nothing decides on
//! them that the journal does not say.

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use serde::{Deserialize, Serialize};
use tagline_run::{Decision, Event, Fact, RunId};

use crate::StoreError;
use crate::journal::{self, Summary};

/// One line of `tagline runs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunRow {
    /// Its number.
    pub id: u64,
    /// Name of the repository.
    pub repository: String,
    /// Where the repository is on this machine.
    pub root: String,
    /// Path of the workflow file.
    pub workflow: String,
    /// What started it.
    pub event: String,
    /// The tag, when one did.
    pub tag: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// The commit.
    pub sha: String,
    /// First line of the commit's message.
    pub subject: String,
    /// E-mail address of who asked for it.
    pub actor: String,
    /// The release digest.
    pub release_digest: String,
    /// Milliseconds since the epoch.
    pub created_at: i64,
    /// Milliseconds since the epoch.
    pub updated_at: i64,
    /// `github.run_attempt`.
    pub attempt: u32,
    /// `queued`, `in_progress`, `waiting`, `completed`.
    pub status: String,
    /// Once completed.
    pub conclusion: Option<String>,
    /// Number of its newest event.
    pub seq: u64,
}

/// What is or was live in an environment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeploymentRow {
    /// Number of the journal row.
    pub number: u64,
    /// Name of the repository.
    pub repository: String,
    /// The run.
    pub run: u64,
    /// The event, a [`Fact::Deployed`] with its time.
    pub event: Event,
}

/// The name of the milestone in which a delivery begins. Its data names `environment`, `unit` and `uses`.
pub const PLANNED: &str = "planned";

/// A step that delivered something to an environment, or was about to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeliveryRow {
    /// Number of the journal row in which it begins.
    pub number: u64,
    /// The unit.
    pub unit: String,
    /// The action, as written.
    pub uses: String,
    /// The run.
    pub run: u64,
    /// The leg.
    pub job: String,
    /// Its attempt.
    pub attempt: u32,
    /// The step.
    pub step: u32,
}

/// An artifact of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ArtifactRow {
    /// The run.
    pub run: u64,
    /// Its number in the run.
    pub id: u64,
    /// The run's attempt that made it.
    pub attempt: u32,
    /// The leg that made it.
    pub job: String,
    /// Its name.
    pub name: String,
    /// `sha256:` and 64 hex digits.
    pub digest: String,
    /// Bytes.
    pub size: u64,
    /// `file`, `sbom` or `image`.
    pub kind: String,
    /// Milliseconds since the epoch.
    pub at: i64,
}

/// Puts one event into the tables it concerns.
pub(crate) fn apply(transaction: &Transaction<'_>, number: u64, run: RunId, event: &Event) -> Result<(), StoreError> {
    let at = event.at.as_millisecond();
    match &event.fact {
        Fact::RunCreated { plan, .. } => {
            let trigger = &plan.trigger;
            transaction.execute(
                "UPDATE runs SET repository = ?2, workflow = ?3, event = ?4, tag = ?5, version = ?6, sha = ?7, subject = ?8,
                 actor = ?9, release_digest = ?10, created_at = ?11 WHERE id = ?1",
                params![
                    run.0,
                    plan.repository,
                    plan.workflow.path,
                    trigger.event,
                    trigger.tag,
                    trigger.version,
                    trigger.commit,
                    trigger.subject,
                    trigger.actor.email,
                    plan.release_digest,
                    at
                ],
            )?;
        }
        Fact::ArtifactStored { key, attempt, id, name, digest, size, kind } => {
            // One name, one artifact: a newer one of the name takes its place.
            transaction.execute("DELETE FROM artifacts WHERE run = ?1 AND name = ?2", params![run.0, name])?;
            transaction.execute(
                "INSERT INTO artifacts (run, id, attempt, job, name, digest, size, kind, at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                params![run.0, id, attempt.0, key.to_string(), name, digest, size, kind, at],
            )?;
        }
        Fact::VoteRecorded { vote, .. } => {
            let statement = &vote.statement;
            transaction.execute(
                "INSERT INTO votes (number, run, environment, voter, decision, plan, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                params![
                    number,
                    run.0,
                    statement.environment,
                    statement.voter,
                    decision_word(statement.decision),
                    statement.gate_digest,
                    at
                ],
            )?;
        }
        Fact::Deployed { environment, .. } => {
            let body = serde_json::to_string(event).map_err(|error| StoreError::Damaged {
                what: format!("an event of run {run}"),
                why: error.to_string(),
            })?;
            transaction.execute(
                "INSERT INTO deployments (number, root, repository, environment, run, body)
                 SELECT ?1, root, repository, ?2, ?3, ?4 FROM runs WHERE id = ?3",
                params![number, environment.to_lowercase(), run.0, body],
            )?;
        }
        Fact::Milestone { key, attempt, step, milestone } if milestone.name == PLANNED => {
            let text = |name: &str| milestone.data.get(name).and_then(serde_json::Value::as_str);
            if let (Some(environment), Some(unit), Some(uses)) = (text("environment"), text("unit"), text("uses")) {
                transaction.execute(
                    "INSERT INTO deliveries (number, root, environment, unit, uses, run, job, attempt, step)
                     SELECT ?1, root, ?2, ?3, ?4, ?5, ?6, ?7, ?8 FROM runs WHERE id = ?5",
                    params![number, environment.to_lowercase(), unit, uses, run.0, key.to_string(), attempt.0, step],
                )?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// Brings a run's line up to date after its newest event.
pub(crate) fn summarise(
    transaction: &Transaction<'_>,
    run: RunId,
    seq: u64,
    last: Option<&Event>,
    summary: &Summary,
) -> Result<(), StoreError> {
    transaction
        .prepare_cached(
            "UPDATE runs SET seq = ?2, status = ?3, conclusion = ?4, attempt = ?5, updated_at = coalesce(?6, updated_at)
             WHERE id = ?1",
        )?
        .execute(params![
            run.0,
            seq,
            summary.status,
            summary.conclusion,
            summary.attempt,
            last.map(|event| event.at.as_millisecond())
        ])?;
    Ok(())
}

/// Makes a run's line before its first event, which fills it. The number is never used again.
pub(crate) fn reserve(transaction: &Transaction<'_>, root: &str) -> Result<RunId, StoreError> {
    transaction.execute(
        "INSERT INTO runs (repository, root, workflow, event, sha, subject, actor, release_digest, created_at, updated_at,
         attempt, status, seq) VALUES ('', ?1, '', '', '', '', '', '', 0, 0, 1, 'queued', 0)",
        [root],
    )?;
    let id = u64::try_from(transaction.last_insert_rowid()).expect("SQLite numbers rows from 1");
    Ok(RunId(id))
}

/// Makes every table again from the journal, within one transaction. `fold` gives a run's summary from its events.
pub(crate) fn rebuild(
    transaction: &Transaction<'_>,
    fold: &dyn Fn(&[Event]) -> Result<Summary, String>,
) -> Result<(), StoreError> {
    transaction
        .execute_batch("DELETE FROM artifacts; DELETE FROM votes; DELETE FROM deployments; DELETE FROM deliveries;")?;
    let runs: Vec<u64> = {
        let mut statement = transaction.prepare("SELECT DISTINCT run FROM journal ORDER BY run")?;
        statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?
    };
    for run in runs.into_iter().map(RunId) {
        let events = journal::events(transaction, run, 0)?;
        let mut numbers = transaction.prepare_cached("SELECT number FROM journal WHERE run = ?1 ORDER BY seq")?;
        let numbers: Vec<u64> = numbers.query_map([run.0], |row| row.get(0))?.collect::<Result<_, _>>()?;
        for ((_, event), number) in events.iter().zip(numbers) {
            apply(transaction, number, run, event)?;
        }
        let seq = events.last().map_or(0, |(seq, _)| *seq);
        let events: Vec<Event> = events.into_iter().map(|(_, event)| event).collect();
        let summary = fold(&events).map_err(|why| StoreError::Damaged { what: format!("run {run}"), why })?;
        summarise(transaction, run, seq, events.last(), &summary)?;
    }
    Ok(())
}

/// Which runs a list has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunFilter {
    /// Only of the repository here.
    pub root: Option<String>,
    /// Only of this tag.
    pub tag: Option<String>,
    /// Only of this workflow file.
    pub workflow: Option<String>,
    /// Only those not completed.
    pub active: bool,
    /// At most so many.
    pub limit: Option<u32>,
    /// Only older ones than this.
    pub before: Option<u64>,
}

/// Runs, newest first.
pub(crate) fn runs(connection: &Connection, filter: &RunFilter) -> Result<Vec<RunRow>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT id, repository, root, workflow, event, tag, version, sha, subject, actor, release_digest, created_at,
                updated_at, attempt, status, conclusion, seq
         FROM runs
         WHERE seq > 0 AND (?1 IS NULL OR root = ?1) AND (?2 IS NULL OR tag = ?2) AND (?3 IS NULL OR workflow = ?3)
           AND (NOT ?4 OR status <> 'completed') AND (?5 IS NULL OR id < ?5)
         ORDER BY id DESC LIMIT ?6",
    )?;
    let limit = filter.limit.map_or(-1, i64::from);
    let rows = statement
        .query_map(params![filter.root, filter.tag, filter.workflow, filter.active, filter.before, limit], run_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// One run's line.
pub(crate) fn run(connection: &Connection, run: RunId) -> Result<Option<RunRow>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT id, repository, root, workflow, event, tag, version, sha, subject, actor, release_digest, created_at,
                updated_at, attempt, status, conclusion, seq FROM runs WHERE id = ?1 AND seq > 0",
    )?;
    Ok(statement.query_row([run.0], run_row).optional()?)
}

fn run_row(row: &Row<'_>) -> rusqlite::Result<RunRow> {
    Ok(RunRow {
        id: row.get(0)?,
        repository: row.get(1)?,
        root: row.get(2)?,
        workflow: row.get(3)?,
        event: row.get(4)?,
        tag: row.get(5)?,
        version: row.get(6)?,
        sha: row.get(7)?,
        subject: row.get(8)?,
        actor: row.get(9)?,
        release_digest: row.get(10)?,
        created_at: row.get(11)?,
        updated_at: row.get(12)?,
        attempt: row.get(13)?,
        status: row.get(14)?,
        conclusion: row.get(15)?,
        seq: row.get(16)?,
    })
}

/// Deployments, newest first, of all environments or one, in all repositories or one.
pub(crate) fn deployments(
    connection: &Connection,
    root: Option<&str>,
    environment: Option<&str>,
) -> Result<Vec<DeploymentRow>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT number, repository, run, body FROM deployments
         WHERE (?1 IS NULL OR root = ?1) AND (?2 IS NULL OR environment = ?2) ORDER BY number DESC",
    )?;
    let environment = environment.map(str::to_lowercase);
    let rows = statement.query_map(params![root, environment], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get::<_, String>(3)?))
    })?;
    let mut deployments = Vec::new();
    for row in rows {
        let (number, repository, run, body) = row?;
        let event = serde_json::from_str(&body)
            .map_err(|error| StoreError::Damaged { what: format!("deployment {number}"), why: error.to_string() })?;
        deployments.push(DeploymentRow { number, repository, run, event });
    }
    Ok(deployments)
}

/// The deliveries to an environment of a repository, newest first.
pub(crate) fn deliveries(
    connection: &Connection,
    root: &str,
    environment: &str,
) -> Result<Vec<DeliveryRow>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT number, unit, uses, run, job, attempt, step FROM deliveries
         WHERE root = ?1 AND environment = ?2 ORDER BY number DESC",
    )?;
    let rows = statement.query_map(params![root, environment.to_lowercase()], |row| {
        Ok(DeliveryRow {
            number: row.get(0)?,
            unit: row.get(1)?,
            uses: row.get(2)?,
            run: row.get(3)?,
            job: row.get(4)?,
            attempt: row.get(5)?,
            step: row.get(6)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Artifacts of a run, by number.
pub(crate) fn artifacts(connection: &Connection, run: RunId) -> Result<Vec<ArtifactRow>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT run, id, attempt, job, name, digest, size, kind, at FROM artifacts WHERE run = ?1 ORDER BY id",
    )?;
    let rows = statement.query_map([run.0], |row| {
        Ok(ArtifactRow {
            run: row.get(0)?,
            id: row.get(1)?,
            attempt: row.get(2)?,
            job: row.get(3)?,
            name: row.get(4)?,
            digest: row.get(5)?,
            size: row.get(6)?,
            kind: row.get(7)?,
            at: row.get(8)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn decision_word(decision: Decision) -> &'static str {
    match decision {
        Decision::Approve => "approve",
        Decision::Reject => "reject",
    }
}
