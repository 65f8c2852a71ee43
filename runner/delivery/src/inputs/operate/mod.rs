//! `tagline/operate`: one operation on what runs, remembered so that it can be undone.

mod read;

pub(super) use read::job as read_job;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::migrate::{BackupCheck, JobKnobs};
use super::{JobSource, Period, Quantity, WorkloadRef};

/// `tagline/operate`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OperateInputs {
    /// What is done.
    pub verb: Verb,
    /// Why, for the record.
    pub reason: Option<String>,
    /// Undoes what the same operation did before, instead of doing it.
    pub undo: bool,
    /// Undone when the run ends, however it ends.
    pub finally: bool,
    /// Undone after so long.
    pub lasting: Option<Period>,
    /// The whole step.
    pub timeout: Period,
}

/// What is done. `do:`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verb {
    /// `scale`
    Scale {
        /// Which.
        workloads: Vec<WorkloadRef>,
        /// How many pods each gets.
        replicas: u32,
        /// What becomes of their autoscalers.
        hpa: Hpa,
    },
    /// `restart`
    Restart {
        /// Which.
        workloads: Vec<WorkloadRef>,
    },
    /// `set-env`
    SetEnv {
        /// Which.
        workloads: Vec<WorkloadRef>,
        /// In which container; in all where it is not given.
        container: Option<String>,
        /// Names with their values; none removes the variable (`NAME-`).
        env: BTreeMap<String, Option<String>>,
    },
    /// `set-resources`
    SetResources {
        /// Which.
        workloads: Vec<WorkloadRef>,
        /// In which container; the only one where it is not given.
        container: Option<String>,
        /// `cpu`, `memory`, `ephemeral-storage`.
        requests: BTreeMap<String, Quantity>,
        /// The same.
        limits: BTreeMap<String, Quantity>,
    },
    /// `config`
    Config {
        /// The ConfigMap.
        name: String,
        /// Keys with their values; none removes the key (`KEY-`).
        data: BTreeMap<String, Option<String>>,
        /// Restarts the workloads that refer to it.
        restart: bool,
    },
    /// `flag`
    Flag(FlagKnobs),
    /// `backup`
    Backup {
        /// What takes it.
        job: JobKnobs,
        /// A smaller one is none, in bytes.
        min_size: u64,
        /// How it is verified.
        check: BackupCheck,
    },
    /// `restore`
    Restore(RestoreKnobs),
    /// `sql`
    Sql {
        /// Statements, carried out in one transaction.
        sql: String,
        /// Where.
        database: DatabaseRef,
        /// How many rows must be touched; at least one where it is not given.
        expect_rows: Rows,
        /// The Job's client.
        job: JobKnobs,
    },
    /// `exec`
    Exec {
        /// Whose pods.
        workloads: Vec<WorkloadRef>,
        /// In which container; the pod's default one where it is not given.
        container: Option<String>,
        /// Program and arguments; no shell.
        command: Vec<String>,
        /// In one pod or in all.
        pods: Pods,
    },
}

/// What becomes of an autoscaler when replicas are set by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hpa {
    /// Its bounds hold: a count beyond them is refused.
    Respect,
    /// It is switched off until this is undone.
    Suspend,
    /// Its minimum is set, and its maximum where that is below.
    SetMin,
}

/// A feature flag.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FlagKnobs {
    /// Where it is kept.
    pub store: FlagStore,
    /// Its name.
    pub key: String,
    /// Only for this tenant; for all where it is not given.
    pub tenant: Option<String>,
    /// What it is set to.
    pub value: String,
}

/// Where flags are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FlagStore {
    /// A table with the columns `key`, `tenant` and `value`.
    Sql {
        /// Where.
        database: DatabaseRef,
        /// The table.
        table: String,
        /// The Job's client.
        job: JobKnobs,
    },
    /// A ConfigMap; a tenant's value is under `KEY.TENANT`.
    ConfigMap {
        /// Its name.
        name: String,
        /// Restarts the workloads that refer to it.
        restart: bool,
    },
}

/// `secret/NAME[/KEY]`: a Secret's key that holds the database's URL; `url` where no key is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseRef {
    /// The Secret.
    pub secret: String,
    /// The key.
    pub key: String,
}

/// How a backup is brought back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RestoreKnobs {
    /// What restores.
    pub job: JobKnobs,
    /// Which backup, by the name that `backup` gave as its output.
    pub backup: String,
    /// The new database it is restored into; named after the namespace and the backup where it is not given.
    pub into: Option<String>,
    /// Why it may be restored into the live one.
    pub in_place: Option<String>,
    /// Writers are scaled to 0 first, and brought back afterwards.
    pub stop_writers: bool,
    /// The workloads that write.
    pub writers: Vec<WorkloadRef>,
}

/// How many rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rows {
    /// `N`
    Exactly(u64),
    /// `N+`
    AtLeast(u64),
}

/// In which pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pods {
    /// One that is ready.
    One,
    /// All.
    All,
}

impl Verb {
    /// As `do:` spells it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Scale { .. } => "scale",
            Self::Restart { .. } => "restart",
            Self::SetEnv { .. } => "set-env",
            Self::SetResources { .. } => "set-resources",
            Self::Config { .. } => "config",
            Self::Flag(_) => "flag",
            Self::Backup { .. } => "backup",
            Self::Restore(_) => "restore",
            Self::Sql { .. } => "sql",
            Self::Exec { .. } => "exec",
        }
    }

    /// The Job it runs, where it runs one.
    pub const fn job(&self) -> Option<&JobKnobs> {
        match self {
            Self::Restore(knobs) => Some(&knobs.job),
            Self::Backup { job, .. }
            | Self::Sql { job, .. }
            | Self::Flag(FlagKnobs { store: FlagStore::Sql { job, .. }, .. }) => Some(job),
            _ => None,
        }
    }

    /// What its Job is made from.
    pub fn job_source(&self) -> Option<&JobSource> {
        self.job().and_then(|job| job.source.as_ref())
    }
}
