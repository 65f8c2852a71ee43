//! `tagline/migrate`: the database's schema to a version, by a Job of our own.
//!
//! The Job is made from `job`: a CronJob's template or a manifest, with the release's digest. It gets `TAGLINE_DIRECTION`, `TAGLINE_TO`,
//! `TAGLINE_LOCK_TIMEOUT_MS`, `TAGLINE_STATEMENT_TIMEOUT_MS` and `TAGLINE_BATCH` as environment variables, beyond what its manifest
//! says. `args` (one a line) replace its container's arguments; in them `{to}` stands for the version asked for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::reader::Reader;
use super::source::image;
use super::units::{dns_label, relative_path};
use super::{JobSource, Period, Problem};
use crate::ImageRef;
use crate::migrate::Version;

/// `tagline/migrate`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MigrateInputs {
    /// The unit; the repository's name where it is not given.
    pub name: Option<String>,
    /// The folder of migrations in the repository, for what the plan shows of them.
    pub dir: Option<String>,
    /// How they are named.
    pub style: Style,
    /// Up or down.
    pub direction: Direction,
    /// The version to reach: the newest upwards; required downwards.
    pub to: Option<String>,
    /// What runs them.
    pub job: JobKnobs,
    /// Arguments downwards; those of upwards where there is none.
    pub down_args: Vec<String>,
    /// Arguments that print the version in force; asked before and after.
    pub status_args: Vec<String>,
    /// Arguments that verify the schema; run afterwards.
    pub verify_args: Vec<String>,
    /// Versions without a way down, beyond those that their files show to have none.
    pub irreversible: Vec<String>,
    /// How often a Job that failed is tried again.
    pub retries: u32,
    /// Running it twice does no harm.
    pub idempotent: bool,
    /// Of one Job.
    pub timeout: Period,
    /// A statement that waits so long for a lock fails.
    pub lock_timeout: Period,
    /// A statement that runs so long fails.
    pub statement_timeout: Period,
    /// Rows of one statement of a backfill.
    pub batch: u32,
    /// What kind of change it is.
    pub phase: Phase,
    /// The backup that is taken first.
    pub backup: BackupKnobs,
    /// How long Jobs and their logs are kept.
    pub keep_jobs: Period,
}

/// A Job of ours.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobKnobs {
    /// What it is made from; absent only where a problem was told, or where the action needs none.
    pub source: Option<JobSource>,
    /// The container that `image`, `args` and `env` are for; the only one where it is not given.
    pub container: Option<String>,
    /// Its image; the release's where it is not given.
    pub image: Option<ImageRef>,
    /// Its arguments; those of the manifest where there is none.
    pub args: Vec<String>,
    /// Further environment variables.
    pub env: BTreeMap<String, String>,
}

/// The backup that must be there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BackupKnobs {
    /// What takes it; none is taken where it is not given. Its Job prints one line of JSON,
    /// `{"name", "size", "digest", "at"}`, last.
    pub job: Option<JobSource>,
    /// Arguments of its container; those of the manifest where there is none.
    pub args: Vec<String>,
    /// An older one does not count.
    pub max_age: Period,
    /// How it is verified.
    pub check: BackupCheck,
    /// A smaller one is none, in bytes.
    pub min_size: u64,
}

/// How migrations are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Style {
    /// By what lies in the folder.
    Auto,
    /// `001_create.up.sql`, `001_create.down.sql`, an optional `001_create.verify.sql`.
    Tagline,
    /// `V1__create.sql`, `U1__create.sql`.
    Flyway,
    /// `1_create.up.sql`, `1_create.down.sql`.
    GolangMigrate,
    /// `20250101_create.sql` with `-- //@UNDO`.
    Mybatis,
    /// The Job knows; nothing is read from files.
    Job,
}

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// Newer.
    Up,
    /// Older.
    Down,
}

/// What kind of change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Adds only: the old version goes on working.
    Expand,
    /// Takes away: nothing of the old version may be left.
    Contract,
}

/// How a backup is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BackupCheck {
    /// Restored into a scratch database.
    Restore,
    /// Size and digest.
    Checksum,
    /// Not at all.
    None,
}

