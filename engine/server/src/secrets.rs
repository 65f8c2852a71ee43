//! Where a job's secrets come from: what was given with the run, else the environment's, else the repository's.
//!
//! Invariants:
//! - given ones are sealed in the store under the run, so that a killed engine can go on, together with the outbox row
//!   that removes them when it ends;
//! - a given one that an environment of the plan lists reaches only jobs of such an environment, so never one before its
//!   gate;
//! - a job whose environment requires one that is nowhere does not start.

use std::collections::BTreeSet;

use indexmap::IndexMap;
use tagline_plan::Plan;
use tagline_run::{RunId, RunState};
use tagline_store::{Outgoing, SecretScope, Store, StoreError};
use thiserror::Error;

use crate::ledger;

/// Shortest value that is masked without hiding half the log, and so the shortest that is taken.
pub const SHORTEST: usize = 4;

/// What is wrong with secrets.
#[derive(Debug, Error)]
pub enum SecretError {
    /// An environment requires one that is not set.
    #[error("environment `{environment}` requires the secret `{name}`, which is not set")]
    Missing {
        /// The environment.
        environment: String,
        /// Its name.
        name: String,
    },
    /// A line of a secrets file.
    #[error("line {line} of the secrets file: {why}")]
    File {
        /// From 1.
        line: usize,
        /// One sentence.
        why: String,
    },
    /// A name.
    #[error("`{0}` is no name of a secret: letters, digits and `_`, not first a digit, not beginning with GITHUB_")]
    Name(String),
    /// A value.
    #[error("the secret `{0}` is shorter than {SHORTEST} characters: masking it would hide half the log")]
    Short(String),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A name as it is stored: upper case.
pub fn name(text: &str) -> Result<String, SecretError> {
    let upper = text.to_ascii_uppercase();
    let mut bytes = upper.bytes();
    let head = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    let valid = head && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_') && !upper.starts_with("GITHUB_");
    if valid { Ok(upper) } else { Err(SecretError::Name(text.to_owned())) }
}

/// A value that may be stored under a name.
pub fn value<'v>(name: &str, value: &'v str) -> Result<&'v str, SecretError> {
    if value.len() < SHORTEST { Err(SecretError::Short(name.to_owned())) } else { Ok(value) }
}

/// Reads `NAME=VALUE` lines; blank lines and those that begin with `#` are passed over; a value in single or double
/// quotes loses them.
pub fn read_file(text: &str) -> Result<IndexMap<String, String>, SecretError> {
    let mut secrets = IndexMap::new();
    for (number, line) in text.lines().enumerate() {
        let wrong = |why: String| SecretError::File { line: number + 1, why };
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (key, rest) = line.split_once('=').ok_or_else(|| wrong("it has no `=`".to_owned()))?;
        let key = name(key.trim()).map_err(|error| wrong(error.to_string()))?;
        let rest = rest.trim();
        let quoted = ['"', '\''].iter().find_map(|q| rest.strip_prefix(*q)?.strip_suffix(*q));
        let found = value(&key, quoted.unwrap_or(rest)).map_err(|error| wrong(error.to_string()))?;
        secrets.insert(key, found.to_owned());
    }
    Ok(secrets)
}

/// Seals secrets given to a run that is there already. They are removed when it ends, or by the next engine where it has
/// ended.
pub fn give(store: &Store, run: RunId, given: &IndexMap<String, String>) -> Result<(), StoreError> {
    if given.is_empty() {
        return Ok(());
    }
    let at = crate::clock::now().as_millisecond();
    let removal = Outgoing { key: ledger::given_key(run), body: "{}".to_owned() };
    let given = given.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    store.give_secrets(run, &run_scope(run), given, at, removal)
}

/// Removes the secrets given with a run; true when none is left.
pub fn forget(store: &Store, run: RunId) -> bool {
    let scope = run_scope(run);
    let removed = store
        .secrets(&scope)
        .and_then(|given| given.iter().try_for_each(|(name, _)| store.remove_secret(&scope, name).map(|_| ())));
    if let Err(error) = &removed {
        tracing::warn!(%run, %error, "a secret given with the run stays in the store for now");
    }
    removed.is_ok()
}

