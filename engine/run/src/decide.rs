//! From an input to events. Total and deterministic: any input in any state gives events or a [`Refusal`], the same ones
//! every time.
//!
//! An input first gives its own events; then [`crate::advance`] adds everything that follows by rule. What an input would
//! say that is known already gives no events, so doing an effect twice, or reading a spool twice, changes nothing.

use jiff::{SignedDuration, Timestamp};
use tagline_plan::{Facts, Person};

use crate::event::{Cause, Conclusion, Event, Fact};
use crate::evolve::Corrupt;
use crate::ids::{Holder, JobKey, Lock, RunId, Token};
use crate::input::{Input, Report, Sender, Start};
use crate::refusal::Refusal;
use crate::state::{JobState, LegState, RunState, Started};

/// A launch is tried so often in all.
const LAUNCHES: u32 = 3;

/// The first event of a run and what follows by rule: append them, and the run exists.
///
/// # Errors
/// Never for a plan that this build made; a plan whose own events cannot follow is a corrupt one.
pub fn create(start: Start, now: Timestamp) -> Result<Vec<Event>, Corrupt> {
    let first = start.into_event(now);
    let mut decider = Decider::new(RunState::begin(&first)?, now);
    decider.advance();
    Ok(std::iter::once(first).chain(decider.events).collect())
}

/// The events an input leads to. `now` is the engine's clock; a time before the journal's latest counts as that.
///
/// # Errors
/// A refusal, which is for whoever sent the input; nothing has changed then.
pub fn decide(state: &RunState, input: Input, now: Timestamp) -> Result<Vec<Event>, Refusal> {
    let mut decider = Decider::new(state.clone(), now);
    decider.take(input)?;
    // A finished run has nothing left to follow.
    if !decider.events.is_empty() {
        decider.advance();
    }
    Ok(decider.events)
}

/// A state that moves on with the events being decided.
pub(crate) struct Decider {
    pub(crate) state: RunState,
    pub(crate) now: Timestamp,
    pub(crate) events: Vec<Event>,
    facts: Option<Facts>,
}

impl Decider {
    fn new(state: RunState, now: Timestamp) -> Self {
        let now = now.max(state.latest);
        Self { state, now, events: Vec::new(), facts: None }
    }

    /// Adds an event. One that the state does not take is a fault of this crate: it is left out and tests find it.
    pub(crate) fn emit(&mut self, fact: Fact) {
        let event = Event { at: self.now, fact };
        let taken = self.state.apply(&event);
        debug_assert!(taken.is_ok(), "{taken:?}");
        if taken.is_err() {
            return;
        }
        self.keep_facts(&event.fact);
        self.events.push(event);
    }

    /// What expressions see, kept up to date instead of gathered again for every job.
    pub(crate) fn facts(&mut self) -> &Facts {
        self.facts.get_or_insert_with(|| self.state.facts())
    }

    fn keep_facts(&mut self, fact: &Fact) {
        let Some(facts) = &mut self.facts else { return };
        let job = match fact {
            Fact::CancelRequested { .. } => {
                facts.cancelled = true;
                return;
            }
            Fact::RerunRequested { .. } => {
                self.facts = None;
                return;
            }
            Fact::JobSkipped { job, .. } => job,
            Fact::JobFinished { key, .. } | Fact::JobLost { key, .. } => &key.job,
            _ => return,
        };
        if let Some(finished) = self.state.jobs.get(job).and_then(JobState::finished) {
            facts.finished.insert(job.clone(), finished);
        }
    }

    fn take(&mut self, input: Input) -> Result<(), Refusal> {
        let over = self.state.finished.is_some();
        match input {
            // What was decided stays so after the end, and the answer says what it was.
            Input::Vote(vote) => self.vote(*vote),
            Input::Rerun { by, what, allow_downgrade } => self.rerun(by, &what, allow_downgrade),
            // A spool read again after the end holds nothing new.
            Input::Reported { from, reports } => self.reported(&from, reports),
            Input::Milestone { from, step, milestone } => self.milestone(&from, step, milestone),
            Input::Retired { key, attempt, step, milestone } => self.retired(key, attempt, step, milestone),
            _ if over => Err(Refusal::Ended),
            Input::JobStarting { key, token, executor } => self.job_starting(key, token, executor),
            Input::LaunchFailed { from, why, retryable } => {
                if let Some(started) = self.sender(&from)? {
                    self.launch_failed(&from, &started, why, retryable);
                }
                Ok(())
            }
            Input::ArtifactStored { from, name, digest, size, kind, overwrite } => {
                self.artifact_stored(&from, name, digest, size, kind, overwrite)
            }
            Input::AgentGone { from, steps_started } => self.agent_gone(&from, steps_started),
            Input::GatePrepared { gate, nonce, passed, deliveries } => {
                self.gate_prepared(gate, nonce, &passed, deliveries)
            }
            Input::GateUnprepared { gate, why } => self.gate_unprepared(gate, why),
            Input::Downgrade { environment, why } => {
                self.downgrade(&environment, &why);
                Ok(())
            }
            Input::LockGranted { lock, holder } => self.lock_granted(lock, holder),
            Input::Superseded { lock, holder, by } => self.superseded(&lock, &holder, by),
            Input::TimerFired(timer) => self.timer_fired(&timer),
            Input::TimerChecked(timer) => self.timer_checked(&timer),
            Input::Cancel { by, reason, force } => self.cancel(by, reason, force),
        }
    }

