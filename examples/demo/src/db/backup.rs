//! `demo db backup|verify|restore`: what is in the tables as one file, and back.
//!
//! The file holds data only: the schema is what the release's migrations make of the version that the file names. It is
//! lines of JSON, each table's line followed by its rows as PostgreSQL's `copy` writes them; the last line says that it is
//! whole. A restore is one transaction in which row counts are compared.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use lexopt::{Arg, Parser, ValueExt};
use postgres::{Client, Transaction};
use serde_json::{Value, json};

use crate::database::Settings;
use crate::failure::Failure;
use crate::migrate;

/// Words that the three commands share.
struct Options {
    name: Option<String>,
    dir: PathBuf,
    into: Option<String>,
    migrations: PathBuf,
    check: String,
    swap: bool,
    in_place: bool,
}

impl Options {
    /// What is not said is taken from the variables that a release engine sets.
    fn parse(mut words: Parser) -> Result<Self, Failure> {
        let told = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let mut options = Self {
            name: None,
            dir: "/backup".into(),
            into: told("TAGLINE_INTO"),
            migrations: "/migrations".into(),
            check: told("TAGLINE_BACKUP_CHECK").unwrap_or_else(|| "none".to_owned()),
            swap: told("TAGLINE_SWAP").is_some_and(|value| value == "true"),
            in_place: told("TAGLINE_IN_PLACE").is_some_and(|value| value == "true"),
        };
        while let Some(word) = words.next()? {
            match word {
                Arg::Value(name) if options.name.is_none() => options.name = Some(name.string()?),
                Arg::Long("dir") => options.dir = words.value()?.into(),
                Arg::Long("into") => options.into = Some(words.value()?.string()?),
                Arg::Long("migrations") => options.migrations = words.value()?.into(),
                Arg::Long("check") => options.check = words.value()?.string()?,
                Arg::Long("swap") => options.swap = true,
                Arg::Long("in-place") => options.in_place = true,
                other => return Err(other.unexpected().into()),
            }
        }
        options.name = options.name.or_else(|| told("TAGLINE_BACKUP"));
        Ok(options)
    }

    fn file(&self) -> Result<(String, PathBuf), Failure> {
        let name = self.name.clone().ok_or_else(|| Failure::usage("which backup? its name"))?;
        if name.contains('/') || name.starts_with('.') {
            return Err(Failure::usage(format!("{name} is not a backup's name")));
        }
        let path = self.dir.join(format!("{name}.backup"));
        Ok((name, path))
    }
}

/// Takes a backup, checks it as asked, and prints `{"name", "size", "digest", "at", "checked"}`.
pub(super) fn backup(words: Parser) -> Result<(), Failure> {
    let mut options = Options::parse(words)?;
    let settings = Settings::required()?;
    let at = jiff::Timestamp::now();
    options.name.get_or_insert_with(|| format!("backup-{}", at.strftime("%Y%m%dT%H%M%SZ")));
    let (name, path) = options.file()?;
    let mut client = settings.connect("demo db backup")?;
    let bytes = dump(&mut client, &name, &at.to_string())?;
    let part = path.with_extension("part");
    let failed = |error: std::io::Error| Failure::new(format!("{}: {error}", path.display()));
    let mut file = File::create(&part).map_err(failed)?;
    file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(failed)?;
    fs::hard_link(&part, &path).map_err(failed)?;
    fs::remove_file(&part).map_err(failed)?;
    let digest = digest(&mut client, &path)?;
    let checked = match options.check.as_str() {
        "restore" => {
            try_restore(&settings, &mut client, &path, &options.migrations)?;
            "restore"
        }
        "checksum" => "checksum",
        _ => "",
    };
    println!(
        "{}",
        json!({"name": name, "size": bytes.len(), "digest": digest, "at": at.to_string(), "checked": checked})
    );
    Ok(())
}

/// Restores a backup into a scratch database, compares, and removes it.
pub(super) fn verify(words: Parser) -> Result<(), Failure> {
    let options = Options::parse(words)?;
    let (name, path) = options.file()?;
    let settings = Settings::required()?;
    let rows = try_restore(&settings, &mut settings.connect("demo db verify")?, &path, &options.migrations)?;
    println!("{}", json!({"name": name, "rows": rows, "checked": "restore"}));
    Ok(())
}

