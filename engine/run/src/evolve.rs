//! Event by event into the state. It decides nothing: what an event means is fixed for ever, whatever later engines would
//! have decided. An event that cannot follow is a corrupt journal, never a panic and never passed over.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use indexmap::IndexMap;
use jiff::Timestamp;

use crate::event::{Cause, Conclusion, Event, Fact};
use crate::ids::{Attempt, GateId, JobKey, TimerId};
use crate::milestone::Reached;
use crate::state::{
    Artifact, Cancel, Claim, Deployment, Ended, Finished, Gate, GateStatus, JobCancel, JobState, LegState, Opened,
    Ready, RunState, Started, Step, StepEnd,
};

/// A journal that cannot be: one of its events cannot follow those before it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("event {number} ({fact}) cannot stand here: {why}")]
pub struct Corrupt {
    /// The event's number in its run, from 0.
    pub number: u64,
    /// Its name.
    pub fact: &'static str,
    /// One sentence.
    pub why: String,
}

/// The state after one more event.
///
/// # Errors
/// When the event cannot follow; the journal is corrupt then.
pub fn evolve(mut state: RunState, event: &Event) -> Result<RunState, Corrupt> {
    state.apply(event)?;
    Ok(state)
}

impl RunState {
    /// The state after the first event of a run.
    pub fn begin(event: &Event) -> Result<Self, Corrupt> {
        let Fact::RunCreated { run, plan, runner, allow_downgrade, identity } = &event.fact else {
            let why = "a run begins with RunCreated".to_owned();
            return Err(Corrupt { number: 0, fact: event.fact.name(), why });
        };
        Ok(Self {
            run: *run,
            jobs: plan.jobs.keys().map(|id| (id.clone(), JobState::default())).collect(),
            plan: Arc::new((**plan).clone()),
            runner: runner.clone(),
            allow_downgrade: *allow_downgrade,
            identity: identity.clone(),
            created_at: event.at,
            attempt: Attempt::FIRST,
            attempt_at: event.at,
            attempt_by: plan.trigger.actor.clone(),
            events: 1,
            latest: event.at,
            gates: BTreeMap::new(),
            locks: BTreeMap::new(),
            reached: Vec::new(),
            artifacts: BTreeMap::new(),
            deployments: BTreeMap::new(),
            cancel: None,
            held: BTreeSet::new(),
            finished: None,
        })
    }

