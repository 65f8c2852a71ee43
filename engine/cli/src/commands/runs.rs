//! `tagline runs`: the runs of a store, newest first.

use serde_json::{Value, json};
use tagline_store::{RunFilter, RunRow};

use crate::args::RunsArgs;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::output::Mark;
use crate::table::table;
use crate::words::{self, plain, short_commit};

/// Rows as text where no number was asked for.
const SHOWN: u32 = 30;

/// Runs it. No store yet means no runs yet.
pub(crate) fn run(context: &Context, args: &RunsArgs) -> Outcome {
    let rows = rows(context, args)?;
    if args.json {
        context.output.json(&rows.iter().map(as_json).collect::<Vec<_>>());
    } else if rows.is_empty() {
        context.output.note("0 runs");
    } else {
        print(context, &rows);
        if args.limit.is_none() && rows.len() == SHOWN as usize {
            context.output.note(format!("the newest {SHOWN}; for more: tagline runs --limit N"));
        }
    }
    Ok(Exit::Done)
}

fn rows(context: &Context, args: &RunsArgs) -> Result<Vec<RunRow>, Failure> {
    let Some(store) = context.read_store_if_any()? else { return Ok(Vec::new()) };
    let root = if context.names_repository() {
        Some(context.repository()?.root().to_string_lossy().into_owned())
    } else {
        None
    };
    let limit = args.limit.or((!args.json).then_some(SHOWN));
    let filter = RunFilter { root, tag: args.tag.clone(), active: args.active, limit, ..RunFilter::default() };
    Ok(store.runs(&filter)?)
}

fn as_json(row: &RunRow) -> Value {
    json!({
        "id": row.id,
        "repository": row.repository,
        "root": row.root,
        "workflow": row.workflow,
        "event": row.event,
        "tag": row.tag,
        "version": row.version,
        "sha": row.sha,
        "subject": row.subject,
        "actor": row.actor,
        "release_digest": row.release_digest,
        "status": row.status,
        "conclusion": row.conclusion,
        "attempt": row.attempt,
        "created_at": words::stamp(row.created_at),
        "updated_at": words::stamp(row.updated_at),
    })
}

fn print(context: &Context, rows: &[RunRow]) {
    let facts = &context.output.out;
    let line = |row: &RunRow| {
        let (mark, word) = state(row);
        vec![
            row.id.to_string(),
            facts.state(mark, word),
            plain(&row.repository),
            plain(row.tag.as_deref().unwrap_or(&row.event)),
            plain(row.workflow.rsplit('/').next().unwrap_or_default()),
            short_commit(&row.sha).to_owned(),
            context.time_of(row.created_at),
            plain(&row.actor),
            plain(&row.subject),
        ]
    };
    let header = ["RUN", "STATE", "REPOSITORY", "RELEASE", "WORKFLOW", "COMMIT", "SINCE", "BY", "SUBJECT"];
    let lines: Vec<Vec<String>> = rows.iter().map(line).collect();
    context.output.lines(table(facts, &header, &lines));
}

/// The mark and word of a row's status, or of its conclusion once there is one.
pub(super) fn state(row: &RunRow) -> (Mark, &str) {
    match (row.conclusion.as_deref(), row.status.as_str()) {
        (Some("success"), _) => (Mark::Success, "success"),
        (Some("cancelled"), _) => (Mark::Cancelled, "cancelled"),
        (Some("skipped"), _) => (Mark::Skipped, "skipped"),
        (Some(other), _) => (Mark::Failure, other),
        (None, "waiting") => (Mark::Waiting, "waiting"),
        (None, "in_progress") => (Mark::InProgress, "in progress"),
        (None, _) => (Mark::Queued, "queued"),
    }
}