/// Brings a backup back: into a new database, which takes the live one's name with `--swap`; or, with `--in-place`, into the
/// live one, whose schema must be of the same version. Prints `{"database", "rows", "swapped", "before"}`.
pub(super) fn restore(words: Parser) -> Result<(), Failure> {
    let options = Options::parse(words)?;
    let (name, path) = options.file()?;
    let settings = Settings::required()?;
    let live = settings.database()?;
    if options.in_place {
        let rows = fill(&mut settings.connect("demo db restore")?, &path, true)?;
        println!("{}", json!({"database": live, "rows": rows, "swapped": false, "before": null}));
        return Ok(());
    }
    let clean: String = name.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let into = options.into.clone().unwrap_or_else(|| format!("{live}_{clean}"));
    let mut client = settings.connect("demo db restore")?;
    create(&mut client, &into)?;
    let target = settings.with_database(&into);
    let rows = restore_into(&target, &path, &options.migrations)?;
    drop(client);
    let before = if options.swap { Some(swap(&settings, &live, &into)?) } else { None };
    let database = if options.swap { &live } else { &into };
    println!("{}", json!({"database": database, "rows": rows, "swapped": options.swap, "before": before}));
    Ok(())
}

fn try_restore(settings: &Settings, client: &mut Client, path: &Path, migrations: &Path) -> Result<u64, Failure> {
    let scratch = format!("scratch_{}_{}", std::process::id(), jiff::Timestamp::now().as_millisecond());
    create(client, &scratch)?;
    let rows = restore_into(&settings.with_database(&scratch), path, migrations);
    client.batch_execute(&format!("drop database {scratch}"))?;
    rows
}

fn create(client: &mut Client, name: &str) -> Result<(), Failure> {
    let statement: String = client.query_one("select format('create database %I', $1::text)", &[&name])?.get(0);
    Ok(client.batch_execute(&statement)?)
}

/// The schema by the migrations, then the data.
fn restore_into(target: &Settings, path: &Path, migrations: &Path) -> Result<u64, Failure> {
    let version = Reader::open(path)?.head["version"].as_i64().unwrap_or(0);
    migrate::make(target.connect("demo db restore")?, migrations, version)?;
    fill(&mut target.connect("demo db restore")?, path, false)
}

/// The live database gets another name, and the restored one its own. Nobody may be connected to either.
fn swap(settings: &Settings, live: &str, into: &str) -> Result<String, Failure> {
    let before = format!("{live}_before_{}", jiff::Timestamp::now().strftime("%Y%m%d%H%M%S"));
    let mut client = settings.with_database("postgres").connect("demo db restore")?;
    for (from, to) in [(live, before.as_str()), (into, live)] {
        let statement: String = client
            .query_one("select format('alter database %I rename to %I', $1::text, $2::text)", &[&from, &to])?
            .get(0);
        client.batch_execute(&statement)?;
    }
    Ok(before)
}

/// Everything in the tables of `public`, as of one moment.
fn dump(client: &mut Client, name: &str, at: &str) -> Result<Vec<u8>, Failure> {
    let mut transaction =
        client.build_transaction().isolation_level(postgres::IsolationLevel::RepeatableRead).read_only(true).start()?;
    let version = version(&mut transaction)?;
    let mut bytes = format!("{}\n", json!({"format": 1, "name": name, "version": version, "at": at})).into_bytes();
    for table in tables(&mut transaction)? {
        let mut rows = Vec::new();
        let copied = transaction.copy_out(&format!("copy {table} to stdout"))?.read_to_end(&mut rows);
        copied.map_err(|error| Failure::new(format!("{table}: {error}")))?;
        let count = rows.split(|byte| *byte == b'\n').count() - 1;
        bytes.extend(format!("{}\n", json!({"table": table, "rows": count, "bytes": rows.len()})).bytes());
        bytes.extend(rows);
    }
    bytes.extend(b"{\"end\":true}\n");
    Ok(bytes)
}