    fn cancel(&mut self, by: Person, reason: String, force: bool) -> Result<(), Refusal> {
        if self.state.cancel.as_ref().is_some_and(|cancel| cancel.force || !force) {
            return Err(Refusal::AlreadyCancelled);
        }
        self.emit(Fact::CancelRequested { by: Some(by), reason, force });
        Ok(())
    }

    fn job_starting(&mut self, key: JobKey, token: Token, executor: String) -> Result<(), Refusal> {
        let startable = self.state.startable();
        if !startable.contains(&key) {
            return Err(Refusal::NotReady(key));
        }
        let attempt = self.state.attempt;
        self.emit(Fact::JobStarted { key, attempt, token, executor });
        Ok(())
    }

    /// The present start of the sender's leg; none when the leg has ended, so that the news is old.
    pub(crate) fn sender(&self, from: &Sender) -> Result<Option<Started>, Refusal> {
        let stale = || Refusal::StaleReport(from.key.clone());
        let leg = self.state.leg(&from.key).ok_or_else(stale)?;
        let started = leg.started.as_ref().ok_or_else(stale)?;
        if leg.attempt != from.attempt || started.token != from.token {
            return Err(stale());
        }
        match &leg.ended {
            None => Ok(Some(started.clone())),
            Some(ended) if ended.cause == Cause::Lost => Err(stale()),
            Some(_) => Ok(None),
        }
    }

    fn reported(&mut self, from: &Sender, reports: Vec<Report>) -> Result<(), Refusal> {
        let Some(started) = self.sender(from)? else { return Ok(()) };
        let (key, attempt) = (&from.key, from.attempt);
        for report in reports {
            match report {
                Report::StepStarted { step, id, name } => {
                    if self.leg_of(key).is_some_and(|leg| !leg.steps.contains_key(&step)) {
                        self.emit(Fact::StepStarted { key: key.clone(), attempt, step, id, name });
                    }
                }
                Report::StepFinished { step, outcome, conclusion, why } => {
                    let steps = self.leg_of(key).map(|leg| &leg.steps);
                    if steps.and_then(|s| s.get(&step)).is_some_and(|step| step.ended.is_none()) {
                        let key = key.clone();
                        self.emit(Fact::StepFinished { key, attempt, step, outcome, conclusion, why });
                    }
                }
                Report::Finished { conclusion, outputs, url, why, timed_out } => {
                    let (conclusion, cause) = match (&started.cancel, conclusion) {
                        _ if timed_out => (conclusion, Cause::TimedOut),
                        // Told to go at once, a step fails as it can: no other end than that of an agent that is gone.
                        (Some(cancel), Conclusion::Failure) if cancel.kill => (Conclusion::Cancelled, cancel.cause),
                        (Some(cancel), Conclusion::Cancelled) => (conclusion, cancel.cause),
                        (None, Conclusion::Cancelled) => (conclusion, Cause::Cancelled),
                        _ => (conclusion, Cause::Job),
                    };
                    let key = key.clone();
                    self.emit(Fact::JobFinished { key, attempt, conclusion, cause, outputs, url, why });
                    break;
                }
            }
        }
        Ok(())
    }

    fn agent_gone(&mut self, from: &Sender, steps_started: bool) -> Result<(), Refusal> {
        let Some(started) = self.sender(from)? else { return Ok(()) };
        match &started.cancel {
            // It was told to go at once.
            Some(cancel) if cancel.kill => self.end_unfinished(&from.key, cancel.cause, cancel.why.clone()),
            _ if steps_started || self.has_begun(&from.key) => {
                let why = "its agent ended without a result; what its last step did is not known";
                self.lose(from, why.to_owned());
            }
            _ => {
                let why = "its agent ended before the first step".to_owned();
                self.launch_failed(from, &started, why, true);
            }
        }
        Ok(())
    }

