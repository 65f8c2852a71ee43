//! What was delivered to an environment before: where a rollback goes, and what a new release is held against.
//!
//! Invariants: looked up by environment, however much else ran since; of each unit so many releases are remembered as its
//! newest delivery says (`releases`). What has gone back by itself is not among it; what stayed as it stood is.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use tagline_actions::Delivery;
use tagline_run::{RunId, RunState};
use tagline_store::{DeliveryRow, Store};

use super::deliverer::Earlier;
use super::kept::{DELIVERED, Kept, PLANNED};
use crate::attend::Context;
use crate::ledger;
use crate::services::blocking;

/// A delivery that was not taken back.
pub(crate) struct Found {
    /// The run.
    pub(crate) run: RunId,
    /// The unit.
    pub(crate) unit: String,
    /// A rollback; otherwise a release.
    pub(crate) is_back: bool,
    /// The version that it made live.
    pub(crate) version: Option<String>,
    plan: Value,
    /// The data of `begun`; null where nothing had to be changed.
    pub(crate) begun: Value,
    open: bool,
}

/// What was delivered in an environment of the run's repository, the newest first.
pub(crate) async fn past(context: &Context, environment: &str) -> Result<Vec<Earlier>, String> {
    of_store(&context.store, &context.root, environment).await
}

/// The same of a repository in this folder.
pub(super) async fn of_store(store: &Arc<Store>, root: &Path, environment: &str) -> Result<Vec<Earlier>, String> {
    let (store, root) = (store.clone(), root.to_string_lossy().into_owned());
    let environment = environment.to_owned();
    let found = move || find(&store, &root, &environment).map_err(io::Error::other);
    let found: Vec<Found> = blocking(found).await?;
    let earlier = |Found { plan, begun, open, .. }| Earlier { plan, begun, open };
    Ok(found.into_iter().map(earlier).collect())
}

/// The same for whoever has the store at hand.
pub(crate) fn find(store: &Store, root: &str, environment: &str) -> Result<Vec<Found>, ledger::TellError> {
    let mut runs: BTreeMap<RunId, RunState> = BTreeMap::new();
    let mut memory: BTreeMap<String, Memory> = BTreeMap::new();
    let mut found = Vec::new();
    for row in store.deliveries(root, environment)? {
        let Some(action @ (Delivery::Deploy | Delivery::Rollback)) = Delivery::lookup(&row.uses) else { continue };
        if memory.get(&row.unit).is_some_and(Memory::is_full) {
            continue;
        }
        let run = RunId(row.run);
        if let std::collections::btree_map::Entry::Vacant(place) = runs.entry(run) {
            place.insert(ledger::state(store, run)?);
        }
        let Some(step) = Step::of(&runs[&run], &row) else { continue };
        let kept = match Kept::read(store, &step.plan) {
            Ok(kept) => kept,
            // What cannot be read cannot be gone back to; it must not keep the next release from going forward.
            Err(why) => {
                tracing::warn!(plan = step.plan, %why, "an earlier delivery is passed over");
                continue;
            }
        };
        let version = kept.plan.get("version").and_then(Value::as_str).map(str::to_owned);
        let is_back = action == Delivery::Rollback;
        if !is_back {
            memory.entry(row.unit.clone()).or_insert_with(|| Memory::of(&kept)).releases.insert(version.clone());
        }
        let Step { begun, open, .. } = step;
        found.push(Found { run, unit: row.unit, is_back, version, plan: kept.plan, begun, open });
    }
    Ok(found)
}

/// How much is remembered of a unit.
struct Memory {
    /// The versions of its releases so far.
    releases: BTreeSet<Option<String>>,
    most: usize,
}

impl Memory {
    /// As its newest delivery says.
    fn of(newest: &Kept) -> Self {
        let declared = Delivery::Deploy.inputs().iter().find(|input| input.name == "releases");
        let declared = declared.and_then(|input| input.default);
        let asked = newest.with.get("releases").map(String::as_str).or(declared);
        Self { releases: BTreeSet::new(), most: asked.and_then(|count| count.parse().ok()).unwrap_or(2) }
    }

    fn is_full(&self) -> bool {
        self.releases.len() >= self.most
    }
}

/// How far a delivery came.
#[derive(Debug, PartialEq)]
struct Step {
    /// The digest of its plan.
    plan: String,
    begun: Value,
    open: bool,
}

impl Step {
    /// None where it changed nothing, or has gone back by itself.
    fn of(state: &RunState, row: &DeliveryRow) -> Option<Self> {
        let of_row = |key: &str, attempt: u32, step: u32| key == row.job && attempt == row.attempt && step == row.step;
        let own = state.reached.iter().filter(|one| of_row(&one.key.to_string(), one.attempt.0, one.step));
        Self::reached(own.map(|one| (one.milestone.name.as_str(), &one.milestone.data)))
    }

    fn reached<'a>(milestones: impl Iterator<Item = (&'a str, &'a Value)>) -> Option<Self> {
        let newest: BTreeMap<&str, &Value> = milestones.collect();
        let plan = newest.get(PLANNED)?.get("plan")?.as_str()?.to_owned();
        let begun = newest.get("begun").map(|data| (*data).clone());
        let (done, back) = (newest.contains_key(DELIVERED), newest.contains_key("rolled-back"));
        let changed = begun.is_some() || newest.contains_key("going-back");
        // A rollback to what was there before has no `begun`: it has arrived by `rolled-back`.
        let went_back = back && begun.is_some();
        let open = !done && !back;
        (done || (changed && !went_back)).then(|| Self { plan, begun: begun.unwrap_or_default(), open })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_stayed_as_it_stood_is_remembered_and_what_went_back_is_not() {
        let step = |names: &[&str]| {
            let data: Vec<Value> = names.iter().map(|name| json!({"plan": "sha256:1", "of": name})).collect();
            Step::reached(names.iter().copied().zip(&data)).map(|step| (step.begun != Value::Null, step.open))
        };
        assert_eq!(step(&["planned", "begun", "switched", "delivered"]), Some((true, false)));
        assert_eq!(step(&["planned", "delivered"]), Some((false, false)), "it was live already");
        assert_eq!(step(&["planned", "begun", "switched"]), Some((true, true)), "then stop");
        assert_eq!(step(&["planned", "begun", "going-back"]), Some((true, true)), "its way back stopped half-way");
        assert_eq!(step(&["planned", "begun", "going-back", "rolled-back"]), None);
        assert_eq!(step(&["planned"]), None, "nothing was changed");
        assert_eq!(step(&["planned", "going-back"]), Some((false, true)), "a rollback that stopped half-way");
        assert_eq!(step(&["planned", "going-back", "rolled-back"]), Some((false, false)));
    }
}
