//! `tagline artifacts`: what a run made.

use std::fs::File;
use std::path::{Component, Path};

use serde_json::{Value, json};
use tagline_store::{ArtifactRow, Store};

use crate::args::{ArtifactsCommand, ArtifactsGetArgs, ArtifactsListArgs, ArtifactsVerifyArgs};
use crate::context::Context;
use crate::errors;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::output::Mark;
use crate::table::table;
use crate::words::{self, plain, short_digest};

/// Runs it.
pub(crate) fn run(context: &Context, command: &ArtifactsCommand) -> Outcome {
    match command {
        ArtifactsCommand::Ls(args) => list(context, args),
        ArtifactsCommand::Get(args) => get(context, args),
        ArtifactsCommand::Verify(args) => verify(context, args),
    }
}

fn rows(store: &Store, run: tagline_run::RunId) -> Result<Vec<ArtifactRow>, Failure> {
    store.run(run)?;
    Ok(store.artifacts(run)?)
}

fn as_json(row: &ArtifactRow) -> Value {
    json!({
        "id": row.id, "name": row.name, "kind": row.kind, "size": row.size, "digest": row.digest,
        "job": row.job, "attempt": row.attempt, "at": words::stamp(row.at),
    })
}

fn list(context: &Context, args: &ArtifactsListArgs) -> Outcome {
    let store = context.read_store()?;
    let rows = rows(&store, args.run)?;
    if args.json {
        context.output.json(&rows.iter().map(as_json).collect::<Vec<_>>());
        return Ok(Exit::Done);
    }
    if rows.is_empty() {
        context.output.note(format!("run {} has 0 artifacts", args.run));
        return Ok(Exit::Done);
    }
    let facts = &context.output.out;
    let digest =
        |row: &ArtifactRow| if facts.terminal { short_digest(&row.digest).to_owned() } else { row.digest.clone() };
    let line = |row: &ArtifactRow| {
        vec![
            plain(&row.name),
            row.kind.clone(),
            words::size(row.size),
            digest(row),
            plain(&row.job),
            context.time_of(row.at),
        ]
    };
    let lines: Vec<Vec<String>> = rows.iter().map(line).collect();
    let header = ["NAME", "KIND", "SIZE", "DIGEST", "MADE BY", "AT"];
    context.output.lines(table(facts, &header, &lines));
    Ok(Exit::Done)
}

fn get(context: &Context, args: &ArtifactsGetArgs) -> Outcome {
    let store = context.read_store()?;
    let rows = rows(&store, args.run)?;
    let wanted: Vec<&ArtifactRow> =
        rows.iter().filter(|row| args.name.as_ref().is_none_or(|name| row.name == *name)).collect();
    if wanted.is_empty() {
        return Err(missing(args, &rows));
    }
    for row in wanted {
        // With one artifact its files go into the folder itself, with all each has a folder of its own.
        let folder = if args.name.is_some() { args.output.clone() } else { args.output.join(safe(&row.name)?) };
        fetch(&store, args.run, row, &folder)?;
        context.output.note(format!("{} is in {}", plain(&row.name), folder.display()));
    }
    Ok(Exit::Done)
}

fn missing(args: &ArtifactsGetArgs, rows: &[ArtifactRow]) -> Failure {
    let names: Vec<String> = rows.iter().map(|row| plain(&row.name)).collect();
    let there = if names.is_empty() { "it has none".to_owned() } else { format!("it has {}", names.join(", ")) };
    let name = args.name.as_deref().unwrap_or("artifacts");
    Failure::unusable("no-such-artifact", format!("run {} has no {}", args.run, plain(name)))
        .why(there)
        .next(format!("tagline artifacts ls {}", args.run))
}

/// A name as one part of a path; the run refuses others, and a damaged store is not trusted.
fn safe(name: &str) -> Result<&Path, Failure> {
    let mut parts = Path::new(name).components();
    match (parts.next(), parts.next()) {
        (Some(Component::Normal(_)), None) => Ok(Path::new(name)),
        _ => Err(Failure::failed("bad-artifact-name", format!("`{}` cannot be a folder's name", plain(name)))
            .effect("nothing was written")
            .next("tagline store verify")),
    }
}

/// Checked against its digest first, then unpacked beneath the folder; nothing is followed out of it.
fn fetch(store: &Store, run: tagline_run::RunId, row: &ArtifactRow, folder: &Path) -> Result<(), Failure> {
    store.blobs().verify(&row.digest)?;
    let path = store.blobs().path(&row.digest)?;
    let tar = File::open(&path).map_err(|error| errors::file("read", &path, &error).next("tagline store verify"))?;
    tagline_actions::artifact::unpack(tar, folder, folder).map(|_| ()).map_err(|error| {
        Failure::of(Exit::Failed, "artifact", &error)
            .effect("some of its files may be there")
            .next(format!("give an empty folder: tagline artifacts get {run} --output DIR"))
    })
}

fn verify(context: &Context, args: &ArtifactsVerifyArgs) -> Outcome {
    let store = context.read_store()?;
    let rows = rows(&store, args.run)?;
    let checked: Vec<(&ArtifactRow, Option<String>)> = rows.iter().map(|row| (row, check(&store, row))).collect();
    if args.json {
        let one = |(row, wrong): &(&ArtifactRow, Option<String>)| json!({"name": row.name, "digest": row.digest, "valid": wrong.is_none(), "why": wrong});
        context.output.json(&checked.iter().map(one).collect::<Vec<_>>());
    } else {
        for (row, wrong) in &checked {
            let mark = if wrong.is_none() { Mark::Success } else { Mark::Failure };
            let why = wrong.as_deref().map(|why| format!("  {}", plain(why))).unwrap_or_default();
            let facts = &context.output.out;
            context.output.line(format!("{} {}  {}{why}", facts.mark(mark), plain(&row.name), row.digest));
        }
    }
    let bad = checked.iter().filter(|(_, wrong)| wrong.is_some()).count();
    context.output.note(format!("{} verified, {bad} damaged", words::count(checked.len() - bad, "artifact")));
    Ok(if bad == 0 { Exit::Done } else { Exit::Failed })
}

/// What is wrong with an artifact's bytes.
fn check(store: &Store, row: &ArtifactRow) -> Option<String> {
    match store.blobs().verify(&row.digest) {
        Ok(size) if size == row.size => None,
        Ok(size) => Some(format!("it has {size} bytes, not {}", row.size)),
        Err(error) => Some(error.to_string()),
    }
}
