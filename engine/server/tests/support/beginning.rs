//! How the release begins: in this process, or in one of its own that is killed as soon as the run is stored.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use tagline_run::RunId;
use tagline_server::planner::{Ask, plan};
use tagline_server::repository::Repository;
use tagline_server::{BeginOptions, Faults, begin};
use tagline_store::{SecretScope, Store, StoreFolder};

use super::built;
use super::platform::TOKEN;

/// The variable that makes a process begin a run; it holds a [`Beginning`].
pub(crate) const VARIABLE: &str = "TAGLINE_CRASH_BEGIN";

/// What begins.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Beginning {
    pub(crate) store: PathBuf,
    pub(crate) repository: PathBuf,
    /// The platform's token stays in the store; else it comes with the run.
    pub(crate) keep_token: bool,
    /// Whether the process is to be killed once the run is stored.
    pub(crate) killed: bool,
}

impl Beginning {
    /// Begins the run of the tag, or finds the one that was begun.
    pub(crate) fn begin(&self) -> RunId {
        let store = Store::open(&StoreFolder::at(&self.store)).unwrap();
        let repository = Repository::open(&self.repository).unwrap();
        let faults = Faults { kill_stored: self.killed.then_some(1), ..Faults::default() };
        let mut options = BeginOptions { runner: "auto".into(), faults, ..BeginOptions::default() };
        let token = (String::from("PLATFORM_TOKEN"), TOKEN.to_owned());
        if self.keep_token {
            let scope = SecretScope { root: repository.root().to_string_lossy().into_owned(), environment: None };
            store.set_secret(&scope, &token.0, &token.1, 0).unwrap();
        } else {
            options.secrets = IndexMap::from([token]);
        }
        let ask = Ask { tag: Some(built::TAG.into()), ..Ask::default() };
        let planned = plan(&repository, &ask).unwrap_or_else(|error| panic!("{error:?}"));
        begin(&store, &repository, &planned[0], &options).unwrap().run
    }

    /// Begins it in a process that is killed right after.
    pub(crate) fn begin_and_die(&self) {
        let killed = Self { killed: true, ..self.clone() };
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["begin_process", "--exact", "--test-threads=1"]);
        command.env(VARIABLE, serde_json::to_string(&killed).unwrap());
        let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9), "{status}");
    }
}
