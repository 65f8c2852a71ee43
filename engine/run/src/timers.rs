//! Deadlines and clocks. Deadlines stand in the state, so a restart, a lost timer or a clock set back never extends one:
//! what counts is the later of the clock and the journal's latest time.
//!
//! A timer that comes more than five minutes late means downtime or a clock that jumped forward. It is held, and acted on
//! only when it is still due a minute later by a clock that cannot jump, so one bad clock reading does not expire all gates.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::decide::Decider;
use crate::event::{Cause, Fact};
use crate::ids::TimerId;
use crate::refusal::Refusal;
use crate::state::{GateStatus, LegState, RunState};

/// GitHub's limit for a run, waiting included.
const RUN_LIMIT: SignedDuration = SignedDuration::from_hours(35 * 24);
/// What still goes on so long after a cancel is ended at once.
const CANCEL_LIMIT: SignedDuration = SignedDuration::from_hours(24);
/// A job's agent keeps its time limit; the engine steps in so much later.
const JOB_GRACE: SignedDuration = SignedDuration::from_mins(10);
/// A killed job that has not ended after so long is lost.
const KILL_GRACE: SignedDuration = SignedDuration::from_mins(5);
/// What a job whose step is at work in the world gets in addition, so that it can go back first. Who carries the step out
/// has a limit of its own, which is shorter.
const DELIVERY_GRACE: SignedDuration = SignedDuration::from_hours(2);
/// A timer later than this is held.
const LATE: SignedDuration = SignedDuration::from_mins(5);
/// How long it is held.
pub(crate) const RECHECK: Duration = Duration::from_mins(1);

fn after(at: Timestamp, span: SignedDuration) -> Timestamp {
    at.saturating_add(span).unwrap_or(Timestamp::MAX)
}

impl RunState {
    /// When a timer is due; none when it is not running.
    pub fn due(&self, timer: &TimerId) -> Option<Timestamp> {
        if self.finished.is_some() {
            return None;
        }
        match timer {
            TimerId::Run => match &self.cancel {
                None => Some(after(self.attempt_at, RUN_LIMIT)),
                Some(cancel) if !cancel.force => Some(after(cancel.at, CANCEL_LIMIT)),
                Some(_) => None,
            },
            TimerId::Gate(gate) => {
                let gate = self.gates.get(gate).filter(|gate| gate.status == GateStatus::Open)?;
                gate.opened.as_ref()?.expires
            }
            TimerId::Job(key) => {
                let leg = self.leg(key)?;
                let grace = if self.is_delivering(key, leg) { DELIVERY_GRACE } else { SignedDuration::ZERO };
                job_due(leg).map(|due| after(due, grace))
            }
            TimerId::Launch(key) => {
                let leg = self.leg(key)?;
                leg.not_before.filter(|_| leg.started.is_none() && leg.ended.is_none())
            }
        }
    }
}

fn job_due(leg: &LegState) -> Option<Timestamp> {
    let started = leg.started.as_ref().filter(|_| leg.ended.is_none())?;
    Some(match &started.cancel {
        None => {
            let limit = i64::try_from(leg.ready.timeout_seconds).unwrap_or(i64::MAX);
            after(after(started.at, SignedDuration::from_secs(limit)), JOB_GRACE)
        }
        Some(cancel) if !cancel.kill => after(cancel.at, JOB_GRACE),
        Some(cancel) => after(cancel.at, KILL_GRACE),
    })
}

impl Decider {
    /// A timer came.
    pub(crate) fn timer_fired(&mut self, timer: &TimerId) -> Result<(), Refusal> {
        let due = self.state.due(timer).ok_or_else(|| Refusal::NoSuchTimer(timer.clone()))?;
        if self.state.held.contains(timer) || self.now < due {
            return Err(Refusal::NotDue(due));
        }
        let late = self.now.duration_since(due) > LATE;
        if late && !matches!(timer, TimerId::Launch(_)) {
            self.emit(Fact::TimerHeld { timer: timer.clone() });
        } else {
            self.act(timer);
        }
        Ok(())
    }

    /// A held timer is looked at once more.
    pub(crate) fn timer_checked(&mut self, timer: &TimerId) -> Result<(), Refusal> {
        if !self.state.held.contains(timer) {
            return Err(Refusal::NoSuchTimer(timer.clone()));
        }
        let due = self.state.due(timer);
        self.emit(Fact::TimerReleased { timer: timer.clone() });
        if due.is_some_and(|due| self.now >= due) {
            self.act(timer);
        }
        Ok(())
    }

    fn act(&mut self, timer: &TimerId) {
        match timer {
            TimerId::Run => {
                let force = self.state.cancel.is_some();
                let reason = if force {
                    "it went on for a day after its cancel".to_owned()
                } else {
                    "a run ends after 35 days".to_owned()
                };
                self.emit(Fact::CancelRequested { by: None, reason, force });
            }
            TimerId::Gate(gate) => self.emit(Fact::GateExpired { gate: *gate }),
            TimerId::Launch(_) => self.emit(Fact::TimerReleased { timer: timer.clone() }),
            TimerId::Job(key) => {
                let Some(leg) = self.state.leg(key) else { return };
                let attempt = leg.attempt;
                let cancel = leg.started.as_ref().and_then(|started| started.cancel.clone());
                let (key, kill) = (key.clone(), true);
                match cancel {
                    Some(cancel) if cancel.kill => {
                        let why = "it was killed and did not say that it ended".to_owned();
                        self.emit(Fact::JobLost { key, attempt, why });
                    }
                    Some(cancel) => {
                        let (cause, why) = (cancel.cause, cancel.why);
                        self.emit(Fact::JobCancelRequested { key, attempt, cause, why, kill });
                    }
                    None => {
                        let why = "it ran past its time limit and its agent did not end it".to_owned();
                        let cause = Cause::TimedOut;
                        self.emit(Fact::JobCancelRequested { key, attempt, cause, why, kill });
                    }
                }
            }
        }
    }
}
