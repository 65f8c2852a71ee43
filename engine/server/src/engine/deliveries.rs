//! The dispatcher's part in deliveries: what takes long goes on in tasks, and their ends are messages like any other.

use std::collections::BTreeSet;
use std::time::Duration;

use tagline_plan::PlannedDelivery;
use tagline_run::{GateId, Input, JobKey, Lock, RunId};
use tagline_store::StoreError;

use super::{Dispatcher, Message};
use crate::clock;
use crate::delivery;
use crate::delivery::retire::{AGAIN, RETIRE, Retirement};
use crate::ledger::TellError;
use crate::release::{self, ReleaseError};
use crate::services::chain;

/// How long what a delivery has left waits for a delivery that goes on.
const BUSY: Duration = Duration::from_secs(10);

/// What is to be known of other runs before a gate opens.
enum Found {
    /// Something higher is live: what the run is told.
    Higher(Input),
    /// What has passed the environment before this one.
    Passed(BTreeSet<String>),
}

impl Dispatcher {
    /// The answer to a gate that wants to be prepared; none yet where deliveries are to be planned first, which takes a
    /// while and is not done here.
    pub(super) fn prepare(&mut self, run: RunId, id: GateId) -> Option<Input> {
        let entry = self.ledger.get(run)?;
        let gate = entry.state.gates.get(&id)?.clone();
        let delivers = |key: &JobKey| {
            let job = entry.state.plan.jobs.get(&key.job);
            job.is_some_and(|job| job.job.steps.iter().any(|step| step.delivery().is_some()))
        };
        // It is being planned, or what it needs of the store is asked for again in a moment.
        if self.preparing.contains_key(&(run, id)) {
            return None;
        }
        if !gate.jobs.iter().any(delivers) {
            return self.prepared(run, id, Ok(Vec::new()));
        }
        let context = self.context(entry.state.clone(), &entry.root);
        let messages = self.messages.clone();
        let task = self.handle.spawn(async move {
            let deliveries = delivery::prepare(&context, &gate).await;
            let _ = messages.send(Message::Prepared { run, gate: id, deliveries });
        });
        self.preparing.insert((run, id), task.abort_handle());
        None
    }

    /// What a gate is told; none when its run is not driven any more, and when the store does not answer now: what was
    /// planned is kept and the store asked again.
    pub(super) fn prepared(
        &mut self,
        run: RunId,
        gate: GateId,
        planned: Result<Vec<PlannedDelivery>, String>,
    ) -> Option<Input> {
        let deliveries = match planned {
            Ok(deliveries) => deliveries,
            Err(why) => return Some(Input::GateUnprepared { gate, why }),
        };
        match self.looked_up(run, gate) {
            Ok(found) => Some(match (found?, crate::random::hex()) {
                (Found::Higher(input), _) => input,
                (Found::Passed(passed), Ok(nonce)) => Input::GatePrepared { gate, nonce, passed, deliveries },
                (Found::Passed(_), Err(error)) => Input::GateUnprepared { gate, why: chain(&error) },
            }),
            Err(error) if error.may_pass() => {
                tracing::warn!(%run, %gate, why = chain(&error), "the gate is prepared again in a moment");
                let messages = self.messages.clone();
                let task = self.handle.spawn(async move {
                    tokio::time::sleep(super::AGAIN).await;
                    let _ = messages.send(Message::Prepared { run, gate, deliveries: Ok(deliveries) });
                });
                self.preparing.insert((run, gate), task.abort_handle());
                None
            }
            Err(error) => Some(Input::GateUnprepared { gate, why: chain(&error) }),
        }
    }

    /// What the store says about a gate's environment; none when the run is not driven any more.
    fn looked_up(&self, run: RunId, gate: GateId) -> Result<Option<Found>, StoreError> {
        let Some(entry) = self.ledger.get(run) else { return Ok(None) };
        let Some(gate) = entry.state.gates.get(&gate) else { return Ok(None) };
        if let Some(input) = self.downgrade(run, &gate.environment)? {
            return Ok(Some(Found::Higher(input)));
        }
        let after = entry.state.rules(&gate.environment).and_then(|(_, rules)| rules.after.as_deref());
        self.passed(run, &entry.root, after).map(|passed| Some(Found::Passed(passed)))
    }

    /// What a run is told that would bring a version below the live one, unless it may.
    fn downgrade(&self, run: RunId, environment: &str) -> Result<Option<Input>, StoreError> {
        let Some(entry) = self.ledger.get(run).filter(|entry| !entry.state.allow_downgrade) else { return Ok(None) };
        let environment = entry.state.rules(environment).map_or(environment, |(name, _)| name);
        match release::not_in(&entry.state.plan, environment, self.ledger.store(), &entry.root) {
            Ok(()) => Ok(None),
            Err(ReleaseError::Store(error)) => Err(error),
            Err(lower) => {
                let why = format!("{lower}; if it is meant: tagline rerun {run} --failed --allow-downgrade");
                Ok(Some(Input::Downgrade { environment: environment.to_owned(), why }))
            }
        }
    }

