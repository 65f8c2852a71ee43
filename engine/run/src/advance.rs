//! What follows by rule from where a run stands, without anybody saying so. Runs after every input until nothing follows.
//!
//! The order within one pass is the plan's, in which every job stands after its needs, so one pass carries an end through
//! all jobs that skip because of it.

use tagline_plan::{Leg, NeedResult, Verdict, job_condition, legs, settings};

use crate::decide::Decider;
use crate::event::{Cause, Conclusion, Ending, Fact, ReadyLeg};
use crate::ids::{GateId, Holder, JobKey, Lock};
use crate::query::Place;
use crate::state::{Ended, GateStatus, JobState, RunState};

impl Decider {
    /// Adds everything that follows.
    pub(crate) fn advance(&mut self) {
        let mut before = usize::MAX;
        while before != self.events.len() && self.state.finished.is_none() {
            before = self.events.len();
            self.ask_for_the_run();
            self.carry_out_cancel();
            for id in self.state.jobs.keys().cloned().collect::<Vec<_>>() {
                self.take_turn(&id);
                self.fail_fast(&id);
                self.move_legs(&id);
            }
            self.close_idle_gates();
            self.record_deployments();
            self.release_locks();
        }
        self.finish();
    }

    /// The workflow's own `concurrency` group comes before everything else.
    fn ask_for_the_run(&mut self) {
        let Some(group) = self.state.plan.concurrency.clone() else { return };
        let (lock, holder) = (Lock::group(&group.name), Holder::Run);
        if self.state.cancel.is_none() && !self.state.locks.contains_key(&(lock.clone(), holder.clone())) {
            let (cancel_in_progress, queue) = (group.cancel_in_progress, group.queue);
            self.emit(Fact::LockAsked { lock, holder, cancel_in_progress, queue });
        }
    }

    /// After a cancel what has begun goes on only where its condition still holds, as GitHub does it, and nobody is asked
    /// for an approval any more.
    fn carry_out_cancel(&mut self) {
        let Some(cancel) = self.state.cancel.clone() else { return };
        let why = match &cancel.by {
            Some(person) if cancel.reason.is_empty() => format!("cancelled by {}", person.email),
            Some(person) => format!("cancelled by {}: {}", person.email, cancel.reason),
            None => cancel.reason.clone(),
        };
        let all_ends = cancel.force || !self.state.may_go();
        let open = self.state.jobs.iter().filter(|(_, job)| !job.is_over());
        let legs_of = |job: &JobState| job.ready.as_ref().map_or(0, |ready| ready.legs.len());
        let open: Vec<_> = open.map(|(id, job)| (id.clone(), legs_of(job))).collect();
        for (id, legs) in open {
            if legs == 0 && all_ends {
                self.end_unfinished(&JobKey::new(&id, 0), Cause::Cancelled, why.clone());
            }
            if legs == 0 || (!all_ends && self.condition_holds(&id)) {
                continue;
            }
            for leg in (0u32..).take(legs) {
                self.cancel_leg(&JobKey::new(&id, leg), Cause::Cancelled, &why, cancel.force);
            }
        }
        for gate in self.gates_where(|status| *status == GateStatus::Open) {
            self.emit(Fact::GateVoided { gate, why: "the run was cancelled".to_owned() });
        }
    }

    fn condition_holds(&mut self, id: &str) -> bool {
        self.verdict(id).is_ok_and(|verdict| verdict.runs)
    }

    fn verdict(&mut self, id: &str) -> Result<Verdict, String> {
        let plan = self.state.plan.clone();
        let job = plan.jobs.get(id).ok_or("the plan does not have this job")?;
        job_condition(&plan, job, self.facts()).map_err(|error| error.to_string())
    }

