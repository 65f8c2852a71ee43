//! Locks between runs: `concurrency` groups and environments. Who holds and who waits stands in each run's own journal, so
//! there is no lock table to lose; the arbiter looks at all claims of one lock and says what is to be told to whom.
//!
//! GitHub's rules ("Concurrency"): one holder; of those that wait, a newcomer drops the others unless the group queues;
//! `cancel-in-progress` ends the holder too. Environments always queue: a waiting release is never dropped.

use crate::ids::{Holder, Lock, RunId};
use crate::input::Input;
use crate::state::{Claim, RunState};

/// One claim on a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contender {
    /// The run.
    pub run: RunId,
    /// Who within it.
    pub holder: Holder,
    /// Since when, and whether it has the lock.
    pub claim: Claim,
}

/// The locks a run has or waits for.
pub fn wanted(state: &RunState) -> impl Iterator<Item = &Lock> {
    state.locks.keys().map(|(lock, _)| lock)
}

/// A run's claims on one lock.
pub fn claims(state: &RunState, lock: &Lock) -> Vec<Contender> {
    let of_lock = state.locks.iter().filter(|((name, _), _)| name == lock);
    of_lock
        .map(|((_, holder), claim)| Contender { run: state.run, holder: holder.clone(), claim: claim.clone() })
        .collect()
}

/// What to tell to which run so that the lock goes on. `contenders` are all claims on one lock by the unfinished runs of
/// one repository, in any order. Ask again after each change; who gives way may be told again until it has ended, which
/// then gives no events.
pub fn arbitrate(lock: &Lock, contenders: &[Contender]) -> Vec<(RunId, Input)> {
    let mut waiting: Vec<&Contender> = contenders.iter().filter(|c| !c.claim.granted).collect();
    waiting.sort_by_key(|c| (c.claim.asked_at, c.run, c.holder.clone()));
    let Some(newest) = waiting.last().copied() else { return Vec::new() };
    let give_way = |c: &Contender| {
        let (lock, holder) = (lock.clone(), c.holder.clone());
        (c.run, Input::Superseded { lock, holder, by: newest.run })
    };
    let held: Vec<&Contender> = contenders.iter().filter(|c| c.claim.granted).collect();
    let mut told = Vec::new();
    if newest.claim.cancel_in_progress {
        told.extend(held.iter().map(|c| give_way(c)));
    }
    // Who came first to a free lock has it, as if it had been told at once.
    let first = waiting.first().copied().filter(|_| held.is_empty() && !newest.claim.cancel_in_progress);
    let dropped = |c: &Contender| c != newest && Some(c) != first && !c.claim.queue && !newest.claim.queue;
    told.extend(waiting.iter().filter(|c| dropped(c)).map(|c| give_way(c)));
    if let (true, Some(next)) = (held.is_empty(), waiting.iter().find(|c| !dropped(c))) {
        told.push((next.run, Input::LockGranted { lock: lock.clone(), holder: next.holder.clone() }));
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(run: u64, granted: bool, queue: bool, cancel: bool) -> Contender {
        let asked_at = jiff::Timestamp::from_second(i64::try_from(run).unwrap()).unwrap();
        let claim = Claim { asked_at, granted, cancel_in_progress: cancel, queue };
        Contender { run: RunId(run), holder: Holder::Run, claim }
    }

    fn told(contenders: &[Contender]) -> Vec<(u64, &'static str)> {
        let word = |(run, input): (RunId, Input)| match input {
            Input::LockGranted { .. } => (run.0, "granted"),
            Input::Superseded { .. } => (run.0, "gives way"),
            other => panic!("{other:?}"),
        };
        arbitrate(&Lock::group("G"), contenders).into_iter().map(word).collect()
    }

    #[test]
    fn the_first_of_a_queue_gets_it() {
        let queue = [claim(3, false, true, false), claim(2, false, true, false)];
        assert_eq!(told(&queue), [(2, "granted")]);
        let held = [claim(1, true, true, false), claim(2, false, true, false), claim(3, false, true, false)];
        assert_eq!(told(&held), []);
        assert_eq!(told(&[]), []);
    }

    #[test]
    fn a_newcomer_drops_who_waits_but_not_who_runs() {
        let all = [claim(1, true, false, false), claim(2, false, false, false), claim(3, false, false, false)];
        assert_eq!(told(&all), [(2, "gives way")]);
    }

    #[test]
    fn the_first_to_a_free_lock_has_it_however_late_it_is_told() {
        let all = [claim(1, false, false, false), claim(2, false, false, false), claim(3, false, false, false)];
        assert_eq!(told(&all), [(2, "gives way"), (1, "granted")]);
        let all = [claim(1, false, false, true), claim(2, false, false, true)];
        assert_eq!(told(&all), [(1, "gives way"), (2, "granted")]);
    }

    #[test]
    fn cancel_in_progress_ends_the_holder_too() {
        let all = [claim(1, true, false, true), claim(2, false, false, true)];
        assert_eq!(told(&all), [(1, "gives way")]);
    }

    #[test]
    fn groups_are_compared_ignoring_case() {
        assert_eq!(Lock::group("Release"), Lock::group("rELEASE"));
    }
}