    /// Holds the lock of an environment back from a release below what came live there while it waited for people or for
    /// the lock. Who gets it has the environment to itself, so nobody need look again after this.
    pub(super) fn unless_downgrade(&mut self, run: RunId, input: Input) -> Option<(RunId, Input)> {
        let Input::LockGranted { lock: Lock::Environment(environment), .. } = &input else { return Some((run, input)) };
        match self.downgrade(run, environment) {
            Ok(told) => Some((run, told.unwrap_or(input))),
            Err(error) => {
                tracing::warn!(%run, why = chain(&error), "what is live cannot be read; it is looked at again in a moment");
                if self.looking_again.insert(run) {
                    let messages = self.messages.clone();
                    self.handle.spawn(async move {
                        tokio::time::sleep(super::AGAIN).await;
                        let _ = messages.send(Message::Again { runs: vec![run] });
                    });
                }
                None
            }
        }
    }

    /// Waits for the time of everything in the outbox that deliveries have left.
    pub(super) fn watch_retirements(&mut self) {
        let rows = self.ledger.store().outbox().unwrap_or_default();
        for row in rows.into_iter().filter(|row| row.key.starts_with(RETIRE)) {
            if self.retirements.contains_key(&row.key) || self.cleaned.contains(&row.key) {
                continue;
            }
            match serde_json::from_str::<Retirement>(&row.body) {
                Ok(retirement) => self.wait_for(row.key, retirement, Duration::ZERO),
                Err(error) => tracing::error!(key = row.key, %error, "this version cannot read what is to be removed"),
            }
        }
    }

    fn wait_for(&mut self, key: String, retirement: Retirement, pause: Duration) {
        let (messages, due) = (self.messages.clone(), retirement.due);
        let mine = key.clone();
        let task = self.handle.spawn(async move {
            tokio::time::sleep(pause).await;
            clock::until(due).await;
            let _ = messages.send(Message::Due { key: mine });
        });
        self.retirements.insert(key, (retirement, task.abort_handle()));
    }

    /// Has something looked at and removed, unless its environment is being delivered to.
    pub(super) fn retire(&mut self, key: &str) {
        let Some((retirement, _)) = self.retirements.get(key).cloned() else { return };
        // Its time and the end of its run may ask both.
        if self.undoing.contains(key) {
            return;
        }
        let root = self.ledger.load(retirement.run).map(|entry| (entry.state.clone(), entry.root.clone()));
        let (state, root) = match root {
            Ok(loaded) => loaded,
            Err(error) => return tracing::error!(key, %error, "what a delivery has left stays"),
        };
        if state.finished.is_some() {
            self.ledger.forget(retirement.run);
        } else if retirement.after_run {
            // The end of the run asks again.
            return;
        }
        let environment = &retirement.environment;
        let here = self.ledger.runs().filter(|(_, entry)| entry.root == root);
        let busy = here.into_iter().any(|(_, entry)| delivery::retire::is_busy(&entry.state, environment));
        if busy {
            return self.wait_for(key.to_owned(), retirement, BUSY);
        }
        if retirement.after_run {
            self.undoing.insert(key.to_owned());
        }
        let others = self.retirements.iter().filter(|(other, _)| *other != key).map(|(_, (other, _))| other);
        let others: Vec<_> =
            others.filter(|other| other.environment == *environment).map(|other| other.what.clone()).collect();
        let (deliverer, messages, key) = (self.config.deliverer.clone(), self.messages.clone(), key.to_owned());
        self.handle.spawn(async move {
            let run = retirement.run;
            let told = delivery::retire::retire(&retirement, &others, &state, deliverer.as_ref()).await;
            let input =
                told.inspect_err(|why| tracing::warn!(key, why, "what a delivery has left cannot be removed now"));
            let _ = messages.send(Message::Retired { key, run, input: input.ok().map(Box::new) });
        });
    }

    /// A run has ended: what waits for that is due.
    pub(super) fn run_ended(&self, run: RunId) {
        let waits = self.retirements.iter().filter(|(_, (one, _))| one.run == run && one.after_run);
        for (key, _) in waits {
            let _ = self.messages.send(Message::Due { key: key.clone() });
        }
    }

    /// Stores what became of it and ticks it off, in one transaction.
    pub(super) fn retired(
        &mut self,
        key: String,
        run: RunId,
        input: Option<Box<Input>>,
        touched: &mut BTreeSet<RunId>,
    ) {
        self.undoing.remove(&key);
        let Some((retirement, _)) = self.retirements.remove(&key) else { return };
        let Some(input) = input else { return self.wait_for(key, retirement, AGAIN) };
        self.cleaned.push(key.clone());
        let answers = self.tell(vec![(run, *input, clock::now())], touched);
        match answers.first() {
            Some(Err(TellError::Store(_))) => {
                self.cleaned.retain(|done| *done != key);
                self.wait_for(key, retirement, AGAIN);
            }
            Some(Err(error)) => tracing::error!(key, %error, "what became of it is not recorded"),
            _ => {}
        }
    }
}
