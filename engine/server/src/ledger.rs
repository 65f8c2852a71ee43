//! Runs in memory beside their journal: every input goes through here, decided, stored, then applied.
//!
//! Invariant: a state in the ledger is the fold of exactly the events the store holds for it. When a write fails, what
//! was decided is taken back; only a run whose journal is not as it was seen is forgotten, and loaded again.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tagline_run::{Attempt, Corrupt, Ending, Event, Fact, GateStatus, Input, JobKey, Refusal, RunId, RunState, decide};
use tagline_store::{Append, Outgoing, Store, StoreError, Summary};
use thiserror::Error;

use crate::delivery::retire;
use crate::vote::{self, VoteError};

/// Why an input came to nothing.
#[derive(Debug, Error)]
pub enum TellError {
    /// The run's rules say no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A vote whose signature does not fit.
    #[error(transparent)]
    Vote(#[from] VoteError),
    /// The journal of the run makes no sense to this version.
    #[error(transparent)]
    Corrupt(#[from] Corrupt),
}

/// One run in memory.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) state: Arc<RunState>,
    pub(crate) seen: u64,
    pub(crate) root: String,
}

/// An input for a run, with when it came.
pub(crate) type Heard = (RunId, Input, Timestamp);

/// What one input led to.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) run: RunId,
    pub(crate) events: Vec<Event>,
}

/// What is to be stored for a run, and how it stood before.
struct Decided {
    before: Entry,
    append: Append,
}

/// What a batch of inputs led to.
#[derive(Debug)]
pub(crate) struct Batch {
    /// For each input, in order.
    pub(crate) answers: Vec<Result<Told, TellError>>,
    /// The runs whose events could not be stored.
    pub(crate) failed: Vec<RunId>,
}

/// The runs that are being driven.
pub(crate) struct Ledger {
    store: Arc<Store>,
    runs: BTreeMap<RunId, Entry>,
    /// A fault for tests: the first write that brings the journal that far fails.
    fail_write: Option<u64>,
}

impl Ledger {
    pub(crate) fn new(store: Arc<Store>, fail_write: Option<u64>) -> Self {
        Self { store, runs: BTreeMap::new(), fail_write }
    }

    pub(crate) fn store(&self) -> &Arc<Store> {
        &self.store
    }

    pub(crate) fn runs(&self) -> impl Iterator<Item = (RunId, &Entry)> {
        self.runs.iter().map(|(run, entry)| (*run, entry))
    }

    pub(crate) fn get(&self, run: RunId) -> Option<&Entry> {
        self.runs.get(&run)
    }

    /// A run, from the journal where it is not in memory.
    pub(crate) fn load(&mut self, run: RunId) -> Result<&Entry, TellError> {
        if !self.runs.contains_key(&run) {
            let entry = load(&self.store, run)?;
            self.runs.insert(run, entry);
        }
        Ok(&self.runs[&run])
    }

    /// Forgets a run that has ended; its journal has it.
    pub(crate) fn forget(&mut self, run: RunId) {
        self.runs.remove(&run);
    }

    /// Decides the inputs in order and stores what follows from all of them in one transaction, which also ticks off the
    /// outbox rows in `done`.
    pub(crate) fn tell(&mut self, inputs: Vec<Heard>, done: &mut Vec<String>) -> Batch {
        let mut decided: BTreeMap<RunId, Decided> = BTreeMap::new();
        let mut answers = Vec::with_capacity(inputs.len());
        for (run, input, now) in inputs {
            let answer = self.decide(run, input, now, &mut decided);
            answers.push(answer.map(|events| Told { run, events }));
        }
        let (before, appends): (Vec<(RunId, Entry)>, Vec<Append>) =
            decided.into_iter().map(|(run, one)| ((run, one.before), one.append)).unzip();
        if appends.is_empty() {
            return Batch { answers, failed: Vec::new() };
        }
        match self.write(&appends, done) {
            Ok(()) => {
                done.clear();
                Batch { answers, failed: Vec::new() }
            }
            Err(error) => {
                let failed = before.iter().map(|(run, _)| *run).collect();
                self.take_back(before, &error);
                tracing::error!(%error, "what was decided could not be stored and is taken back");
                Batch { answers: fail(answers, error), failed }
            }
        }
    }

    /// A run stays in memory as it was, so that the locks it has are seen to be taken.
    fn take_back(&mut self, before: Vec<(RunId, Entry)>, error: &StoreError) {
        for (run, entry) in before {
            match error {
                StoreError::Conflict { .. } => self.forget(run),
                _ => drop(self.runs.insert(run, entry)),
            }
        }
    }

    fn write(&mut self, appends: &[Append], done: &[String]) -> Result<(), StoreError> {
        let new: u64 = appends.iter().map(|append| append.events.len() as u64).sum();
        if let Some(at) = self.fail_write
            && self.store.last_number()? + new >= at
        {
            self.fail_write = None;
            return Err(StoreError::Full(self.store.folder().root().to_owned()));
        }
        self.store.append(appends, done)
    }

