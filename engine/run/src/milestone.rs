//! Milestones: what a step has reached in the world, recorded before anything follows from it.
//!
//! A step that delivers is carried out by the engine. One that is killed leaves its milestones, and the next one goes on
//! from there. What their names and data mean is the caller's business; here they are kept in order and said once.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::decide::Decider;
use crate::event::Fact;
use crate::ids::{Attempt, JobKey};
use crate::input::Sender;
use crate::refusal::Refusal;
use crate::state::{LegState, RunState};

/// One thing reached.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Milestone {
    /// A short word: `switched`.
    pub name: String,
    /// One sentence for people.
    pub text: String,
    /// What a later engine needs of it; null where nothing.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub data: Value,
}

/// A milestone with where and when it was reached.
#[derive(Debug, Clone, PartialEq)]
pub struct Reached {
    /// The leg.
    pub key: JobKey,
    /// Its attempt.
    pub attempt: Attempt,
    /// The step, from 0.
    pub step: u32,
    /// When.
    pub at: Timestamp,
    /// What.
    pub milestone: Milestone,
}

impl RunState {
    /// The milestones of a step in one attempt of its leg, in order.
    pub fn milestones<'a>(
        &'a self,
        key: &'a JobKey,
        attempt: Attempt,
        step: u32,
    ) -> impl DoubleEndedIterator<Item = &'a Reached> {
        let of_step =
            move |reached: &&Reached| reached.step == step && reached.attempt == attempt && reached.key == *key;
        self.reached.iter().map(Arc::as_ref).filter(of_step)
    }

    /// Whether a step of the leg is at work in the world: it has milestones and has not ended. Ending its job at once
    /// would leave the world halfway.
    pub fn is_delivering(&self, key: &JobKey, leg: &LegState) -> bool {
        let open = leg.steps.iter().filter(|(_, step)| step.ended.is_none());
        open.map(|(number, _)| *number).any(|step| self.milestones(key, leg.attempt, step).next().is_some())
    }

    pub(crate) fn take_in_milestone(&mut self, reached: Reached) -> Result<(), String> {
        let key = &reached.key;
        let known = self.leg(key).is_some_and(|leg| leg.started.is_some() && leg.attempt == reached.attempt);
        if !known && self.milestones(key, reached.attempt, reached.step).next().is_none() {
            return Err(format!("{key} has not started"));
        }
        self.reached.push(Arc::new(reached));
        Ok(())
    }
}

impl Decider {
    /// A milestone of a start that counts. It is taken also after its leg or run has ended: what was done to the world is
    /// recorded, whatever became of the job.
    pub(crate) fn milestone(&mut self, from: &Sender, step: u32, milestone: Milestone) -> Result<(), Refusal> {
        let leg = self.state.leg(&from.key).filter(|leg| leg.attempt == from.attempt);
        let started = leg.and_then(|leg| leg.started.as_ref());
        if started.is_none_or(|started| started.token != from.token) {
            return Err(Refusal::StaleReport(from.key.clone()));
        }
        self.reach(from.key.clone(), from.attempt, step, milestone);
        Ok(())
    }

    /// The late end of something that a step had left for later.
    pub(crate) fn retired(
        &mut self,
        key: JobKey,
        attempt: Attempt,
        step: u32,
        milestone: Milestone,
    ) -> Result<(), Refusal> {
        if self.state.milestones(&key, attempt, step).next().is_none() {
            return Err(Refusal::StaleReport(key));
        }
        self.reach(key, attempt, step, milestone);
        Ok(())
    }

    /// The same milestone twice in a row is one that was told twice.
    fn reach(&mut self, key: JobKey, attempt: Attempt, step: u32, milestone: Milestone) {
        let last = self.state.milestones(&key, attempt, step).next_back();
        if last.is_none_or(|last| last.milestone != milestone) {
            self.emit(Fact::Milestone { key, attempt, step, milestone });
        }
    }
}