    /// A job whose needs have all ended is skipped, or ready with its legs, or fails because that cannot be told.
    fn take_turn(&mut self, id: &str) {
        let waits = |id: &String| self.state.jobs.get(id).is_some_and(|job| !job.is_over());
        let plan = self.state.plan.clone();
        let (Some(job), Some(state)) = (plan.jobs.get(id), self.state.jobs.get(id)) else { return };
        let had_its_turn = state.ready.is_some() || state.ended.is_some();
        if had_its_turn || !self.state.may_go() || job.job.needs.iter().any(waits) {
            return;
        }
        let key = JobKey::new(id, 0);
        match self.verdict(id) {
            Err(why) => self.fail(&key, Cause::Invalid, why),
            Ok(verdict) if !verdict.runs && self.state.cancel.is_some() => {
                self.end_unfinished(&key, Cause::Cancelled, verdict.why_not());
            }
            Ok(verdict) if !verdict.runs => {
                let why = verdict.why_not();
                self.emit(Fact::JobSkipped { job: id.to_owned(), why });
            }
            Ok(_) => match self.make_ready(id) {
                Ok(fact) => self.emit(fact),
                Err(why) => self.fail(&key, Cause::Invalid, why),
            },
        }
    }

    fn make_ready(&mut self, id: &str) -> Result<Fact, String> {
        let plan = self.state.plan.clone();
        let job = plan.jobs.get(id).ok_or("the plan does not have this job")?;
        let facts = self.facts();
        let legs = legs(&plan, job, facts).map_err(|error| error.to_string())?;
        if legs.is_empty() {
            let why = "its matrix has no combinations left".to_owned();
            return Ok(Fact::JobSkipped { job: id.to_owned(), why });
        }
        let total = legs.len();
        let (mut fail_fast, mut max_parallel) = (true, None);
        let mut ready = Vec::with_capacity(total);
        for leg in legs {
            let settings = settings(&plan, job, &leg, total, facts).map_err(|e| e.to_string())?;
            (fail_fast, max_parallel) = (settings.fail_fast, settings.max_parallel);
            ready.push(ReadyLeg {
                leg,
                group: settings.concurrency,
                tolerated: settings.continue_on_error,
                timeout_seconds: settings.timeout_seconds,
            });
        }
        Ok(Fact::JobReady { job: id.to_owned(), fail_fast, max_parallel, legs: ready })
    }

    /// The first failed leg ends the others, unless its failure is tolerated.
    fn fail_fast(&mut self, id: &str) {
        let Some(ready) = self.state.jobs.get(id).and_then(|job| job.ready.as_ref()) else { return };
        let failed = ready.legs.iter().position(|leg| leg.counts() == Some(Conclusion::Failure));
        let (true, Some(failed)) = (ready.fail_fast, failed) else { return };
        let why = format!("{} failed", ready.legs[failed].ready.leg.name);
        for leg in (0u32..).take(ready.legs.len()) {
            self.cancel_leg(&JobKey::new(id, leg), Cause::FailFast, &why, false);
        }
    }

    /// Takes each leg of a ready job one place further, as far as it goes by itself.
    fn move_legs(&mut self, id: &str) {
        for (n, place) in (0u32..).zip(self.state.places(id)) {
            let key = JobKey::new(id, n);
            match place {
                Place::Gate(None) => self.ask_for_gate(&key),
                Place::Gate(Some(gate)) => self.follow_gate(&key, gate),
                Place::Lock(lock, holder) => self.ask_for_lock(&key, lock, holder),
                Place::Ended | Place::Running | Place::MaxParallel | Place::Retry(_) | Place::Free => {}
            }
        }
    }

    fn ask_for_gate(&mut self, key: &JobKey) {
        // An earlier leg of this pass may have asked for this one too.
        if self.state.has_gate(key) {
            return;
        }
        let name = self.state.leg(key).and_then(|leg| leg.ready.leg.environment.clone());
        let Some(name) = name else { return };
        let policy = &self.state.plan.policy;
        let rules = self.state.rules(&name);
        if rules.is_none() && (policy.version != "none" || self.state.plan.trigger.tag.is_some()) {
            let origin = &policy.origin;
            let why = format!("environment `{name}` is not in .tagline/environments.yml ({origin})");
            return self.fail(key, Cause::Invalid, why);
        }
        let asks = rules.is_some_and(|(_, rules)| rules.reviewers.is_some());
        let environment = rules.map_or(name, |(name, _)| name.to_owned());
        if asks && self.state.cancel.is_some() {
            let why = "the run was cancelled, and nobody is asked for an approval after that";
            return self.end_unfinished(key, Cause::Cancelled, why.to_owned());
        }
        let jobs = self.state.stage_to_ask(&environment);
        let last = self.state.gates.keys().next_back().map_or(0, |gate| gate.0);
        let gate = GateId(last.saturating_add(1));
        self.emit(Fact::GateRequested { gate, environment, jobs });
    }

