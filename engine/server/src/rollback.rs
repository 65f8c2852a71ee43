//! `tagline rollback ENV`: a run of its own that brings back what was live, from a workflow that is built in.
//!
//! Invariants: what it goes back to is worked out once for each unit, from what the journal says was done to it, and stands
//! in its plan: what was live before its newest delivery, also of one that failed and stayed; where it was gone back since,
//! the same again. The environment's approvals and ranges are for releases and do not hold it up; everything else is as for
//! any other run, so it is journalled, resumable and shown.

use std::collections::BTreeSet;

use tagline_delivery::action::version_before;
use tagline_plan::Person;
use tagline_run::RunId;
use tagline_store::Store;
use thiserror::Error;

use crate::delivery::{self, Found};
use crate::ledger::TellError;
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
    /// Only these units; all of the newest release where there is none.
    pub units: Vec<String>,
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
    #[error("version {version} was never live in `{environment}`, as far as is remembered")]
    NeverLive {
        /// The environment.
        environment: String,
        /// What was asked for.
        version: String,
        /// Versions that were, newest first.
        known: Vec<String>,
    },
    /// No such unit.
    #[error("nothing of a unit `{unit}` was delivered to `{environment}`")]
    NoUnit {
        /// The environment.
        environment: String,
        /// What was asked for.
        unit: String,
        /// Those that were delivered there.
        known: Vec<String>,
    },
    /// There was none before the newest delivery.
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
    /// A run in the store cannot be read.
    #[error(transparent)]
    Run(#[from] TellError),
}

/// Something that was done to a unit.
#[derive(Debug, Clone)]
struct Entry {
    run: RunId,
    unit: String,
    /// A rollback; otherwise a release.
    is_back: bool,
    /// The version that it brought.
    version: Option<String>,
    /// The version that was live before it.
    before: Option<String>,
    /// It had something to change.
    changed: bool,
}

impl Entry {
    fn of(found: Found) -> Self {
        let before = version_before(&found.begun);
        let changed = found.is_back || !found.begun.is_null();
        Self { run: found.run, unit: found.unit, is_back: found.is_back, version: found.version, before, changed }
    }

    fn versions(&self) -> impl Iterator<Item = &String> {
        self.version.iter().chain(&self.before)
    }
}

/// Where each unit goes.
#[derive(Debug, PartialEq)]
struct Ways {
    /// Units with their versions.
    units: Vec<(String, String)>,
    /// Units that stay, with why.
    stay: Vec<String>,
}

/// Plans the way back.
///
/// # Errors
/// See [`RollbackError`]; nothing was started.
pub fn plan(repository: &Repository, store: &Store, wish: &Wish) -> Result<Planned, RollbackError> {
    let root = repository.root().to_string_lossy().into_owned();
    let found = delivery::find(store, &root, &wish.environment)?;
    let history: Vec<Entry> = found.into_iter().map(Entry::of).collect();
    let ways = ways(&history, wish)?;
    let text = workflow(&wish.environment, &ways, wish);
    let newest = history.iter().find_map(|entry| ways.units.iter().find(|(unit, _)| *unit == entry.unit));
    let version = newest.map(|(_, version)| version.as_str()).unwrap_or_default();
    let mut planned = planner::own(repository, WORKFLOW, &text, &wish.environment, version, wish.actor.clone())?;
    planned.notes.extend(ways.stay);
    Ok(planned)
}

fn ways(history: &[Entry], wish: &Wish) -> Result<Ways, RollbackError> {
    let environment = wish.environment.clone();
    if history.is_empty() {
        return Err(RollbackError::NeverDelivered { environment });
    }
    let mut ways = Ways { units: Vec::new(), stay: Vec::new() };
    for unit in chosen(history, wish)? {
        let of_unit: Vec<&Entry> = history.iter().filter(|entry| entry.unit == unit).collect();
        match target(&of_unit, wish.to.as_deref()) {
            Some(version) => ways.units.push((unit, version)),
            None => ways.stay.push(match &wish.to {
                Some(to) => format!("{unit} stays as it is: it was never live as {to}, as far as is remembered"),
                None => format!("{unit} stays as it is: nothing was live before its first delivery"),
            }),
        }
    }
    if !ways.units.is_empty() {
        return Ok(ways);
    }
    if let Some(version) = &wish.to {
        return Err(RollbackError::NeverLive { environment, version: plain(version), known: versions(history) });
    }
    let newest = history.iter().find_map(|entry| entry.version.clone());
    let newest = newest.unwrap_or_else(|| "a release without a version".to_owned());
    Err(RollbackError::NoVersionBefore { environment, newest })
}