const STYLES: [(&str, Style); 6] = [
    ("auto", Style::Auto),
    ("tagline", Style::Tagline),
    ("flyway", Style::Flyway),
    ("golang-migrate", Style::GolangMigrate),
    ("mybatis", Style::Mybatis),
    ("job", Style::Job),
];
const DIRECTIONS: [(&str, Direction); 2] = [("up", Direction::Up), ("down", Direction::Down)];
const PHASES: [(&str, Phase); 2] = [("expand", Phase::Expand), ("contract", Phase::Contract)];
pub(super) const CHECKS: [(&str, BackupCheck); 3] =
    [("restore", BackupCheck::Restore), ("checksum", BackupCheck::Checksum), ("none", BackupCheck::None)];

impl MigrateInputs {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let inputs = Self {
            name: reader.read("name", dns_label),
            dir: reader.read("dir", relative_path),
            style: reader.choice("style", "a style of migrations", &STYLES),
            direction: reader.choice("direction", "a direction", &DIRECTIONS),
            to: reader.text("to"),
            job: JobKnobs {
                source: reader.read("job", JobSource::parse),
                container: reader.read("container", dns_label),
                image: reader.read("image", image),
                args: reader.lines("args", verbatim),
                env: environment(reader, "env"),
            },
            down_args: reader.lines("down-args", verbatim),
            status_args: reader.lines("status-args", verbatim),
            verify_args: reader.lines("verify-args", verbatim),
            irreversible: reader.words("irreversible", version),
            retries: reader.count("retries", 0).unwrap_or_default(),
            idempotent: reader.flag("idempotent"),
            timeout: reader.period("timeout"),
            lock_timeout: reader.period("lock-timeout"),
            statement_timeout: reader.period("statement-timeout"),
            batch: reader.count("batch", 1).unwrap_or(1),
            phase: reader.choice("phase", "a phase", &PHASES),
            backup: BackupKnobs {
                job: reader.read("backup", JobSource::parse),
                args: reader.lines("backup-args", verbatim),
                max_age: reader.period("backup-max-age"),
                check: reader.choice("backup-check", "a check of a backup", &CHECKS),
                min_size: reader.bytes("backup-min-size"),
            },
            keep_jobs: reader.period("jobs"),
        };
        inputs.check(reader);
        inputs
    }

    fn check(&self, reader: &mut Reader<'_>) {
        if !reader.is_given("job") {
            reader.problem("job", "nothing runs the migrations; cronjob/NAME or a manifest's path");
        }
        let down = self.direction == Direction::Down;
        reader.rule(&["to", "direction"], down && self.to.is_none(), || "down needs the version to go to".to_owned());
        reader.rule(&["retries", "idempotent"], self.retries > 0 && !self.idempotent, || {
            format!("retries {}: a migration is not retried unless idempotent: true", self.retries)
        });
        let (lock, statement) = (self.lock_timeout, self.statement_timeout);
        reader.rule(&["lock-timeout", "statement-timeout"], lock > statement, || {
            format!("lock-timeout {lock} is longer than statement-timeout {statement}: it never comes first")
        });
        reader.rule(&["timeout"], self.timeout.is_zero(), || "0s: longer than 0s".to_owned());
        for key in ["backup-args", "backup-max-age", "backup-check", "backup-min-size"] {
            if reader.is_given(key) && !reader.is_given("backup") {
                reader.problem(key, "belongs to backup, which is not given; cronjob/NAME or a manifest's path");
            }
        }
    }

    /// Versions are named that must not be taken back, and this goes down: it must be known how far.
    pub(crate) fn guards_a_way_back(&self) -> bool {
        self.direction == Direction::Down && !self.irreversible.is_empty()
    }

    pub(super) fn for_protected(&self, environment: &str) -> Vec<Problem> {
        if self.backup.job.is_some() {
            return Vec::new();
        }
        let message = format!("{environment} has reviewers: backup is required; cronjob/NAME or a manifest's path");
        vec![Problem::new("backup", message)]
    }
}

/// The version of a schema, as it is written.
fn version(word: &str) -> Result<String, String> {
    Version::parse(word).map(|_| word.to_owned())
}

/// A line as it is.
#[expect(clippy::unnecessary_wraps, reason = "a parser for the reader")]
pub(super) fn verbatim(line: &str) -> Result<String, String> {
    Ok(line.to_owned())
}

/// `NAME=VALUE` lines whose names an environment variable may have.
pub(super) fn environment(reader: &mut Reader<'_>, key: &'static str) -> BTreeMap<String, String> {
    let pairs = reader.pairs(key);
    for (name, _) in &pairs {
        let inner = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        if !name.chars().all(inner) || name.starts_with(|c: char| c.is_ascii_digit()) {
            reader.problem(key, format!("\"{name}\" is not the name of an environment variable"));
        }
    }
    pairs.into_iter().collect()
}