/// The tables with data of their own, quoted; the list of migrations is made by them.
fn tables(transaction: &mut Transaction<'_>) -> Result<Vec<String>, Failure> {
    let sql = "select format('%I.%I', schemaname, tablename) from pg_tables \
               where schemaname = 'public' and tablename <> 'schema_migrations' order by 1";
    Ok(transaction.query(sql, &[])?.iter().map(|row| row.get(0)).collect())
}

fn version(transaction: &mut Transaction<'_>) -> Result<i64, Failure> {
    let there: bool = transaction.query_one("select to_regclass('schema_migrations') is not null", &[])?.get(0);
    if !there {
        return Ok(0);
    }
    Ok(transaction.query_one("select coalesce(max(version), 0) from schema_migrations", &[])?.get(0))
}

/// Puts a backup's rows in place of what the tables hold, or changes nothing.
fn fill(client: &mut Client, path: &Path, same_version: bool) -> Result<u64, Failure> {
    let mut reader = Reader::open(path)?;
    let mut transaction = client.transaction()?;
    let (has, wants) = (version(&mut transaction)?, reader.head["version"].as_i64().unwrap_or(0));
    if same_version && has != wants {
        return Err(Failure::new(format!("the schema is at {has:03}, the backup at {wants:03}; nothing was changed")));
    }
    let (mut known, mut all) = (tables(&mut transaction)?, 0);
    for table in &known {
        transaction.batch_execute(&format!("truncate {table} cascade"))?;
    }
    while let Some((table, expected, rows)) = reader.next()? {
        if !known.contains(&table) {
            return Err(Failure::new(format!("{table} is not made by the migrations up to {wants:03}")));
        }
        known.retain(|one| *one != table);
        let mut writer = transaction.copy_in(&format!("copy {table} from stdin"))?;
        writer.write_all(&rows).map_err(|error| Failure::new(format!("{table}: {error}")))?;
        let count = writer.finish()?;
        if count != expected {
            return Err(Failure::new(format!(
                "{table}: {count} rows restored, {expected} expected; nothing was changed"
            )));
        }
        all += count;
    }
    transaction.commit()?;
    Ok(all)
}

/// The digest of a file, worked out by the database.
fn digest(client: &mut Client, path: &Path) -> Result<String, Failure> {
    let bytes = fs::read(path).map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
    let hex: String = client.query_one("select encode(sha256($1::bytea), 'hex')", &[&bytes])?.get(0);
    Ok(format!("sha256:{hex}"))
}

/// Reads a backup.
struct Reader {
    head: Value,
    file: BufReader<File>,
    path: PathBuf,
}

impl Reader {
    fn open(path: &Path) -> Result<Self, Failure> {
        let file = File::open(path).map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
        let mut reader = Self { head: Value::Null, file: BufReader::new(file), path: path.to_owned() };
        reader.head = reader.line()?;
        if reader.head["format"] != 1 {
            return Err(reader.broken());
        }
        Ok(reader)
    }

    fn line(&mut self) -> Result<Value, Failure> {
        let mut line = String::new();
        let read = self.file.read_line(&mut line);
        read.ok().and_then(|_| serde_json::from_str(&line).ok()).ok_or_else(|| self.broken())
    }

    fn broken(&self) -> Failure {
        Failure::new(format!("{} is cut short or is no backup", self.path.display()))
    }

    /// The next table: its name, how many rows it has, and the rows. None after the last line of a whole file.
    fn next(&mut self) -> Result<Option<(String, u64, Vec<u8>)>, Failure> {
        let line = self.line()?;
        if line["end"] == true {
            return Ok(None);
        }
        let number = |key: &str| line[key].as_u64();
        let (Some(table), Some(rows), Some(bytes)) = (line["table"].as_str(), number("rows"), number("bytes")) else {
            return Err(self.broken());
        };
        let mut data = Vec::new();
        let read = (&mut self.file).take(bytes).read_to_end(&mut data);
        if read.ok().is_none_or(|read| read as u64 != bytes) {
            return Err(self.broken());
        }
        Ok(Some((table.to_owned(), rows, data)))
    }
}
