//! What was delivered to an environment before: where a rollback goes, and what a new release is held against.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use serde_json::Value;
use tagline_run::{RunId, RunState};
use tagline_store::{RunFilter, Store};

use super::deliverer::Earlier;
use super::kept::{DELIVERED, Kept, PLANNED};
use crate::attend::Context;
use crate::ledger;
use crate::services::blocking;

/// So many runs back are looked at.
const RUNS: u32 = 100;
/// So many deliveries are enough.
const MOST: usize = 20;

/// A delivery as its run's journal has it.
struct Found {
    at: jiff::Timestamp,
    plan: String,
    begun: Value,
}

/// What ended well in an environment of the run's repository, the newest first.
pub(crate) async fn past(context: &Context, environment: &str) -> Result<Vec<Earlier>, String> {
    let (store, root) = (context.store.clone(), context.root.to_string_lossy().into_owned());
    let environment = environment.to_owned();
    let found = blocking(move || find(&store, root, &environment).map_err(io::Error::other)).await?;
    let mut past = Vec::with_capacity(found.len());
    for Found { plan, begun, .. } in found {
        match Kept::get(&context.store, &plan).await {
            Ok(kept) => past.push(Earlier { plan: kept.plan, begun }),
            // What cannot be read cannot be gone back to; it must not keep the next release from going forward.
            Err(why) => tracing::warn!(plan, why, "an earlier delivery is passed over"),
        }
    }
    Ok(past)
}

fn find(store: &Arc<Store>, root: String, environment: &str) -> Result<Vec<Found>, ledger::TellError> {
    let filter = RunFilter { root: Some(root), limit: Some(RUNS), ..RunFilter::default() };
    let mut found = Vec::new();
    for row in store.runs(&filter)? {
        found.extend(of_run(&ledger::state(store, RunId(row.id))?, environment));
        if found.len() >= MOST {
            break;
        }
    }
    found.sort_by_key(|one| std::cmp::Reverse(one.at));
    Ok(found)
}

/// The units that a run delivered to an environment: the `name` of each `tagline/deploy`, the repository's where it gives none.
pub(crate) fn units(store: &Store, state: &RunState, environment: &str) -> BTreeSet<String> {
    let plans = of_run(state, environment).into_iter().map(|found| found.plan);
    let kept = plans.filter_map(|plan| Kept::read(store, &plan).ok());
    let deploys = kept.filter(|kept| kept.uses.starts_with("tagline/deploy@"));
    deploys.map(|kept| kept.with.get("name").cloned().unwrap_or_else(|| state.plan.repository.clone())).collect()
}

/// The deliveries of a run, in any order. A rerun may come after later runs, so the time decides.
fn of_run(state: &RunState, environment: &str) -> Vec<Found> {
    let here = |key| {
        let named = state.known_leg(key).and_then(|leg| leg.environment.as_deref());
        named.is_some_and(|name| name.eq_ignore_ascii_case(environment))
    };
    let ends = state.reached.iter().filter(|reached| reached.milestone.name == DELIVERED && here(&reached.key));
    let found = ends.filter_map(|end| {
        let newest = |name: &str| {
            let mut of_step = state.milestones(&end.key, end.attempt, end.step);
            of_step.rfind(|reached| reached.milestone.name == name).map(|reached| reached.milestone.data.clone())
        };
        let plan = newest(PLANNED)?.get("plan")?.as_str()?.to_owned();
        Some(Found { at: end.at, plan, begun: newest("begun").unwrap_or_default() })
    });
    found.collect()
}