    fn decide(
        &mut self,
        run: RunId,
        input: Input,
        now: Timestamp,
        decided: &mut BTreeMap<RunId, Decided>,
    ) -> Result<Vec<Event>, TellError> {
        if let Input::Vote(vote) = &input {
            vote::verify(vote)?;
        }
        self.load(run)?;
        let entry = self.runs.get_mut(&run).ok_or(StoreError::NoRun(run.0))?;
        let events = decide(&entry.state, input, now)?;
        if events.is_empty() {
            return Ok(events);
        }
        // Last, so that who comes too late, or never had a vote, is told that.
        for event in &events {
            if let Fact::VoteRecorded { vote, .. } = &event.fact {
                vote::still_reviewer(vote, &entry.root)?;
            }
        }
        let mut state = (*entry.state).clone();
        events.iter().try_for_each(|event| state.apply(event))?;
        let Decided { append, .. } = decided.entry(run).or_insert_with(|| Decided {
            before: entry.clone(),
            append: Append {
                run,
                seen: entry.seen,
                events: Vec::new(),
                summary: summary(&state),
                outgoing: Vec::new(),
            },
        });
        append.summary = summary(&state);
        append.outgoing.extend(cleanups(run, &state, &events));
        append.outgoing.extend(retire::outgoing(run, &state, &events));
        if events.iter().any(|event| matches!(event.fact, Fact::RunFinished { .. })) {
            append.outgoing.push(Outgoing { key: secrets_key(&state), body: "{}".to_owned() });
        }
        append.events.extend(events.iter().cloned());
        entry.seen += events.len() as u64;
        entry.state = Arc::new(state);
        Ok(events)
    }
}

/// Job folders and containers that are of no use once these events are stored.
fn cleanups(run: RunId, state: &RunState, events: &[Event]) -> Vec<Outgoing> {
    let ended = events.iter().filter_map(|event| match &event.fact {
        Fact::JobFinished { key, attempt, .. } | Fact::JobLost { key, attempt, .. } => Some((key, *attempt)),
        _ => None,
    });
    ended
        .filter_map(|(key, attempt)| {
            let executor = state.leg(key)?.started.as_ref()?.executor.clone();
            let cleanup = Cleanup { run, key: key.clone(), attempt, executor };
            Some(Outgoing { key: cleanup.outbox_key(), body: serde_json::to_string(&cleanup).ok()? })
        })
        .collect()
}

/// How the keys of outbox rows begin that ask for the secrets given with a run to be removed.
pub(crate) const SECRETS: &str = "secrets/";

/// The outbox row's key for a run that has ended.
pub(crate) fn secrets_key(state: &RunState) -> String {
    format!("{SECRETS}{}/{}", state.run, state.attempt)
}

/// A job folder and container to be removed: a row of the outbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cleanup {
    pub(crate) run: RunId,
    pub(crate) key: JobKey,
    pub(crate) attempt: Attempt,
    pub(crate) executor: String,
}

impl Cleanup {
    pub(crate) fn outbox_key(&self) -> String {
        format!("clean/{}/{}/{}", self.run, self.key, self.attempt)
    }
}

/// The same error for everyone whose events were in the transaction.
fn fail(answers: Vec<Result<Told, TellError>>, error: StoreError) -> Vec<Result<Told, TellError>> {
    let text = error.to_string();
    let mut first = Some(error);
    let again = |told: Told| match first.take() {
        Some(error) => Err(error.into()),
        None if told.events.is_empty() => Ok(told),
        None => Err(StoreError::Damaged { what: format!("the write of run {}", told.run), why: text.clone() }.into()),
    };
    let mut again = again;
    answers.into_iter().map(|answer| answer.and_then(&mut again)).collect()
}

/// Folds a run from the journal.
pub(crate) fn load(store: &Store, run: RunId) -> Result<Entry, TellError> {
    let row = store.run(run)?;
    let events = store.events(run, 0)?;
    let seen = events.last().map_or(0, |(seq, _)| *seq);
    let state = RunState::load(events.iter().map(|(_, event)| event))?;
    Ok(Entry { state: Arc::new(state), seen, root: row.root })
}

/// The state of a run, for commands that only look.
///
/// # Errors
/// When there is no such run, or its journal cannot be read.
pub fn state(store: &Store, run: RunId) -> Result<RunState, TellError> {
    Ok(Arc::unwrap_or_clone(load(store, run)?.state))
}

/// How a run stands, for lists.
pub fn summary(state: &RunState) -> Summary {
    let status = match &state.finished {
        Some(_) => "completed",
        None if state.legs().any(|(_, leg)| leg.started.is_some() && leg.ended.is_none()) => "in_progress",
        None if state.gates.values().any(|gate| gate.status == GateStatus::Open) => "waiting",
        None => "queued",
    };
    let conclusion = state.finished.as_ref().map(|finished| match finished.ending {
        Ending::Rejected => "rejected",
        Ending::Expired => "expired",
        Ending::Cancelled => "cancelled",
        Ending::Jobs => finished.conclusion.word(),
    });
    Summary { status: status.to_owned(), conclusion: conclusion.map(str::to_owned), attempt: state.attempt.0 }
}
