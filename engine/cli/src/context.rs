//! What all commands share: where the store is, which repository is meant, how to print.

use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tagline_run::{RunId, RunState};
use tagline_server::clock;
use tagline_server::repository::Repository;
use tagline_store::{Store, StoreError, StoreFolder};

use crate::args::Global;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::words;

/// What every command gets.
#[derive(Debug)]
pub(crate) struct Context {
    /// Where the store is or will be.
    pub(crate) store: StoreFolder,
    /// Standard output and standard error.
    pub(crate) output: Output,
    /// More is wanted.
    pub(crate) verbose: bool,
    repo: Option<PathBuf>,
    /// The store was named on the command line or by `TAGLINE_STORE`.
    named_store: bool,
    /// Found when a time is first shown: it takes milliseconds.
    zone: LazyLock<TimeZone>,
}

impl Context {
    /// From the flags of every command and the environment.
    pub(crate) fn new(global: &Global) -> Result<Self, Failure> {
        Ok(Self {
            store: store_folder(global.store.as_deref())?,
            output: Output::new(),
            verbose: global.verbose,
            repo: global.repo.clone(),
            named_store: global.store.is_some(),
            zone: LazyLock::new(TimeZone::system),
        })
    }

    /// The folder the command works in: `--repo`, else the current one.
    pub(crate) fn folder(&self) -> PathBuf {
        self.repo.clone().unwrap_or_else(|| PathBuf::from("."))
    }

    /// Whether `--repo` was given.
    pub(crate) fn names_repository(&self) -> bool {
        self.repo.is_some()
    }

    /// The repository the command works in.
    pub(crate) fn repository(&self) -> Result<Repository, Failure> {
        Ok(Repository::open(&self.folder())?)
    }

    /// The store for writing, made where there is none.
    pub(crate) fn open_store(&self) -> Result<Arc<Store>, Failure> {
        Ok(Arc::new(Store::open(&self.store)?))
    }

    /// The store for reading, beside whoever writes.
    pub(crate) fn read_store(&self) -> Result<Store, Failure> {
        Ok(Store::open_read_only(&self.store)?)
    }

    /// The store for reading; none where there is no store yet.
    pub(crate) fn read_store_if_any(&self) -> Result<Option<Store>, Failure> {
        match Store::open_read_only(&self.store) {
            Ok(store) => Ok(Some(store)),
            Err(StoreError::Missing(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// A command for the reader to type, such as `resume 4`: with `--store` where this command was given one.
    pub(crate) fn command(&self, words: impl std::fmt::Display) -> String {
        if self.named_store {
            format!("tagline {words} --store {}", self.store.url())
        } else {
            format!("tagline {words}")
        }
    }

    /// A line with commands in it: with `--store` in each where this command was given one.
    pub(crate) fn at_store(&self, line: &str) -> String {
        if self.named_store { crate::failure::at_store(line, &self.store.url()) } else { line.to_owned() }
    }

    /// The state of a run with the store it was read from.
    pub(crate) fn run_state(&self, run: RunId) -> Result<(Store, RunState), Failure> {
        let store = self.read_store()?;
        let state = tagline_server::ledger::state(&store, run)?;
        Ok((store, state))
    }

    /// Says so where the store's clock was moved: nobody should wonder about times that have not come yet.
    pub(crate) fn warn_of_clock(&self) {
        if let Some(moved) = clock::of_store(&self.store).filter(|moved| !moved.is_zero()) {
            self.output
                .note(format!("warning: the clock of this store is {moved:#} ahead of the time of day, for a test"));
        }
    }

    /// Milliseconds since the epoch as the reader sees them now.
    pub(crate) fn time_of(&self, milliseconds: i64) -> String {
        Timestamp::from_millisecond(milliseconds).map_or_else(|_| "?".to_owned(), |at| self.time(at))
    }

    /// A time to the second, for what follows each other fast.
    pub(crate) fn moment(&self, at: Timestamp) -> String {
        let shown = self.time(at);
        format!("{shown}{}", at.to_zoned(self.zone.clone()).strftime(":%S"))
    }

    /// A time as the reader sees it now.
    pub(crate) fn time(&self, at: Timestamp) -> String {
        words::time(at, clock::now(), &self.zone)
    }
}

/// `--store`, else `$XDG_DATA_HOME/tagline`, else `~/.local/share/tagline`.
fn store_folder(url: Option<&str>) -> Result<StoreFolder, Failure> {
    if let Some(url) = url {
        return Ok(StoreFolder::from_url(url)?);
    }
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let data = absolute("XDG_DATA_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/share")));
    data.map(|data| StoreFolder::at(data.join("tagline"))).ok_or_else(|| {
        Failure::new(
            Exit::Unusable,
            "no-home",
            "there is no place for the store: neither XDG_DATA_HOME nor HOME is set",
        )
        .next("set HOME, or name a store: tagline doctor --store sqlite:///var/lib/tagline")
    })
}