    /// Whether a step of the present start of a leg began: then the leg is never launched again.
    fn has_begun(&self, key: &JobKey) -> bool {
        self.leg_of(key).is_some_and(|leg| !leg.steps.is_empty())
    }

    fn lose(&mut self, from: &Sender, why: String) {
        let (key, attempt) = (from.key.clone(), from.attempt);
        self.emit(Fact::JobLost { key, attempt, why });
    }

    fn launch_failed(&mut self, from: &Sender, started: &Started, why: String, retryable: bool) {
        let (key, attempt) = (from.key.clone(), from.attempt);
        let killed = started.cancel.as_ref().is_some_and(|cancel| cancel.kill);
        // Whoever says so does not know of the step, but the journal does.
        if self.has_begun(&key) && !killed {
            return self.lose(from, format!("{why}; what its last step did is not known"));
        }
        if let Some(cancel) = &started.cancel {
            return self.end_unfinished(&key, cancel.cause, cancel.why.clone());
        }
        let failures = self.leg_of(&key).map_or(0, |leg| leg.launch_failures);
        if retryable && failures + 1 < LAUNCHES {
            // 1 s, then 10 s: long enough for a daemon to come back.
            let wait = SignedDuration::from_secs(if failures == 0 { 1 } else { 10 });
            let again_at = self.now.saturating_add(wait).unwrap_or(self.now);
            self.emit(Fact::LaunchFailed { key, attempt, why, again_at });
        } else {
            self.fail(&key, Cause::Launch, why);
        }
    }

    fn lock_granted(&mut self, lock: Lock, holder: Holder) -> Result<(), Refusal> {
        match self.state.locks.get(&(lock.clone(), holder.clone())) {
            None => Err(Refusal::NoSuchLock(lock.to_string())),
            Some(claim) if claim.granted => Ok(()),
            Some(_) => {
                self.emit(Fact::LockGranted { lock, holder });
                Ok(())
            }
        }
    }

    fn superseded(&mut self, lock: &Lock, holder: &Holder, by: RunId) -> Result<(), Refusal> {
        if !self.state.locks.contains_key(&(lock.clone(), holder.clone())) {
            return Err(Refusal::NoSuchLock(lock.to_string()));
        }
        let why = format!("run {by} came after it in {lock}");
        match holder {
            Holder::Run if self.state.cancel.is_none() => {
                self.emit(Fact::CancelRequested { by: None, reason: why, force: false });
            }
            Holder::Job(key) => self.cancel_leg(key, Cause::Cancelled, &why, false),
            Holder::Run => {}
            Holder::Stage(_) => return Err(Refusal::NoSuchLock(lock.to_string())),
        }
        Ok(())
    }

    pub(crate) fn leg_of(&self, key: &JobKey) -> Option<&LegState> {
        self.state.leg(key)
    }

    /// Ends a leg, or tells it to end when it is started.
    pub(crate) fn cancel_leg(&mut self, key: &JobKey, cause: Cause, why: &str, kill: bool) {
        let Some(leg) = self.state.leg(key).filter(|leg| leg.ended.is_none()) else { return };
        let attempt = leg.attempt;
        match &leg.started {
            None => self.end_unfinished(key, cause, why.to_owned()),
            Some(started) if started.cancel.as_ref().is_some_and(|c| c.kill || !kill) => {}
            Some(_) => {
                let (key, why) = (key.clone(), why.to_owned());
                self.emit(Fact::JobCancelRequested { key, attempt, cause, why, kill });
            }
        }
    }

    /// Ends a leg, or a job whose legs are not known, as cancelled.
    pub(crate) fn end_unfinished(&mut self, key: &JobKey, cause: Cause, why: String) {
        self.end(key, Conclusion::Cancelled, cause, why);
    }

    /// Ends a leg, or a job whose legs are not known, as failed.
    pub(crate) fn fail(&mut self, key: &JobKey, cause: Cause, why: String) {
        self.end(key, Conclusion::Failure, cause, why);
    }

    fn end(&mut self, key: &JobKey, conclusion: Conclusion, cause: Cause, why: String) {
        self.emit(Fact::JobFinished {
            key: key.clone(),
            attempt: self.state.attempt,
            conclusion,
            cause,
            outputs: indexmap::IndexMap::new(),
            url: String::new(),
            why,
        });
    }
}