/// The units that go back: those of the newest release; where a version is named that none of them had, those that had it.
fn chosen(history: &[Entry], wish: &Wish) -> Result<BTreeSet<String>, RollbackError> {
    let all: BTreeSet<String> = history.iter().map(|entry| entry.unit.clone()).collect();
    if let Some(unit) = wish.units.iter().find(|unit| !all.contains(*unit)) {
        let (environment, known) = (wish.environment.clone(), all.iter().cloned().collect());
        return Err(RollbackError::NoUnit { environment, unit: unit.clone(), known });
    }
    if !wish.units.is_empty() {
        return Ok(wish.units.iter().cloned().collect());
    }
    let newest = history.iter().find(|entry| !entry.is_back).map(|entry| entry.run);
    let of_run = history.iter().filter(|entry| !entry.is_back && Some(entry.run) == newest);
    let of_run: BTreeSet<String> = of_run.map(|entry| entry.unit.clone()).collect();
    let wanted = wish.to.as_deref().map(plain);
    let had = |entry: &&Entry| wanted.is_none() || entry.versions().any(|version| Some(version) == wanted.as_ref());
    if history.iter().filter(had).any(|entry| of_run.contains(&entry.unit)) {
        return Ok(of_run);
    }
    let others: BTreeSet<String> = history.iter().filter(had).map(|entry| entry.unit.clone()).collect();
    Ok(if others.is_empty() { of_run } else { others })
}

/// The version that a unit goes back to. Without a name: where it was gone back to last, as long as nothing was delivered
/// since; else what was live before its newest delivery. A repeated rollback changes nothing.
fn target(of_unit: &[&Entry], to: Option<&str>) -> Option<String> {
    if let Some(to) = to {
        let wanted = plain(to);
        return of_unit.iter().flat_map(|entry| entry.versions()).find(|version| **version == wanted).cloned();
    }
    let at = of_unit.iter().position(|entry| entry.changed)?;
    let newest = of_unit[at];
    if newest.is_back {
        return newest.version.clone();
    }
    let older = of_unit[at + 1..].iter().flat_map(|entry| entry.versions());
    newest.before.iter().chain(older).find(|version| Some(*version) != newest.version.as_ref()).cloned()
}

fn plain(version: &str) -> String {
    version.strip_prefix('v').unwrap_or(version).to_owned()
}

/// All versions that were live, the newest first.
fn versions(history: &[Entry]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let all = history.iter().flat_map(Entry::versions);
    all.filter(|version| seen.insert((*version).clone())).cloned().collect()
}