    /// The state all the events of a run add up to.
    pub fn load<'a>(events: impl IntoIterator<Item = &'a Event>) -> Result<Self, Corrupt> {
        let mut events = events.into_iter();
        let none = || Corrupt { number: 0, fact: "none", why: "there are no events".to_owned() };
        let mut state = Self::begin(events.next().ok_or_else(none)?)?;
        events.try_for_each(|event| state.apply(event))?;
        Ok(state)
    }

    /// Takes in one more event; on an error nothing is promised about the state.
    pub fn apply(&mut self, event: &Event) -> Result<(), Corrupt> {
        let number = self.events;
        self.take_in(event).map_err(|why| Corrupt { number, fact: event.fact.name(), why })?;
        self.events += 1;
        if !matches!(event.fact, Fact::TimerHeld { .. } | Fact::TimerReleased { .. }) {
            self.latest = self.latest.max(event.at);
        }
        Ok(())
    }

    fn take_in(&mut self, event: &Event) -> Result<(), String> {
        let at = event.at;
        if self.finished.is_some() && !matches!(event.fact, Fact::RerunRequested { .. } | Fact::Milestone { .. }) {
            return Err("the run has ended".to_owned());
        }
        match &event.fact {
            Fact::RunCreated { .. } => return Err("the run exists already".to_owned()),
            Fact::LockAsked { lock, holder, cancel_in_progress, queue } => {
                let claim =
                    Claim { asked_at: at, granted: false, cancel_in_progress: *cancel_in_progress, queue: *queue };
                if self.locks.insert((lock.clone(), holder.clone()), claim).is_some() {
                    return Err(format!("{lock} was asked for already"));
                }
            }
            Fact::LockGranted { lock, holder } => {
                let claim = self.locks.get_mut(&(lock.clone(), holder.clone()));
                claim.ok_or_else(|| format!("{lock} was not asked for"))?.granted = true;
            }
            Fact::LockReleased { lock, holder } => {
                let claim = self.locks.remove(&(lock.clone(), holder.clone()));
                claim.ok_or_else(|| format!("{lock} was not asked for"))?;
            }
            Fact::JobReady { .. } | Fact::JobSkipped { .. } => self.take_in_turn(event)?,
            Fact::GateRequested { .. }
            | Fact::GateOpened { .. }
            | Fact::VoteRecorded { .. }
            | Fact::GateApproved { .. }
            | Fact::GateRejected { .. }
            | Fact::GateExpired { .. }
            | Fact::GateRefused { .. }
            | Fact::GateVoided { .. } => self.take_in_gate(event)?,
            Fact::JobStarted { .. }
            | Fact::LaunchFailed { .. }
            | Fact::StepStarted { .. }
            | Fact::StepFinished { .. }
            | Fact::JobCancelRequested { .. }
            | Fact::JobFinished { .. }
            | Fact::JobLost { .. } => self.take_in_job(event)?,
            Fact::Milestone { key, attempt, step, milestone } => {
                let (key, milestone) = (key.clone(), milestone.clone());
                self.take_in_milestone(Reached { key, attempt: *attempt, step: *step, at, milestone })?;
            }
            Fact::ArtifactStored { key, attempt, id, name, digest, size, kind } => {
                let artifact = Artifact {
                    id: *id,
                    digest: digest.clone(),
                    size: *size,
                    kind: kind.clone(),
                    by: key.clone(),
                    attempt: *attempt,
                    at,
                    order: self.events,
                };
                self.artifacts.insert(name.clone(), artifact);
            }
            Fact::Deployed { environment, gate, artifacts, url, approved_by, .. } => {
                let deployment = Deployment {
                    gate: *gate,
                    attempt: self.attempt,
                    artifacts: artifacts.clone(),
                    url: url.clone(),
                    approved_by: approved_by.clone(),
                    at,
                    order: self.events,
                };
                self.deployments.insert(environment.clone(), deployment);
            }
            Fact::CancelRequested { by, reason, force } => {
                self.cancel = Some(Cancel { by: by.clone(), reason: reason.clone(), force: *force, at });
            }
            Fact::RerunRequested { attempt, by, jobs, legs, allow_downgrade } => {
                self.take_in_rerun(*attempt, jobs, legs, at)?;
                self.attempt_by = by.clone();
                self.allow_downgrade |= allow_downgrade;
            }
            Fact::TimerHeld { timer } => {
                self.held.insert(timer.clone());
            }
            Fact::TimerReleased { timer } => {
                self.held.remove(timer);
                if let TimerId::Launch(key) = timer {
                    self.running_leg(key)?.not_before = None;
                }
            }
            Fact::RunFinished { conclusion, ending, why } => {
                self.locks.clear();
                self.held.clear();
                self.finished = Some(Finished { conclusion: *conclusion, ending: *ending, why: why.clone(), at });
            }
        }
        Ok(())
    }

    fn take_in_turn(&mut self, event: &Event) -> Result<(), String> {
        let (at, attempt, order) = (event.at, self.attempt, self.events);
        match &event.fact {
            Fact::JobReady { job, fail_fast, max_parallel, legs } => {
                let state = self.waiting_job(job)?;
                let leg = |ready: &crate::event::ReadyLeg| LegState {
                    ready: ready.clone(),
                    since: at,
                    attempt,
                    launch_failures: 0,
                    not_before: None,
                    started: None,
                    steps: BTreeMap::new(),
                    ended: None,
                };
                let legs = legs.iter().map(leg).collect();
                state.ready = Some(Ready { fail_fast: *fail_fast, max_parallel: *max_parallel, legs });
            }
            Fact::JobSkipped { job, why } => {
                let ended = Ended {
                    conclusion: Conclusion::Skipped,
                    cause: Cause::Job,
                    why: why.clone(),
                    outputs: IndexMap::new(),
                    url: String::new(),
                    at,
                    order,
                };
                self.waiting_job(job)?.ended = Some(ended);
            }
            _ => {}
        }
        Ok(())
    }

    fn take_in_gate(&mut self, event: &Event) -> Result<(), String> {
        let at = event.at;
        match &event.fact {
            Fact::GateRequested { gate, environment, jobs } => {
                let state = Gate {
                    environment: environment.clone(),
                    attempt: self.attempt,
                    jobs: jobs.clone(),
                    requested_at: at,
                    opened: None,
                    status: GateStatus::Requested,
                };
                if self.gates.insert(*gate, state).is_some() {
                    return Err(format!("{gate} was requested already"));
                }
            }
            Fact::GateOpened { gate, plan, digest, nonce, requires, expires } => {
                let state = self.pending_gate(*gate)?;
                state.status = GateStatus::Open;
                state.opened = Some(Opened {
                    plan: Arc::new((**plan).clone()),
                    digest: digest.clone(),
                    nonce: nonce.clone(),
                    requires: requires.clone(),
                    expires: *expires,
                    at,
                    votes: Vec::new(),
                });
            }
            Fact::VoteRecorded { gate, vote } => {
                let opened = self.pending_gate(*gate)?.opened.as_mut();
                let opened = opened.ok_or_else(|| format!("{gate} is not open"))?;
                opened.votes.push((at, (**vote).clone()));
            }
            Fact::GateApproved { gate, by } => {
                self.close(*gate, GateStatus::Approved { by: *by, at })?;
            }
            Fact::GateRejected { gate } => self.close(*gate, GateStatus::Rejected { at })?,
            Fact::GateExpired { gate } => self.close(*gate, GateStatus::Expired { at })?,
            Fact::GateRefused { gate, code, why } => {
                let status = GateStatus::Refused { code: code.clone(), why: why.clone(), at };
                self.close(*gate, status)?;
            }
            Fact::GateVoided { gate, why } => {
                self.close(*gate, GateStatus::Voided { why: why.clone(), at })?;
            }
            _ => {}
        }
        Ok(())
    }

    fn take_in_job(&mut self, event: &Event) -> Result<(), String> {
        let (at, order) = (event.at, self.events);
        match &event.fact {
            Fact::JobStarted { key, token, executor, .. } => {
                let leg = self.running_leg(key)?;
                leg.not_before = None;
                leg.started = Some(Started { token: token.clone(), executor: executor.clone(), at, cancel: None });
            }
            Fact::LaunchFailed { key, again_at, .. } => {
                let leg = self.running_leg(key)?;
                leg.started = None;
                leg.launch_failures = leg.launch_failures.saturating_add(1);
                leg.not_before = Some(*again_at);
            }
            Fact::StepStarted { key, step, id, name, .. } => {
                let leg = self.running_leg(key)?;
                let state = Step { id: id.clone(), name: name.clone(), started_at: at, ended: None };
                leg.steps.insert(*step, state);
            }
            Fact::StepFinished { key, step, outcome, conclusion, why, .. } => {
                let end = StepEnd { outcome: *outcome, conclusion: *conclusion, why: why.clone(), at };
                let steps = &mut self.running_leg(key)?.steps;
                let step = steps.get_mut(step).ok_or("the step has not started")?;
                step.ended = Some(end);
            }
            Fact::JobCancelRequested { key, cause, why, kill, .. } => {
                let cancel = JobCancel { cause: *cause, why: why.clone(), kill: *kill, at };
                let started = self.running_leg(key)?.started.as_mut();
                started.ok_or_else(|| format!("{key} has not started"))?.cancel = Some(cancel);
            }
            Fact::JobFinished { key, conclusion, cause, outputs, url, why, .. } => {
                let ended = Ended {
                    conclusion: *conclusion,
                    cause: *cause,
                    why: why.clone(),
                    outputs: outputs.clone(),
                    url: url.clone(),
                    at,
                    order,
                };
                self.end(key, ended)?;
            }
            Fact::JobLost { key, why, .. } => {
                let ended = Ended {
                    conclusion: Conclusion::Failure,
                    cause: Cause::Lost,
                    why: why.clone(),
                    outputs: IndexMap::new(),
                    url: String::new(),
                    at,
                    order,
                };
                self.end(key, ended)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn take_in_rerun(
        &mut self,
        attempt: Attempt,
        jobs: &[String],
        legs: &[JobKey],
        at: Timestamp,
    ) -> Result<(), String> {
        if self.finished.take().is_none() {
            return Err("the run has not ended".to_owned());
        }
        self.attempt = attempt;
        self.attempt_at = at;
        self.cancel = None;
        for id in jobs {
            let job = self.jobs.get_mut(id).ok_or_else(|| format!("there is no job {id}"))?;
            *job = JobState::default();
        }
        for key in legs {
            let leg = self.leg_mut(key).ok_or_else(|| format!("there is no job {key}"))?;
            *leg = LegState {
                ready: leg.ready.clone(),
                since: at,
                attempt,
                launch_failures: 0,
                not_before: None,
                started: None,
                steps: BTreeMap::new(),
                ended: None,
            };
        }
        Ok(())
    }

    fn end(&mut self, key: &JobKey, ended: Ended) -> Result<(), String> {
        let job = self.jobs.get_mut(&key.job).ok_or_else(|| format!("there is no job {key}"))?;
        let slot = match &mut job.ready {
            None if key.leg == 0 => &mut job.ended,
            None => return Err(format!("the legs of {} are not known", key.job)),
            Some(ready) => {
                let leg = ready.legs.get_mut(key.leg as usize);
                &mut leg.ok_or_else(|| format!("there is no job {key}"))?.ended
            }
        };
        match slot.replace(ended) {
            None => Ok(()),
            Some(_) => Err(format!("{key} has ended already")),
        }
    }

    fn close(&mut self, gate: GateId, status: GateStatus) -> Result<(), String> {
        self.pending_gate(gate)?.status = status;
        Ok(())
    }

    fn pending_gate(&mut self, gate: GateId) -> Result<&mut Gate, String> {
        let state = self.gates.get_mut(&gate).ok_or_else(|| format!("there is no {gate}"))?;
        if state.status.is_pending() { Ok(state) } else { Err(format!("{gate} is closed")) }
    }

    fn waiting_job(&mut self, id: &str) -> Result<&mut JobState, String> {
        let job = self.jobs.get_mut(id).ok_or_else(|| format!("there is no job {id}"))?;
        if job.ready.is_none() && job.ended.is_none() { Ok(job) } else { Err(format!("{id} had its turn already")) }
    }

    fn leg_mut(&mut self, key: &JobKey) -> Option<&mut LegState> {
        self.jobs.get_mut(&key.job)?.ready.as_mut()?.legs.get_mut(key.leg as usize)
    }

    fn running_leg(&mut self, key: &JobKey) -> Result<&mut LegState, String> {
        let leg = self.leg_mut(key).ok_or_else(|| format!("there is no job {key}"))?;
        if leg.ended.is_none() { Ok(leg) } else { Err(format!("{key} has ended already")) }
    }
}