/// The scope of secrets given with a run.
pub(crate) fn run_scope(run: RunId) -> SecretScope {
    SecretScope { root: format!("run:{run}"), environment: None }
}

/// Where secrets are looked for.
pub(crate) struct Places<'p> {
    pub(crate) store: &'p Store,
    pub(crate) plan: &'p Plan,
    /// Where the repository is on this machine.
    pub(crate) root: &'p str,
    /// The run, where some may have been given with it.
    pub(crate) run: Option<RunId>,
}

impl Places<'_> {
    /// Opens one secret for a job with this environment, or without one. `name` is upper case.
    pub(crate) fn find(&self, environment: Option<&str>, name: &str) -> Result<Option<String>, StoreError> {
        let scope = |environment| SecretScope { root: self.root.to_owned(), environment };
        let scopes = [
            self.run.filter(|_| may_be_given(self.plan, environment, name)).map(run_scope),
            environment.map(|environment| scope(Some(environment.to_lowercase()))),
            Some(scope(None)),
        ];
        for scope in scopes.into_iter().flatten() {
            if let Some(value) = self.store.secret(&scope, name)? {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// Refuses what needs an environment that requires a secret which is nowhere. `given` are more that come with it.
    pub(crate) fn require(&self, environment: &str, given: &IndexMap<String, String>) -> Result<(), SecretError> {
        for wanted in self.plan.environment(environment).iter().flat_map(|rules| &rules.secrets) {
            let name = wanted.to_ascii_uppercase();
            if !given.contains_key(&name) && self.find(Some(environment), &name)?.is_none() {
                return Err(SecretError::Missing { environment: environment.to_owned(), name });
            }
        }
        Ok(())
    }
}

/// Whether a job gets this secret from those given with its run: where environments list it, only a job of one of them.
fn may_be_given(plan: &Plan, environment: Option<&str>, name: &str) -> bool {
    let mut listing =
        plan.policy.environments.iter().filter(|(_, rules)| rules.secrets.iter().any(|s| s.eq_ignore_ascii_case(name)));
    match listing.next() {
        None => true,
        Some(first) => {
            let is_mine = |listed: &str| environment.is_some_and(|mine| mine.eq_ignore_ascii_case(listed));
            is_mine(first.0) || listing.any(|(listed, _)| is_mine(listed))
        }
    }
}

/// Refuses a plan whose environments require a secret that is not there. `given` are names that come with the run.
pub(crate) fn require(
    store: &Store,
    plan: &Plan,
    root: &str,
    given: &IndexMap<String, String>,
) -> Result<(), SecretError> {
    let places = Places { store, plan, root, run: None };
    plan.policy.environments.keys().try_for_each(|environment| places.require(environment, given))
}

/// Refuses to do parts of a run again whose environments require a secret that is not there: what was given with the run
/// went when it ended. `again` is the run as it would be then; `given` are names that come with the rerun.
pub fn require_again(store: &Store, again: &RunState, given: &IndexMap<String, String>) -> Result<(), SecretError> {
    let root = store.run(again.run)?.root;
    let places = Places { store, plan: &again.plan, root: &root, run: None };
    environments_ahead(again).into_iter().try_for_each(|environment| places.require(environment, given))
}

/// The environments of everything that has not ended; all of the plan where one is not known yet.
fn environments_ahead(state: &RunState) -> BTreeSet<&str> {
    let mut ahead = BTreeSet::new();
    for (id, job) in state.jobs.iter().filter(|(_, job)| job.ended.is_none()) {
        match (&job.ready, state.plan.jobs.get(id).and_then(|planned| planned.legs.as_ref())) {
            (Some(ready), _) => {
                let legs = ready.legs.iter().filter(|leg| leg.ended.is_none());
                ahead.extend(legs.filter_map(|leg| leg.ready.leg.environment.as_deref()));
            }
            (None, Some(legs)) if legs.iter().all(|leg| !leg.environment_later) => {
                ahead.extend(legs.iter().filter_map(|leg| leg.environment.as_deref()));
            }
            (None, _) => return state.plan.policy.environments.keys().map(String::as_str).collect(),
        }
    }
    ahead
}