/// The built-in workflow: a step for each unit; where one fails, the others still go back. Values are JSON texts, which YAML
/// reads as they are.
fn workflow(environment: &str, ways: &Ways, wish: &Wish) -> String {
    use std::fmt::Write as _;
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let mut text = format!(
        "name: rollback\non: workflow_dispatch\npermissions: {{}}\njobs:\n  rollback:\n    runs-on: ubuntu-latest\n    \
         timeout-minutes: 60\n    environment: {}\n    steps:\n",
        quoted(environment)
    );
    for (unit, version) in &ways.units {
        let _ = write!(
            text,
            "      - name: {}\n        if: ${{{{ !cancelled() }}}}\n        uses: tagline/rollback@v1\n        with:\n          \
             name: {}\n          to: {}\n          restart: {}\n",
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

    fn entry(unit: &str, is_back: bool, version: &str, before: &str) -> Entry {
        let before = (!before.is_empty()).then(|| before.to_owned());
        let (unit, version) = (unit.to_owned(), Some(version.to_owned()));
        Entry { run: RunId(1), unit, is_back, version, before, changed: true }
    }

    /// A release over what was live before it.
    fn release(version: &str, before: &str) -> Entry {
        entry("shop", false, version, before)
    }

    fn back(version: &str) -> Entry {
        entry("shop", true, version, "")
    }

    fn to(version: Option<&str>) -> Wish {
        Wish { environment: "production".into(), to: version.map(str::to_owned), ..Wish::default() }
    }

    fn goes(history: &[Entry]) -> Option<String> {
        ways(history, &to(None)).ok().map(|ways| ways.units[0].1.clone())
    }

    #[test]
    fn without_a_version_it_is_what_was_live_before_the_newest_delivery() {
        assert_eq!(goes(&[release("1.2.3", "1.2.2"), release("1.2.2", "")]).as_deref(), Some("1.2.2"));
        let again = [release("1.2.3", "1.2.3"), release("1.2.3", "1.2.2")];
        assert_eq!(goes(&again).as_deref(), Some("1.2.2"), "a rerun of the same version");
        let unchanged = Entry { changed: false, before: None, ..release("1.2.3", "") };
        assert_eq!(goes(&[unchanged, release("1.2.3", "1.2.2")]).as_deref(), Some("1.2.2"), "it was live already");
        assert_eq!(goes(&[release("1.2.3", "")]), None);
        let over_a_stranger = [release("1.0.0", "0.9")];
        assert_eq!(goes(&over_a_stranger).as_deref(), Some("0.9"), "what was adopted");
    }

    #[test]
    fn a_release_that_stayed_half_way_is_gone_back_from_and_not_one_further() {
        // 1.1 failed and stayed: it never came live, and what was live before it is 1.0, not 0.9.
        let history = [release("1.1", "1.0"), release("1.0", "0.9"), release("0.9", "")];
        assert_eq!(goes(&history).as_deref(), Some("1.0"));
    }

    #[test]
    fn where_it_was_gone_back_already_a_second_rollback_leads_nowhere_else() {
        let history = [back("1.0"), release("1.2", "1.1"), release("1.1", "1.0"), release("1.0", "")];
        assert_eq!(goes(&history).as_deref(), Some("1.0"), "not 1.1, which was live before 1.2");
        let delivered_since = [release("1.3", "1.0"), back("1.0"), release("1.2", "1.1")];
        assert_eq!(goes(&delivered_since).as_deref(), Some("1.0"));
    }

    #[test]
    fn a_version_must_have_been_live() {
        let all = [release("1.2.3", "1.2.2"), release("1.2.2", "1.2.1")];
        let named = |version: &str| ways(&all, &to(Some(version))).map(|ways| ways.units[0].1.clone());
        assert_eq!(named("v1.2.2").unwrap(), "1.2.2");
        assert_eq!(named("1.2.1").unwrap(), "1.2.1", "what was live before the first");
        let error = named("1.0.0").unwrap_err();
        assert!(matches!(error, RollbackError::NeverLive { known, .. } if known == ["1.2.3", "1.2.2", "1.2.1"]));
        assert!(matches!(ways(&[], &to(None)), Err(RollbackError::NeverDelivered { .. })));
    }

    #[test]
    fn each_unit_goes_back_to_its_own_version_and_a_new_one_stays() {
        let history = [
            entry("web", false, "1.1", "1.0"),
            entry("new", false, "1.1", ""),
            entry("api", false, "1.1", "0.9"),
            Entry { run: RunId(0), ..entry("other", false, "3.0", "2.0") },
        ];
        let found = ways(&history, &to(None)).unwrap();
        assert_eq!(found.units, [("api".to_owned(), "0.9".to_owned()), ("web".to_owned(), "1.0".to_owned())]);
        assert!(found.stay[0].starts_with("new stays as it is"), "{found:?}");
        let one = Wish { units: vec!["web".to_owned()], ..to(None) };
        assert_eq!(ways(&history, &one).unwrap().units, [("web".to_owned(), "1.0".to_owned())]);
        let none = Wish { units: vec!["wbe".to_owned()], ..to(None) };
        assert!(matches!(ways(&history, &none), Err(RollbackError::NoUnit { .. })));
        let of_another = ways(&history, &to(Some("2.0"))).unwrap();
        assert_eq!(of_another.units, [("other".to_owned(), "2.0".to_owned())], "a version that only it had");
    }

    #[test]
    fn the_workflow_can_be_read_whatever_the_names_are() {
        let units = ["shop", "a: \"b\"\n"].map(|unit| (unit.to_owned(), "1.2.2".to_owned())).to_vec();
        let wish = Wish { reason: Some("errors: 7 %\n\"bad\"".into()), ..to(None) };
        let text = workflow("prod: 1", &Ways { units, stay: Vec::new() }, &wish);
        let source = tagline_syntax::diagnostic::SourceFile::from_bytes("rollback.yml", text.as_bytes());
        let read = tagline_syntax::workflow::read(&source);
        assert_eq!(read.workflow.map(|read| read.jobs.len()), Some(1), "{text}\n{:?}", read.diagnostics);
    }
}
