//! How long jobs usually take: the median of the last ten successes, from three on.

use std::collections::BTreeMap;

use tagline_run::{Conclusion, RunId, RunState};
use tagline_store::{RunFilter, Store, StoreFolder};

use super::tree::Usual;

/// Successes that count.
const LAST: usize = 10;
/// Fewer say nothing.
const LEAST: usize = 3;
/// Runs that are looked through for them: a journal row holds a whole plan.
const RUNS: u32 = 20;

/// From the journal, of runs of the same workflow before this one. A store that cannot be read says nothing.
pub(crate) fn of(folder: &StoreFolder, run: RunId) -> Usual {
    Store::open_read_only(folder).ok().and_then(|store| look(&store, run)).unwrap_or_default()
}

fn look(store: &Store, run: RunId) -> Option<Usual> {
    let this = store.run(run).ok()?;
    let filter = RunFilter {
        root: Some(this.root),
        workflow: Some(this.workflow),
        before: Some(run.0),
        limit: Some(RUNS),
        ..RunFilter::default()
    };
    let mut times: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for row in store.runs(&filter).ok()? {
        let Ok(state) = tagline_server::ledger::state(store, RunId(row.id)) else { continue };
        collect(&state, &mut times);
    }
    Some(times.into_iter().filter_map(|(job, times)| Some((job, median(times)?))).collect())
}

fn collect(state: &RunState, times: &mut BTreeMap<String, Vec<i64>>) {
    for (key, leg) in state.legs() {
        let Some((started, ended)) = leg.started.as_ref().zip(leg.ended.as_ref()) else { continue };
        let of_job = times.entry(key.job).or_default();
        if ended.conclusion == Conclusion::Success && of_job.len() < LAST {
            of_job.push(ended.at.as_millisecond() - started.at.as_millisecond());
        }
    }
}

fn median(mut times: Vec<i64>) -> Option<i64> {
    if times.len() < LEAST {
        return None;
    }
    times.sort_unstable();
    Some(times[times.len() / 2])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_successes_say_nothing_and_one_outlier_does_not_matter() {
        assert_eq!(median(vec![1, 2]), None);
        assert_eq!(median(vec![9_000, 1_000, 2_000]), Some(2_000));
    }
}
