//! Where a job's secrets come from: what was given with the run, else the environment's, else the repository's.
//!
//! Given ones are sealed in the store under the run, so that a killed engine can go on; they are removed when it ends.

use indexmap::IndexMap;
use tagline_plan::Plan;
use tagline_run::RunId;
use tagline_store::{SecretScope, Store, StoreError};
use thiserror::Error;

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

/// Seals secrets given to a run that is there already. They are removed when it ends.
pub fn give(store: &Store, run: RunId, given: &IndexMap<String, String>) -> Result<(), StoreError> {
    let at = crate::clock::now().as_millisecond();
    given.iter().try_for_each(|(name, value)| store.set_secret(&run_scope(run), name, value, at))
}

/// The scope of secrets given with a run.
pub(crate) fn run_scope(run: RunId) -> SecretScope {
    SecretScope { root: format!("run:{run}"), environment: None }
}

/// Opens one secret for a job.
pub(crate) fn find(
    store: &Store,
    run: RunId,
    root: &str,
    environment: Option<&str>,
    name: &str,
) -> Result<Option<String>, StoreError> {
    let repository = SecretScope { root: root.to_owned(), environment: None };
    let scopes = [
        Some(run_scope(run)),
        environment.map(|e| SecretScope { root: root.to_owned(), environment: Some(e.to_lowercase()) }),
        Some(repository),
    ];
    for scope in scopes.into_iter().flatten() {
        if let Some(value) = store.secret(&scope, name)? {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

/// Refuses a plan whose environments require a secret that is not there. `given` are names that come with the run.
pub(crate) fn require(
    store: &Store,
    plan: &Plan,
    root: &str,
    given: &IndexMap<String, String>,
) -> Result<(), SecretError> {
    for (environment, rules) in &plan.policy.environments {
        for wanted in &rules.secrets {
            let upper = wanted.to_ascii_uppercase();
            let there = given.contains_key(&upper) || find(store, RunId(0), root, Some(environment), &upper)?.is_some();
            if !there {
                return Err(SecretError::Missing { environment: environment.clone(), name: upper });
            }
        }
    }
    Ok(())
}
