//! Questions the state answers by itself: results of jobs, what a leg waits for, which legs make up a stage.

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;
use jiff::Timestamp;
use tagline_plan::{Facts, FinishedJob, Leg, NeedResult};
use tagline_syntax::environments::Environment;

use crate::event::{Cause, Conclusion};
use crate::ids::{GateId, Holder, JobKey, Lock};
use crate::state::{Ended, Gate, GateStatus, JobState, LegState, RunState};

/// Where a ready leg stands. The order is the order in which it passes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// It has ended.
    Ended,
    /// It is started.
    Running,
    /// Its environment's gate is not approved; none where none was requested yet.
    Gate(Option<GateId>),
    /// `max-parallel` legs of its job are under way.
    MaxParallel,
    /// Its launch failed and is tried again then.
    Retry(Timestamp),
    /// Somebody else has a lock it needs.
    Lock(Lock, Holder),
    /// It may start.
    Free,
}

impl JobState {
    /// Nothing of it is left to do.
    pub fn is_over(&self) -> bool {
        match &self.ready {
            Some(ready) => ready.legs.iter().all(|leg| leg.ended.is_some()),
            None => self.ended.is_some(),
        }
    }

    /// How it counts for the jobs that need it, once it is over.
    pub fn result(&self) -> Option<NeedResult> {
        let Some(ready) = &self.ready else {
            return self.ended.as_ref().map(|ended| ended.conclusion.into());
        };
        let mut worst = NeedResult::Success;
        for leg in &ready.legs {
            match leg.counts()? {
                Conclusion::Failure => worst = NeedResult::Failure,
                Conclusion::Cancelled if worst != NeedResult::Failure => worst = NeedResult::Cancelled,
                _ => {}
            }
        }
        Some(worst)
    }

    /// Its outputs: of several legs, the one that ended last wins, but an empty value never replaces another.
    pub fn outputs(&self) -> IndexMap<String, String> {
        let mut ends: Vec<&Ended> = self.ends().collect();
        ends.sort_by_key(|ended| ended.order);
        let mut outputs: IndexMap<String, String> = IndexMap::new();
        for (name, value) in ends.iter().flat_map(|ended| &ended.outputs) {
            let slot = outputs.entry(name.clone()).or_default();
            if !value.is_empty() {
                slot.clone_from(value);
            }
        }
        outputs
    }

    /// The ends of its legs, or its own.
    pub fn ends(&self) -> impl Iterator<Item = &Ended> {
        let legs = self.ready.iter().flat_map(|ready| &ready.legs);
        legs.filter_map(|leg| leg.ended.as_ref()).chain(&self.ended)
    }

    pub(crate) fn finished(&self) -> Option<FinishedJob> {
        Some(FinishedJob { result: self.result()?, outputs: self.outputs() })
    }
}

impl LegState {
    /// How its end counts after `continue-on-error`.
    pub fn counts(&self) -> Option<Conclusion> {
        let conclusion = self.ended.as_ref()?.conclusion;
        let tolerated = self.ready.tolerated && conclusion == Conclusion::Failure;
        Some(if tolerated { Conclusion::Success } else { conclusion })
    }
}

impl RunState {
    /// The leg of a key.
    pub fn leg(&self, key: &JobKey) -> Option<&LegState> {
        self.jobs.get(&key.job)?.ready.as_ref()?.legs.get(key.leg as usize)
    }

    /// All legs that are known because their job is ready, in the plan's order.
    pub fn legs(&self) -> impl Iterator<Item = (JobKey, &LegState)> {
        self.jobs.iter().flat_map(|(id, job)| {
            let legs = job.ready.iter().flat_map(|ready| &ready.legs);
            legs.zip(0..).map(move |(leg, n)| (JobKey::new(id, n), leg))
        })
    }

    /// What the jobs' expressions see of the run.
    pub fn facts(&self) -> Facts {
        let finished = |(id, job): (&String, &JobState)| Some((id.clone(), job.finished()?));
        Facts {
            run: self.run.0,
            attempt: self.attempt.0,
            cancelled: self.cancel.is_some(),
            finished: self.jobs.iter().filter_map(finished).collect(),
        }
    }

