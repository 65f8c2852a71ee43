//! `demo db`: SQL on the database of the environment, for places without `psql`; backups of it and its accounts.

mod backup;
mod rotate;

use std::io::{self, Write};

use lexopt::{Arg, Parser, ValueExt};
use postgres::{SimpleQueryMessage, SimpleQueryRow};
use serde_json::{Map, Value, json};

use crate::database;
use crate::failure::Failure;

/// `exec SQL` prints `{"rows": N}` of the last statement, all statements being one transaction; `query SQL` prints rows
/// separated by tabs under a line of names, or with `--json` one array of objects. Values are text as PostgreSQL
/// writes it. `--rows N` fails, and changes nothing, unless that many rows were changed.
pub(crate) fn command(mut words: Parser) -> Result<(), Failure> {
    let (mut given, mut as_json, mut expected) = (Vec::new(), false, None);
    while let Some(word) = words.next()? {
        if given.is_empty()
            && let Arg::Value(action) = &word
        {
            match action.to_str().unwrap_or_default() {
                "backup" => return backup::backup(words),
                "verify" => return backup::verify(words),
                "restore" => return backup::restore(words),
                "rotate" => return rotate::command(words),
                _ => {}
            }
        }
        match word {
            Arg::Value(value) if given.len() < 2 => given.push(value.string()?),
            Arg::Long("json") => as_json = true,
            Arg::Long("rows") => expected = Some(words.value()?.parse::<u64>()?),
            other => return Err(other.unexpected().into()),
        }
    }
    match given.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["exec", sql] if !as_json => exec(sql, expected),
        ["query", sql] if expected.is_none() => query(sql, as_json),
        _ => Err(Failure::usage("db exec SQL [--rows N], db query SQL [--json], db backup, verify, restore or rotate")),
    }
}

fn exec(sql: &str, expected: Option<u64>) -> Result<(), Failure> {
    let mut client = database::connect("demo db")?;
    let mut transaction = client.transaction()?;
    let counts = transaction.simple_query(sql)?.into_iter().filter_map(|message| match message {
        SimpleQueryMessage::CommandComplete(rows) => Some(rows),
        _ => None,
    });
    let rows = counts.last().unwrap_or(0);
    if let Some(expected) = expected.filter(|expected| *expected != rows) {
        return Err(Failure::new(format!("{rows} rows, expected {expected}; nothing was changed")));
    }
    transaction.commit()?;
    println!("{}", json!({"rows": rows}));
    Ok(())
}

fn query(sql: &str, as_json: bool) -> Result<(), Failure> {
    let mut client = database::connect("demo db")?;
    let messages = client.simple_query(sql)?;
    let rows: Vec<&SimpleQueryRow> = messages
        .iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        })
        .collect();
    let names: Option<Vec<String>> = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::RowDescription(columns) => {
            Some(columns.iter().map(|column| column.name().to_owned()).collect())
        }
        _ => None,
    });
    let text = if as_json { objects(&rows).to_string() } else { table(&names.unwrap_or_default(), &rows) };
    // Whoever stopped reading has seen enough.
    drop(writeln!(io::stdout(), "{text}"));
    Ok(())
}

fn objects(rows: &[&SimpleQueryRow]) -> Value {
    rows.iter()
        .map(|row| {
            let pairs = row.columns().iter().enumerate();
            Value::Object(
                pairs.map(|(at, column)| (column.name().to_owned(), row.get(at).into())).collect::<Map<_, _>>(),
            )
        })
        .collect()
}

fn table(names: &[String], rows: &[&SimpleQueryRow]) -> String {
    let mut lines = vec![names.join("\t")];
    for row in rows {
        let cells = (0..row.len()).map(|at| row.get(at).unwrap_or("").replace(['\t', '\n'], " "));
        lines.push(cells.collect::<Vec<_>>().join("\t"));
    }
    lines.join("\n")
}
