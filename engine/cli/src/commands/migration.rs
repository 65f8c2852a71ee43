//! `tagline migration try`: each migration up, verified, down and up again, on a scratch database, by the `psql` on PATH.
//!
//! What `down` leaves must be what was there before `up`: columns, indexes and constraints are compared. A database that is
//! not empty is refused. Nothing is remembered about it: the tables that were made stay for a look.

use std::path::Path;
use std::process::Command;

use tagline_delivery::inputs::migrate::Style;
use tagline_delivery::migrate::{Migration, read_migrations};

use crate::args::{MigrationCommand, MigrationTryArgs};
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};

/// Runs it.
pub(crate) fn run(context: &Context, command: &MigrationCommand) -> Outcome {
    let MigrationCommand::Try(args) = command;
    let root = if args.dir.is_absolute() { std::path::PathBuf::from("/") } else { context.folder() };
    let dir = args.dir.strip_prefix("/").unwrap_or(&args.dir);
    let (all, style) = read_migrations(&root, &dir.to_string_lossy(), Style::Auto).map_err(|problems| {
        let failure = Failure::unusable("migrations", "the migrations are not in order");
        problems.into_iter().fold(failure, Failure::why).effect("nothing was tried")
    })?;
    let database = Scratch { args };
    database.must_be_empty()?;
    let folder = root.join(dir);
    for one in &all {
        let said = attempt(&database, &folder, one, style)?;
        context.output.line(format!("ok      {}  {said}", one.file));
    }
    context.output.note(format!("{} migrations tried: up, verify, down, up", all.len()));
    Ok(Exit::Done)
}

/// One migration there, back and there again.
fn attempt(database: &Scratch<'_>, folder: &Path, one: &Migration, style: Style) -> Result<&'static str, Failure> {
    let (up, down) = statements(folder, one, style)?;
    let before = database.shape()?;
    database.transaction(&one.file, &up)?;
    verify(database, folder, one)?;
    let Some(down) = down.filter(|_| one.reversible) else { return Ok("irreversible: no way back") };
    let after = database.shape()?;
    let back = format!("the way back of {}", one.file);
    database.transaction(&back, &down)?;
    different(&before, &database.shape()?).map_or(Ok(()), |line| {
        Err(Failure::failed("not-taken-back", format!("{back} does not lead back to what was there")).why(line))
    })?;
    database.transaction(&one.file, &up)?;
    different(&after, &database.shape()?).map_or(Ok(()), |line| {
        Err(Failure::failed("not-repeated", format!("{} makes something else the second time", one.file)).why(line))
    })?;
    Ok("up, down, up")
}

/// The first line that only one of them has.
fn different(expected: &str, found: &str) -> Option<String> {
    let missing = expected.lines().find(|line| !found.lines().any(|each| each == *line));
    let extra = || found.lines().find(|line| !expected.lines().any(|each| each == *line));
    missing.map(|line| format!("missing: {line}")).or_else(|| extra().map(|line| format!("left: {line}")))
}

/// What makes it, and what takes it back.
fn statements(folder: &Path, one: &Migration, style: Style) -> Result<(String, Option<String>), Failure> {
    let read = |file: &str| {
        let path = folder.join(file);
        std::fs::read_to_string(&path).map_err(|error| crate::errors::file("read", &path, &error))
    };
    let text = read(&one.file)?;
    match style {
        Style::Mybatis => {
            let (up, down) = text.split_once("//@UNDO").map_or((text.as_str(), None), |(up, down)| (up, Some(down)));
            Ok((up.trim_end().trim_end_matches("--").to_owned(), down.map(str::to_owned)))
        }
        Style::Flyway => Ok((text, one.reversible.then(|| read(&undo_of(folder, &one.file))).transpose()?)),
        _ => Ok((text, one.reversible.then(|| read(&one.file.replace(".up.sql", ".down.sql"))).transpose()?)),
    }
}

/// `U1__….sql`, whatever its name behind the number.
fn undo_of(folder: &Path, file: &str) -> String {
    let head = file.split_once("__").map_or("", |(head, _)| head).replacen('V', "U", 1);
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.find(|name| name.split_once("__").is_some_and(|(begin, _)| begin == head)).unwrap_or_default()
}

/// Each row of the verifying query begins with true.
fn verify(database: &Scratch<'_>, folder: &Path, one: &Migration) -> Result<(), Failure> {
    let file = one.file.replace(".up.sql", ".verify.sql");
    let Some(sql) = std::fs::read_to_string(folder.join(&file)).ok().filter(|_| file != one.file) else {
        return Ok(());
    };
    let rows = database.ask(&file, &sql)?;
    let yes = !rows.is_empty() && rows.lines().all(|row| row.split('|').next() == Some("t"));
    if yes { Ok(()) } else { Err(Failure::failed("not-verified", format!("{file} says no")).why(rows)) }
}

struct Scratch<'a> {
    args: &'a MigrationTryArgs,
}

/// Everything of the schema that a way back has to bring back, a line each.
const SHAPE: &str = "select 'column ' || table_schema || '.' || table_name || '.' || column_name || ' ' || data_type || ' ' || \
     is_nullable || ' ' || coalesce(column_default, '') from information_schema.columns \
     where table_schema not in ('pg_catalog', 'information_schema') \
     union all select 'index ' || indexdef from pg_indexes where schemaname not in ('pg_catalog', 'information_schema') \
     union all select 'constraint ' || conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid) \
     from pg_constraint where conrelid <> 0 and connamespace::regnamespace::text not in ('pg_catalog', 'information_schema') \
     order by 1";

impl Scratch<'_> {
    fn psql(&self, what: &str, words: &[&str]) -> Result<String, Failure> {
        let mut command = Command::new("psql");
        command.args(["-X", "-At", "-q", "-v", "ON_ERROR_STOP=1", "-d", &self.args.database]).args(words);
        let output = command.output().map_err(|error| {
            Failure::unusable("no-psql", "psql cannot be started").why(error).next("install the client of PostgreSQL")
        })?;
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        if !output.status.success() {
            return Err(Failure::failed("migration-failed", format!("{what} failed")).why(said));
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    fn ask(&self, what: &str, sql: &str) -> Result<String, Failure> {
        self.psql(what, &["-c", sql])
    }

    fn transaction(&self, what: &str, sql: &str) -> Result<(), Failure> {
        let timeouts = "set local lock_timeout = '5s'; set local statement_timeout = '15min'";
        self.psql(what, &["-1", "-c", timeouts, "-c", sql]).map(drop)
    }

    fn shape(&self) -> Result<String, Failure> {
        self.ask("looking at the schema", SHAPE)
    }

    /// A database with tables is nobody's scratch.
    fn must_be_empty(&self) -> Result<(), Failure> {
        let count = "select count(*) from information_schema.tables where table_schema not in ('pg_catalog', 'information_schema')";
        match self.ask("looking at the database", count)?.as_str() {
            "0" => Ok(()),
            tables => Err(Failure::unusable("not-empty", format!("the database has {tables} tables"))
                .effect("nothing was tried")
                .next("make an empty one: createdb scratch")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_named() {
        assert_eq!(different("a\nb", "b\na"), None);
        assert_eq!(different("a\nb", "a").as_deref(), Some("missing: b"));
        assert_eq!(different("a", "a\nc").as_deref(), Some("left: c"));
    }
}