    /// The rules of an environment with its name as the file spells it.
    pub fn rules(&self, name: &str) -> Option<(&str, &Environment)> {
        let environments = &self.plan.policy.environments;
        environments.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(key, rules)| (key.as_str(), rules))
    }

    /// The digests of the artifacts made so far, by name.
    pub fn artifact_digests(&self) -> BTreeMap<String, String> {
        self.artifacts.iter().map(|(name, a)| (name.clone(), a.digest.clone())).collect()
    }

    /// The gate a leg stands behind in the present attempt: the newest that covers it.
    pub fn gate_of(&self, key: &JobKey) -> Option<(GateId, &Gate)> {
        let covers = |gate: &Gate| gate.attempt == self.attempt && gate.jobs.contains(key);
        self.gates.iter().rev().find(|(_, gate)| covers(gate)).map(|(id, gate)| (*id, gate))
    }

    /// Whether a leg stands behind a gate that counts.
    pub(crate) fn has_gate(&self, key: &JobKey) -> bool {
        let void = |gate: &Gate| matches!(gate.status, GateStatus::Voided { .. });
        self.gate_of(key).is_some_and(|(_, gate)| !void(gate))
    }

    /// The leg as it is known now: evaluated when its job is ready, else as planned.
    pub fn known_leg(&self, key: &JobKey) -> Option<&Leg> {
        match self.leg(key) {
            Some(leg) => Some(&leg.ready.leg),
            None => self.plan.jobs.get(&key.job)?.legs.as_ref()?.get(key.leg as usize),
        }
    }

    /// The legs of an environment that have not ended: of ready jobs, and of waiting jobs as far as the plan knows them.
    pub(crate) fn open_stage(&self, environment: &str) -> Vec<JobKey> {
        let mut keys = Vec::new();
        for (id, state) in &self.jobs {
            if let Some(ready) = &state.ready {
                let open = ready
                    .legs
                    .iter()
                    .zip(0..)
                    .filter(|(leg, _)| leg.ended.is_none() && is_in(&leg.ready.leg, environment));
                keys.extend(open.map(|(_, n)| JobKey::new(id, n)));
            } else if state.ended.is_none() {
                let planned = self.plan.jobs.get(id).and_then(|job| job.legs.as_ref());
                let stage = planned.into_iter().flatten().filter(|leg| is_in(leg, environment));
                keys.extend(stage.map(|leg| JobKey::new(id, leg.index)));
            }
        }
        keys
    }

    /// The legs that one gate may cover now: of the open stage those that no gate has yet, as far as every job before them
    /// is over or in the gate itself. What another job puts out later is not in the gate's digest, so nobody can say yes to
    /// it: what comes after such a job asks for itself when it is ready.
    pub(crate) fn stage_to_ask(&self, environment: &str) -> Vec<JobKey> {
        let mut open: BTreeMap<String, Vec<JobKey>> = BTreeMap::new();
        for key in self.open_stage(environment).into_iter().filter(|key| !self.has_gate(key)) {
            open.entry(key.job.clone()).or_default().push(key);
        }
        let mut stage = Vec::new();
        // Jobs that may still put out something no one has seen. Each job stands after all that come before it.
        let mut outside: BTreeSet<&str> = BTreeSet::new();
        for (id, job) in self.jobs.iter().filter(|(_, job)| !job.is_over()) {
            let before = self.plan.jobs.get(id).map(|planned| planned.ancestors.as_slice()).unwrap_or_default();
            let known = job.ready.is_some() || !before.iter().any(|id| outside.contains(id.as_str()));
            let covered = open.remove(id).filter(|_| known).unwrap_or_default();
            if self.open_legs(id) != Some(covered.len()) {
                outside.insert(id);
            }
            stage.extend(covered);
        }
        stage
    }

    /// How many legs of a job have not ended; none while it is not known how many there are.
    fn open_legs(&self, id: &str) -> Option<usize> {
        match self.jobs.get(id)?.ready.as_ref() {
            Some(ready) => Some(ready.legs.iter().filter(|leg| leg.ended.is_none()).count()),
            None => self.plan.jobs.get(id)?.legs.as_ref().map(Vec::len),
        }
    }

    /// Whether an environment is in use by this run: one of its legs is ready, or waits for nothing but jobs that stay
    /// clear of other environments. A job that comes after another environment (a clean-up) does not keep it.
    pub(crate) fn stage_goes_on(&self, environment: &str) -> bool {
        self.open_stage(environment).iter().any(|key| {
            if self.leg(key).is_some() {
                return true;
            }
            let ancestors = self.plan.jobs.get(&key.job).map(|job| job.ancestors.as_slice());
            let open = |id: &&String| self.jobs.get(*id).is_some_and(|job| !job.is_over());
            let mut waits_for = ancestors.unwrap_or_default().iter().filter(open);
            waits_for.all(|id| self.stays_clear(id, environment))
        })
    }

    /// A job has no leg in another environment, as far as is known.
    fn stays_clear(&self, id: &str, environment: &str) -> bool {
        let clear = |leg: &Leg| leg.environment.is_none() || is_in(leg, environment);
        if let Some(ready) = self.jobs.get(id).and_then(|job| job.ready.as_ref()) {
            return ready.legs.iter().all(|leg| clear(&leg.ready.leg));
        }
        let planned = self.plan.jobs.get(id);
        match planned.and_then(|job| job.legs.as_ref()) {
            Some(legs) => legs.iter().all(|leg| clear(leg) && !leg.environment_later),
            None => planned.is_none_or(|job| job.job.environment.is_none()),
        }
    }

    /// The locks a leg needs before it starts, in the order in which they are asked for.
    pub(crate) fn locks_of(&self, key: &JobKey, leg: &LegState) -> Vec<LockWish> {
        let environment = leg.ready.leg.environment.as_ref().map(|name| {
            let name = name.to_lowercase();
            LockWish {
                lock: Lock::Environment(name.clone()),
                holder: Holder::Stage(name),
                cancel_in_progress: false,
                queue: true,
            }
        });
        // A group the whole run holds is the job's already; it would wait for itself otherwise.
        let of_run = self.plan.concurrency.as_ref().map(|group| Lock::group(&group.name));
        let group = leg.ready.group.as_ref().map(|group| LockWish {
            lock: Lock::group(&group.name),
            holder: Holder::Job(key.clone()),
            cancel_in_progress: group.cancel_in_progress,
            queue: group.queue,
        });
        let group = group.filter(|wish| Some(&wish.lock) != of_run.as_ref());
        environment.into_iter().chain(group).collect()
    }

    /// Whether the run itself may go: its workflow's `concurrency` group is its own, or there is none.
    pub(crate) fn may_go(&self) -> bool {
        self.plan.concurrency.as_ref().is_none_or(|group| {
            let claim = self.locks.get(&(Lock::group(&group.name), Holder::Run));
            claim.is_some_and(|claim| claim.granted)
        })
    }

    /// Where each leg of a ready job stands.
    pub fn places(&self, id: &str) -> Vec<Place> {
        let Some(ready) = self.jobs.get(id).and_then(|job| job.ready.as_ref()) else {
            return Vec::new();
        };
        let running = |leg: &&LegState| leg.started.is_some() && leg.ended.is_none();
        let running = ready.legs.iter().filter(running).count();
        let mut room = ready.max_parallel.map_or(usize::MAX, |max| (max as usize).saturating_sub(running));
        let place = |(leg, n): (&LegState, u32)| self.place(&JobKey::new(id, n), leg, &mut room);
        ready.legs.iter().zip(0..).map(place).collect()
    }

    /// Where one leg stands.
    pub fn place_of(&self, key: &JobKey) -> Option<Place> {
        self.places(&key.job).into_iter().nth(key.leg as usize)
    }

    fn place(&self, key: &JobKey, leg: &LegState, room: &mut usize) -> Place {
        if leg.ended.is_some() {
            return Place::Ended;
        }
        if leg.started.is_some() {
            return Place::Running;
        }
        if leg.ready.leg.environment.is_some() {
            match self.gate_of(key) {
                None => return Place::Gate(None),
                Some((_, gate)) if matches!(gate.status, GateStatus::Approved { .. }) => {}
                Some((id, _)) => return Place::Gate(Some(id)),
            }
        }
        if *room == 0 {
            return Place::MaxParallel;
        }
        *room -= 1;
        if let Some(at) = leg.not_before {
            return Place::Retry(at);
        }
        for wish in self.locks_of(key, leg) {
            let claim = self.locks.get(&(wish.lock.clone(), wish.holder.clone()));
            if claim.is_none_or(|claim| !claim.granted) {
                return Place::Lock(wish.lock, wish.holder);
            }
        }
        Place::Free
    }

    /// The legs that may start now, in the plan's order.
    pub fn startable(&self) -> Vec<JobKey> {
        if self.finished.is_some() || !self.may_go() {
            return Vec::new();
        }
        let free = |id: &String| {
            let places: Vec<_> = (0u32..).zip(self.places(id)).collect();
            let free = places.into_iter().filter(|(_, place)| *place == Place::Free);
            free.map(|(leg, _)| JobKey::new(id, leg)).collect::<Vec<_>>()
        };
        self.jobs.keys().flat_map(free).collect()
    }

    /// Whether some end of this attempt has that cause.
    pub(crate) fn any_end(&self, cause: Cause) -> bool {
        self.jobs.values().flat_map(JobState::ends).any(|ended| ended.cause == cause)
    }
}

/// A lock a leg wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LockWish {
    pub(crate) lock: Lock,
    pub(crate) holder: Holder,
    pub(crate) cancel_in_progress: bool,
    pub(crate) queue: bool,
}

/// A leg belongs to an environment.
pub(crate) fn is_in(leg: &Leg, environment: &str) -> bool {
    leg.environment.as_ref().is_some_and(|name| name.eq_ignore_ascii_case(environment))
}