    fn follow_gate(&mut self, key: &JobKey, id: GateId) {
        let Some(gate) = self.state.gates.get(&id) else { return };
        let environment = &gate.environment;
        match &gate.status {
            GateStatus::Requested | GateStatus::Open | GateStatus::Approved { .. } => {}
            GateStatus::Rejected { .. } => {
                let why = format!("{environment} was {}", crate::view::outcome(&self.state, id));
                self.fail(key, Cause::Rejected, why);
            }
            GateStatus::Expired { .. } => {
                let why = format!("nobody decided on {environment} in time, and silence is a no");
                self.fail(key, Cause::Expired, why);
            }
            GateStatus::Refused { why, .. } => {
                let why = why.clone();
                self.fail(key, Cause::Refused, why);
            }
            GateStatus::Voided { why, .. } if self.state.cancel.is_some() => {
                let why = why.clone();
                self.end_unfinished(key, Cause::Cancelled, why);
            }
            // It no longer counts, so another one asks.
            GateStatus::Voided { .. } => self.ask_for_gate(key),
        }
    }

    fn ask_for_lock(&mut self, key: &JobKey, lock: Lock, holder: Holder) {
        if self.state.locks.contains_key(&(lock.clone(), holder.clone())) {
            return;
        }
        let Some(leg) = self.state.leg(key) else { return };
        let wishes = self.state.locks_of(key, leg);
        let Some(wish) = wishes.into_iter().find(|wish| wish.lock == lock) else { return };
        let (cancel_in_progress, queue) = (wish.cancel_in_progress, wish.queue);
        self.emit(Fact::LockAsked { lock, holder, cancel_in_progress, queue });
    }

    /// A gate behind which nothing waits any more is not left open.
    fn close_idle_gates(&mut self) {
        for id in self.gates_where(GateStatus::is_pending) {
            let Some(gate) = self.state.gates.get(&id) else { continue };
            let open = self.state.open_stage(&gate.environment);
            if !gate.jobs.iter().any(|key| open.contains(key)) {
                let why = "no job waits for it any more".to_owned();
                self.emit(Fact::GateVoided { gate: id, why });
            }
        }
    }

    fn gates_where(&self, wanted: impl Fn(&GateStatus) -> bool) -> Vec<GateId> {
        let gates = self.state.gates.iter();
        gates.filter(|(_, gate)| wanted(&gate.status)).map(|(id, _)| *id).collect()
    }

    /// An environment whose jobs have all succeeded has this release now.
    fn record_deployments(&mut self) {
        for (gate, environment) in self.state.approved_gates() {
            if let Some(fact) = self.state.deployment_of(gate, &environment) {
                self.emit(fact);
            }
        }
    }

    /// A lock goes with what it was for.
    fn release_locks(&mut self) {
        let over = |(_, holder): &&(Lock, Holder)| match holder {
            Holder::Run => false,
            Holder::Stage(environment) => !self.state.stage_goes_on(environment),
            Holder::Job(key) => self.state.leg(key).is_none_or(|leg| leg.ended.is_some()),
        };
        let over: Vec<_> = self.state.locks.keys().filter(over).cloned().collect();
        for (lock, holder) in over {
            self.emit(Fact::LockReleased { lock, holder });
        }
    }

    /// The run ends when all its jobs have.
    fn finish(&mut self) {
        let over = self.state.jobs.values().all(JobState::is_over);
        if over && self.state.finished.is_none() {
            let (conclusion, ending, why) = ending(&self.state);
            self.emit(Fact::RunFinished { conclusion, ending, why });
        }
    }
}

/// The delivery actions that bring a release somewhere.
const BRINGING: [&str; 2] = ["tagline/deploy", "tagline/rollback"];

