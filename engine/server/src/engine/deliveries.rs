//! The dispatcher's part in deliveries: what takes long goes on in tasks, and their ends are messages like any other.

use std::collections::BTreeSet;
use std::time::Duration;

use tagline_plan::PlannedDelivery;
use tagline_run::{GateId, Input, JobKey, RunId};

use super::{Dispatcher, Message};
use crate::clock;
use crate::delivery;
use crate::delivery::retire::{AGAIN, RETIRE, Retirement};
use crate::ledger::TellError;

/// How long what a delivery has left waits for a delivery that goes on.
const BUSY: Duration = Duration::from_secs(10);

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
        if !gate.jobs.iter().any(delivers) {
            return self.prepared(run, id, Ok(Vec::new()));
        }
        let context = self.context(entry.state.clone(), &entry.root);
        let messages = self.messages.clone();
        self.preparing.entry((run, id)).or_insert_with(|| {
            let task = self.handle.spawn(async move {
                let deliveries = delivery::prepare(&context, &gate).await;
                let _ = messages.send(Message::Prepared { run, gate: id, deliveries });
            });
            task.abort_handle()
        });
        None
    }

    /// What a gate is told; none when its run is not driven any more.
    pub(super) fn prepared(
        &self,
        run: RunId,
        gate: GateId,
        planned: Result<Vec<PlannedDelivery>, String>,
    ) -> Option<Input> {
        let entry = self.ledger.get(run)?;
        let environment = &entry.state.gates.get(&gate)?.environment;
        let after = entry.state.rules(environment).and_then(|(_, rules)| rules.after.as_deref());
        let deliveries = match planned {
            Ok(deliveries) => deliveries,
            Err(why) => return Some(Input::GateUnprepared { gate, why }),
        };
        Some(match (self.passed(run, &entry.root, after), crate::random::hex()) {
            (Ok(passed), Ok(nonce)) => Input::GatePrepared { gate, nonce, passed, deliveries },
            (Err(error), _) => Input::GateUnprepared { gate, why: error.to_string() },
            (_, Err(error)) => Input::GateUnprepared { gate, why: error.to_string() },
        })
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
        let root = self.ledger.load(retirement.run).map(|entry| (entry.state.clone(), entry.root.clone()));
        let (state, root) = match root {
            Ok(loaded) => loaded,
            Err(error) => return tracing::error!(key, %error, "what a delivery has left stays"),
        };
        if state.finished.is_some() {
            self.ledger.forget(retirement.run);
        }
        let environment = &retirement.environment;
        let here = self.ledger.runs().filter(|(_, entry)| entry.root == root);
        let busy = here.into_iter().any(|(_, entry)| delivery::retire::is_busy(&entry.state, environment));
        if busy {
            return self.wait_for(key.to_owned(), retirement, BUSY);
        }
        let (deliverer, messages, key) = (self.config.deliverer.clone(), self.messages.clone(), key.to_owned());
        self.handle.spawn(async move {
            let run = retirement.run;
            let told = delivery::retire::retire(&retirement, &state, deliverer.as_ref()).await;
            let input =
                told.inspect_err(|why| tracing::warn!(key, why, "what a delivery has left cannot be removed now"));
            let _ = messages.send(Message::Retired { key, run, input: input.ok().map(Box::new) });
        });
    }

    /// Stores what became of it and ticks it off, in one transaction.
    pub(super) fn retired(
        &mut self,
        key: String,
        run: RunId,
        input: Option<Box<Input>>,
        touched: &mut BTreeSet<RunId>,
    ) {
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
