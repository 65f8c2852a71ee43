//! `tagline rollback ENV`: a run of its own that brings back what was live, from a workflow that is built in.
//!
//! Invariants: what it goes back to is worked out once, from what the journal says came live, and stands in its plan; the
//! environment's approvals and ranges are for releases and do not hold it up; everything else is as for any other run, so
//! it is journalled, resumable and shown.

use std::collections::BTreeSet;

use tagline_plan::Person;
use tagline_run::{Fact, RunId, RunState};
use tagline_store::{Store, StoreError};
use thiserror::Error;

use crate::delivery;
use crate::ledger::{self, TellError};
use crate::planner::{self, Planned};
use crate::planner_error::PlannerError;
use crate::repository::Repository;

/// Path of the built-in workflow, as plans name it.
pub const WORKFLOW: &str = "tagline/rollback";

/// What is wanted.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    /// The environment.
    pub environment: String,
    /// A version; what was live before the newest release where there is none.
    pub to: Option<String>,
    /// Why, for the record.
    pub reason: Option<String>,
    /// The old release's pods are restarted before they get traffic.
    pub restart: bool,
    /// Who asks; none means whom the Git configuration names.
    pub actor: Option<Person>,
}

/// Why there is no way back.
#[derive(Debug, Error)]
pub enum RollbackError {
    /// Nothing was ever delivered there.
    #[error("nothing was delivered to `{environment}` from here, so there is nothing to go back to")]
    NeverDelivered {
        /// The environment.
        environment: String,
    },
    /// It was never live there.
    #[error("version {version} was never live in `{environment}`")]
    NeverLive {
        /// The environment.
        environment: String,
        /// What was asked for.
        version: String,
        /// Versions that were, newest first.
        known: Vec<String>,
    },
    /// The newest delivery there was of no version, or there was none before it.
    #[error("the journal knows no version that was live in `{environment}` before {newest}")]
    NoVersionBefore {
        /// The environment.
        environment: String,
        /// What came live last.
        newest: String,
    },
    /// It cannot be planned.
    #[error(transparent)]
    Plan(#[from] PlannerError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A run in the store cannot be read.
    #[error(transparent)]
    Run(#[from] TellError),
}

/// A release that came live, the newest first.
struct Came {
    run: RunId,
    version: Option<String>,
}

/// Plans the way back.
///
/// # Errors
/// See [`RollbackError`]; nothing was started.
pub fn plan(repository: &Repository, store: &Store, wish: &Wish) -> Result<Planned, RollbackError> {
    let environment = wish.environment.clone();
    let came = came_live(repository, store, &environment)?;
    let Some(newest) = came.first() else { return Err(RollbackError::NeverDelivered { environment }) };
    let version = target(&came, wish)?;
    let mut units = units(store, newest.run, &environment)?;
    if units.is_empty() {
        units.insert(repository.name());
    }
    let text = workflow(&environment, &version, &units, wish);
    Ok(planner::own(repository, WORKFLOW, &text, &environment, &version, wish.actor.clone())?)
}

fn came_live(repository: &Repository, store: &Store, environment: &str) -> Result<Vec<Came>, RollbackError> {
    let root = repository.root().to_string_lossy().into_owned();
    let mut came = Vec::new();
    for row in store.deployments(Some(&root), Some(environment))? {
        let run = RunId(row.run);
        let Fact::Deployed { version, .. } = row.event.fact else { continue };
        if ledger::state(store, run)?.plan.workflow.path != WORKFLOW {
            came.push(Came { run, version });
        }
    }
    Ok(came)
}

/// The version to go to. Without one it is what came live before the newest release, however often one went back since: a
/// repeated rollback changes nothing.
fn target(came: &[Came], wish: &Wish) -> Result<String, RollbackError> {
    let environment = wish.environment.clone();
    let versions: Vec<&String> = came.iter().filter_map(|one| one.version.as_ref()).collect();
    if let Some(wanted) = &wish.to {
        let wanted = wanted.strip_prefix('v').unwrap_or(wanted);
        let known = versions.iter().map(|one| (*one).clone()).collect();
        let version = wanted.to_owned();
        return match versions.into_iter().find(|one| *one == wanted) {
            Some(found) => Ok(found.clone()),
            None => Err(RollbackError::NeverLive { environment, version, known }),
        };
    }
    let newest = came.first().and_then(|one| one.version.as_ref());
    let before = versions.into_iter().find(|one| newest.is_some_and(|newest| newest != *one));
    before.cloned().ok_or_else(|| {
        let newest = newest.map_or_else(|| "a release without a version".to_owned(), Clone::clone);
        RollbackError::NoVersionBefore { environment, newest }
    })
}

/// The units that a run delivered to an environment.
fn units(store: &Store, run: RunId, environment: &str) -> Result<BTreeSet<String>, RollbackError> {
    let state: RunState = ledger::state(store, run)?;
    Ok(delivery::units(store, &state, environment))
}

/// The built-in workflow: a step for each unit. Values are JSON texts, which YAML reads as they are.
fn workflow(environment: &str, version: &str, units: &BTreeSet<String>, wish: &Wish) -> String {
    use std::fmt::Write as _;
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let mut text = format!(
        "name: rollback\non: workflow_dispatch\npermissions: {{}}\njobs:\n  rollback:\n    runs-on: ubuntu-latest\n    \
         timeout-minutes: 60\n    environment: {}\n    steps:\n",
        quoted(environment)
    );
    for unit in units {
        let _ = write!(
            text,
            "      - name: {}\n        uses: tagline/rollback@v1\n        with:\n          name: {}\n          to: {}\n          \
             restart: {}\n",
            quoted(&format!("{unit} back to {version}")),
            quoted(unit),
            quoted(version),
            wish.restart,
        );
        if let Some(reason) = &wish.reason {
            let _ = writeln!(text, "          reason: {}", quoted(reason));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn came(versions: &[&str]) -> Vec<Came> {
        let one = |version: &&str| Came { run: RunId(1), version: Some((*version).to_owned()) };
        versions.iter().map(one).collect()
    }

    fn to(version: Option<&str>) -> Wish {
        Wish { environment: "production".into(), to: version.map(str::to_owned), ..Wish::default() }
    }

    #[test]
    fn without_a_version_it_is_the_one_before_the_newest() {
        let back = |versions: &[&str]| target(&came(versions), &to(None)).ok();
        assert_eq!(back(&["1.2.3", "1.2.2"]).as_deref(), Some("1.2.2"));
        assert_eq!(back(&["1.2.3", "1.2.3", "1.2.2"]).as_deref(), Some("1.2.2"), "a rerun of the same version");
        assert_eq!(back(&["1.2.3"]), None);
    }

    #[test]
    fn a_version_must_have_been_live() {
        let all = came(&["1.2.3", "1.2.2"]);
        assert_eq!(target(&all, &to(Some("v1.2.2"))).unwrap(), "1.2.2");
        let error = target(&all, &to(Some("1.0.0"))).unwrap_err();
        assert!(matches!(error, RollbackError::NeverLive { known, .. } if known == ["1.2.3", "1.2.2"]));
    }

    #[test]
    fn the_workflow_can_be_read_whatever_the_names_are() {
        let units = BTreeSet::from(["shop".to_owned(), "a: \"b\"\n".to_owned()]);
        let wish = Wish { reason: Some("errors: 7 %\n\"bad\"".into()), ..to(None) };
        let text = workflow("prod: 1", "1.2.2", &units, &wish);
        let source = tagline_syntax::diagnostic::SourceFile::from_bytes("rollback.yml", text.as_bytes());
        let read = tagline_syntax::workflow::read(&source);
        assert_eq!(read.workflow.map(|read| read.jobs.len()), Some(1), "{text}\n{:?}", read.diagnostics);
    }
}