fn ending(state: &RunState) -> (Conclusion, Ending, String) {
    let sentence = |wanted: &dyn Fn(&Ended) -> bool| {
        let jobs = state.jobs.iter();
        let mut ends = jobs.flat_map(|(id, job)| job.ends().map(move |ended| (id, ended)));
        let bad = ends.find(|(_, ended)| wanted(ended));
        bad.map_or_else(String::new, |(id, ended)| match ended.why.as_str() {
            "" => format!("{id} failed"),
            why => format!("{id}: {why}"),
        })
    };
    let because = |cause: Cause| sentence(&|ended| ended.cause == cause);
    let results: Vec<_> = state.jobs.values().filter_map(JobState::result).collect();
    let failed = results.contains(&NeedResult::Failure);
    let cut_short = state.any_end(Cause::TimedOut) && results.contains(&NeedResult::Cancelled);
    if state.any_end(Cause::Cancelled) && (state.cancel.is_some() || !failed) {
        let why = state.cancel.as_ref().map(|cancel| cancel.reason.clone());
        return (Conclusion::Cancelled, Ending::Cancelled, why.unwrap_or_else(|| because(Cause::Cancelled)));
    }
    if !failed && !cut_short {
        return (Conclusion::Success, Ending::Jobs, String::new());
    }
    for (cause, ending) in [(Cause::Rejected, Ending::Rejected), (Cause::Expired, Ending::Expired)] {
        if state.any_end(cause) {
            return (Conclusion::Failure, ending, because(cause));
        }
    }
    let bad = |ended: &Ended| ended.conclusion == Conclusion::Failure || ended.cause == Cause::TimedOut;
    (Conclusion::Failure, Ending::Jobs, sentence(&bad))
}

impl RunState {
    /// The newest approved gate of each environment in this attempt.
    fn approved_gates(&self) -> Vec<(GateId, String)> {
        let mut newest: Vec<(GateId, String)> = Vec::new();
        for (id, gate) in self.gates.iter().rev() {
            let approved = matches!(gate.status, GateStatus::Approved { .. });
            let known = newest.iter().any(|(_, name)| *name == gate.environment);
            if approved && gate.attempt == self.attempt && !known {
                newest.push((*id, gate.environment.clone()));
            }
        }
        newest
    }

    /// Whether what runs for an environment brings something live there. Delivery steps that only work on what is live, as
    /// an operation or a rotation does, make no release of an untagged run.
    fn brings_release(&self, environment: &str) -> bool {
        let jobs = self.legs().filter(|(_, leg)| crate::query::is_in(&leg.ready.leg, environment));
        let jobs = jobs.filter_map(|(key, _)| self.plan.jobs.get(&key.job));
        let mut deliveries = jobs.flat_map(|job| &job.job.steps).filter_map(|step| step.delivery()).peekable();
        let brings = |uses: &str| {
            let name = uses.trim().split_once('@').map_or(uses, |(name, _)| name);
            BRINGING.iter().any(|each| each.eq_ignore_ascii_case(name))
        };
        let none = deliveries.peek().is_none();
        self.plan.trigger.version.is_some() || none || deliveries.any(|(uses, _)| brings(&uses.text))
    }

    /// The record of a deployment that is complete and not recorded yet.
    fn deployment_of(&self, gate: GateId, environment: &str) -> Option<Fact> {
        if self.stage_goes_on(environment) || !self.brings_release(environment) {
            return None;
        }
        let in_stage = |leg: &Leg| crate::query::is_in(leg, environment);
        let mut newest = None;
        let mut url = String::new();
        for (key, leg) in self.legs().filter(|(_, leg)| in_stage(&leg.ready.leg)) {
            let ended = leg.ended.as_ref().filter(|e| e.conclusion == Conclusion::Success)?;
            let job = self.plan.jobs.get(&key.job)?;
            if job.job.environment.as_ref().is_some_and(|e| e.deployment) && newest < Some(ended.order) {
                newest = Some(ended.order);
                if !ended.url.is_empty() {
                    url.clone_from(&ended.url);
                }
            }
        }
        let recorded = self.deployments.get(environment).map(|deployment| deployment.order);
        if newest <= recorded {
            return None;
        }
        let opened = self.gates.get(&gate)?.opened.as_ref()?;
        Some(Fact::Deployed {
            environment: environment.to_owned(),
            gate,
            version: self.plan.trigger.version.clone(),
            commit: self.plan.trigger.commit.clone(),
            release_digest: self.plan.release_digest.clone(),
            artifacts: self.artifact_digests(),
            url,
            approved_by: opened.approvers().cloned().collect(),
        })
    }
}
