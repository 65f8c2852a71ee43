//! `demo migrate`: numbered SQL files and the schema they make, one transaction each.
//!
//! The exit code is the verdict. A migration that fails leaves nothing behind; those before it stay. Whatever is wrong
//! with the files or the target is said before the first statement. Only one migration runs on a database at a time.

mod files;
mod schema;

use std::path::PathBuf;
use std::time::Duration;

use lexopt::{Arg, Parser, ValueExt};
use serde_json::json;

use crate::failure::Failure;
use crate::{database, units};

use files::Migration;
use schema::Schema;

/// The words of the command line.
struct Options {
    action: String,
    dir: PathBuf,
    to: Option<i64>,
    json: bool,
    lock_timeout: Duration,
    statement_timeout: Duration,
}

impl Options {
    fn parse(mut words: Parser) -> Result<Self, Failure> {
        let mut options = Self {
            action: String::new(),
            dir: "migrations".into(),
            to: None,
            json: false,
            lock_timeout: told("TAGLINE_LOCK_TIMEOUT_MS").unwrap_or(Duration::from_secs(5)),
            statement_timeout: told("TAGLINE_STATEMENT_TIMEOUT_MS").unwrap_or(Duration::from_mins(15)),
        };
        while let Some(word) = words.next()? {
            match word {
                Arg::Value(action) if options.action.is_empty() => options.action = action.string()?,
                Arg::Long("dir") => options.dir = words.value()?.into(),
                Arg::Long("to") => options.to = Some(words.value()?.parse()?),
                Arg::Long("json") => options.json = true,
                Arg::Long("lock-timeout") => options.lock_timeout = duration(&mut words)?,
                Arg::Long("statement-timeout") => options.statement_timeout = duration(&mut words)?,
                other => return Err(other.unexpected().into()),
            }
        }
        match (options.action.as_str(), options.to) {
            ("down", None) => Err(Failure::usage("down needs --to N: the version that is left")),
            ("status", Some(_)) => Err(Failure::usage("status takes no --to")),
            ("up" | "down" | "status" | "verify", _) => Ok(options),
            (other, _) => Err(Failure::usage(format!("migrate `{other}`: up, down, status or verify"))),
        }
    }
}

/// What a release engine says in milliseconds; the command line wins over it.
fn told(name: &str) -> Option<Duration> {
    std::env::var(name).ok()?.parse().ok().map(Duration::from_millis)
}

fn duration(words: &mut Parser) -> Result<Duration, Failure> {
    units::duration(&words.value()?.string()?).map_err(Failure::usage)
}

/// Carries out `up`, `down`, `status` or `verify`.
pub(crate) fn command(words: Parser) -> Result<(), Failure> {
    let options = Options::parse(words)?;
    let known = files::read(&options.dir)?;
    if let Some(to) = options.to.filter(|to| *to != 0 && !known.iter().any(|one| one.version == *to)) {
        return Err(Failure::usage(format!("--to {to}: no such migration in {}", options.dir.display())));
    }
    let mut schema = Schema::open(database::connect("demo migrate")?, options.lock_timeout, options.statement_timeout)?;
    match options.action.as_str() {
        "up" => up(&mut schema, &known, options.to),
        "down" => down(&mut schema, &known, options.to.unwrap_or(0)),
        "verify" => verify(&mut schema, &known, options.to),
        _ => status(&mut schema, &known, options.json),
    }
}

/// Makes everything up to a version in a database that a backup is restored into.
pub(crate) fn make(client: postgres::Client, dir: &std::path::Path, to: i64) -> Result<(), Failure> {
    if to == 0 {
        return Ok(());
    }
    let known = files::read(dir)?;
    let mut schema = Schema::open(client, Duration::from_secs(5), Duration::from_mins(15))?;
    for one in known.iter().filter(|one| one.version <= to) {
        schema.apply(one)?;
    }
    match schema.version()? {
        reached if reached == to => Ok(()),
        reached => Err(Failure::new(format!("the migrations here lead to {reached:03}, the backup is of {to:03}"))),
    }
}

fn up(schema: &mut Schema, known: &[Migration], to: Option<i64>) -> Result<(), Failure> {
    schema.lock()?;
    let applied = schema.clean()?;
    let wanted = |one: &&Migration| to.is_none_or(|to| one.version <= to);
    let pending: Vec<&Migration> = known.iter().filter(wanted).filter(|one| !applied.contains(&one.version)).collect();
    let newest = applied.last().copied().unwrap_or(0);
    if let Some(late) = pending.iter().find(|one| one.version < newest) {
        return Err(Failure::new(format!(
            "{late} is pending below {newest:03}, which is applied; give it a higher number"
        )));
    }
    for one in &pending {
        schema.apply(one)?;
        println!("applied {one}");
    }
    println!("version {:03}, {} applied now", schema.version()?, pending.len());
    Ok(())
}

fn down(schema: &mut Schema, known: &[Migration], to: i64) -> Result<(), Failure> {
    schema.lock()?;
    let applied = schema.clean()?;
    let mut reverted = Vec::new();
    for version in applied.iter().rev().filter(|version| **version > to) {
        let Some(one) = known.iter().find(|one| one.version == *version) else {
            return Err(Failure::new(format!("down to {to}: {version:03} is applied, and its files are not here")));
        };
        if one.down.is_none() {
            return Err(Failure::new(format!("down to {to}: {one} is irreversible (no down)")));
        }
        reverted.push(one);
    }
    for one in &reverted {
        schema.revert(one)?;
        println!("reverted {one}");
    }
    println!("version {:03}, {} reverted now", schema.version()?, reverted.len());
    Ok(())
}

/// Fails unless everything up to the target is applied, nothing above it, and every `verify` file says yes.
fn verify(schema: &mut Schema, known: &[Migration], to: Option<i64>) -> Result<(), Failure> {
    let applied = schema.clean()?;
    let mut wrong = 0;
    for one in known {
        let wanted = to.is_none_or(|to| one.version <= to);
        let sentence = match (wanted, applied.contains(&one.version)) {
            (true, false) => Some("is not applied".to_owned()),
            (false, true) => Some("is applied".to_owned()),
            (true, true) => schema.verify(one)?,
            (false, false) => None,
        };
        wrong += u32::from(sentence.is_some());
        match sentence {
            Some(sentence) => println!("not ok {one} {sentence}"),
            None if wanted => println!("ok {one}"),
            None => {}
        }
    }
    if wrong == 0 {
        Ok(())
    } else {
        Err(Failure::new(format!("{wrong} of {} migrations are not as they should be", known.len())))
    }
}

fn status(schema: &mut Schema, known: &[Migration], as_json: bool) -> Result<(), Failure> {
    let rows = schema.rows()?;
    let version = rows.last().map_or(0, |row| row.version);
    let dirty: Vec<i64> = rows.iter().filter(|row| row.dirty).map(|row| row.version).collect();
    let state = |one: &Migration| if rows.iter().any(|row| row.version == one.version) { "applied" } else { "pending" };
    if as_json {
        let list: Vec<_> = known
            .iter()
            .map(|one| json!({"version": one.version, "name": one.name, "state": state(one), "reversible": one.down.is_some()}))
            .collect();
        println!("{}", json!({"version": version, "dirty": dirty, "migrations": list}));
        return Ok(());
    }
    for one in known {
        println!("{one} {}{}", state(one), if one.down.is_none() { " irreversible" } else { "" });
    }
    for version in dirty {
        println!("{version:03} dirty");
    }
    println!("version {version:03}");
    Ok(())
}
