//! Beginning a run in the store: everything that refuses a release, then the run itself with the secrets it was given,
//! in one transaction.

use std::io;

use indexmap::IndexMap;
use jiff::Timestamp;
use tagline_run::{RunId, RunState, Start, create};
use tagline_store::{First, RunFilter, Store, StoreError};
use thiserror::Error;

use crate::faults::Faults;
use crate::ledger::summary;
use crate::planner::Planned;
use crate::release::{self, ReleaseError};
use crate::repository::Repository;
use crate::secrets::{self, SecretError};

/// How a run is begun.
#[derive(Debug, Clone, Default)]
pub struct BeginOptions {
    /// `auto`, `sandbox`, `docker`.
    pub runner: String,
    /// Secrets given with the run, names in upper case.
    pub secrets: IndexMap<String, String>,
    /// A version below the live one is wanted.
    pub allow_downgrade: bool,
    /// What is to go wrong, for tests.
    pub faults: Faults,
}

/// A run that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Begun {
    /// The run.
    pub run: RunId,
    /// It was made now; else it is the run that this tag and commit had already.
    pub fresh: bool,
}

/// Why no run was begun.
#[derive(Debug, Error)]
pub enum BeginError {
    /// Moved tag, downgrade.
    #[error(transparent)]
    Release(#[from] ReleaseError),
    /// A secret.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The kernel gives no random number.
    #[error("a run needs a random identity, and none can be had")]
    Identity(#[from] io::Error),
    /// The plan leads to events that cannot follow each other: a bug.
    #[error("the plan cannot be begun: {0}")]
    Plan(String),
}

/// Begins the run of a plan, or finds the one it has. A working tree's run is always a new one.
pub fn begin(
    store: &Store,
    repository: &Repository,
    planned: &Planned,
    options: &BeginOptions,
) -> Result<Begun, BeginError> {
    let root = repository.root().to_string_lossy().into_owned();
    let plan = &planned.plan;
    let filter = of_tag(plan, repository);
    if let Some(run) = may_begin(store, repository, planned, options)? {
        return Ok(found(store, run, options)?);
    }
    let now = crate::clock::now();
    let identity = crate::random::hex()?;
    // Tried once outside the transaction, so that it cannot fail inside.
    first(plan, options, RunId(1), &identity, now)?;
    let mut moved = None;
    let (run, fresh) = store.create_run(
        &root,
        |runs| {
            release::existing(plan, runs).unwrap_or_else(|error| {
                moved = Some(error);
                runs.first().map(|run| RunId(run.id))
            })
        },
        &filter,
        |run| first(plan, options, run, &identity, now).expect("the same events were made a moment ago"),
    )?;
    if let Some(error) = moved {
        return Err(error.into());
    }
    Faults::kill(options.faults.kill_stored, || store.last_number().unwrap_or_default());
    if fresh { Ok(Begun { run, fresh }) } else { Ok(found(store, run, options)?) }
}

/// Whether a run of the plan may be begun; the run that its tag and commit have already, if there is one.
///
/// # Errors
/// A moved tag, a downgrade, a secret that is not set, and those of the store.
pub fn may_begin(
    store: &Store,
    repository: &Repository,
    planned: &Planned,
    options: &BeginOptions,
) -> Result<Option<RunId>, BeginError> {
    let (plan, root) = (&planned.plan, repository.root().to_string_lossy());
    if let Some(run) = existing(plan, store, &of_tag(plan, repository))? {
        return Ok(Some(run));
    }
    if !options.allow_downgrade {
        release::no_downgrade(plan, store, &root)?;
    }
    secrets::require(store, plan, &root, &options.secrets)?;
    Ok(None)
}

/// The state that a run of the plan would begin with. There is no such run.
pub(crate) fn imagined(plan: &tagline_plan::Plan) -> Result<RunState, BeginError> {
    let first = first(plan, &BeginOptions::default(), RunId(0), "", crate::clock::now())?;
    RunState::load(&first.events).map_err(|error| BeginError::Plan(error.to_string()))
}

fn of_tag(plan: &tagline_plan::Plan, repository: &Repository) -> RunFilter {
    let root = repository.root().to_string_lossy().into_owned();
    RunFilter { root: Some(root), tag: release::tag_of(plan).map(str::to_owned), ..RunFilter::default() }
}

/// A run that is there already goes on with the secrets it is given now; one that has ended needs none.
fn found(store: &Store, run: RunId, options: &BeginOptions) -> Result<Begun, StoreError> {
    if store.run(run)?.status != "completed" {
        secrets::give(store, run, &options.secrets)?;
    }
    Ok(Begun { run, fresh: false })
}

fn existing(plan: &tagline_plan::Plan, store: &Store, filter: &RunFilter) -> Result<Option<RunId>, BeginError> {
    if release::tag_of(plan).is_none() {
        return Ok(None);
    }
    Ok(release::existing(plan, &store.runs(filter)?)?)
}

fn first(
    plan: &tagline_plan::Plan,
    options: &BeginOptions,
    run: RunId,
    identity: &str,
    now: Timestamp,
) -> Result<First, BeginError> {
    let wrong = |error: tagline_run::Corrupt| BeginError::Plan(error.to_string());
    let start = Start {
        run,
        plan: Box::new(plan.clone()),
        runner: options.runner.clone(),
        allow_downgrade: options.allow_downgrade,
        identity: identity.to_owned(),
    };
    let events = create(start, now).map_err(wrong)?;
    let state = RunState::load(&events).map_err(wrong)?;
    let given = options.secrets.iter();
    let secrets = given.map(|(name, value)| (secrets::run_scope(run), name.clone(), value.clone())).collect();
    Ok(First { events, summary: summary(&state), secrets })
}
