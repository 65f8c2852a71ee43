//! What deliveries leave to be removed later: an old release that is kept for a day, an operation that is undone when its
//! run ends.
//!
//! Invariants: it stands in the outbox since the transaction that says the delivery is done, with its time; it is looked at
//! again before it is removed; its end is a milestone, stored in the transaction that ticks it off. No environment is
//! tidied while something is delivered to it. What waits for a run's end is done however the run ends, by the engine that
//! sees it end, or by the next one.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tagline_delivery::progress::Later;
use tagline_delivery::{Milestone, Progress, Stop};
use tagline_run::{Attempt, Event, Fact, Holder, Input, JobKey, RunId, RunState};
use tagline_store::Outgoing;

use super::deliverer::{Delivered, Deliverer};
use super::kept::DELIVERED;
use super::site::site;
use crate::clock;

/// How the keys of its outbox rows begin.
pub(crate) const RETIRE: &str = "retire/";
/// How long a cluster that does not answer is left alone.
pub(crate) const AGAIN: Duration = Duration::from_mins(2);
/// How long it may take to look at it and remove it.
pub(crate) const LIMIT: Duration = Duration::from_mins(10);

/// A row of the outbox.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Retirement {
    pub(crate) run: RunId,
    pub(crate) key: JobKey,
    pub(crate) attempt: Attempt,
    pub(crate) step: u32,
    /// The environment its leg had.
    pub(crate) environment: String,
    /// Not before.
    pub(crate) due: Timestamp,
    /// Not before the run has ended.
    #[serde(default)]
    pub(crate) after_run: bool,
    /// What; the deliverer's business.
    pub(crate) what: Value,
}

/// The outbox rows that events ask for.
pub(crate) fn outgoing(run: RunId, state: &RunState, events: &[Event]) -> Vec<Outgoing> {
    let mut rows = Vec::new();
    for event in events {
        let Fact::Milestone { key, attempt, step, milestone } = &event.fact else { continue };
        let environment = state.leg(key).and_then(|leg| leg.ready.leg.environment.clone());
        let (DELIVERED, Some(environment)) = (milestone.name.as_str(), environment) else { continue };
        let Ok(delivered) = serde_json::from_value::<Delivered>(milestone.data.clone()) else { continue };
        for (number, due) in delivered.retire.into_iter().enumerate() {
            let retirement = Retirement {
                run,
                key: key.clone(),
                attempt: *attempt,
                step: *step,
                environment: environment.clone(),
                due: due.at,
                after_run: due.after_run,
                what: due.what,
            };
            let body = serde_json::to_string(&retirement).expect("a retirement is plain data");
            rows.push(Outgoing { key: format!("{RETIRE}{run}/{key}/{attempt}/{step}/{number}"), body });
        }
    }
    rows
}

/// Whether something is delivered, or about to be, to an environment.
pub(crate) fn is_busy(state: &RunState, environment: &str) -> bool {
    let of_stage = |holder: &Holder| matches!(holder, Holder::Stage(name) if name.eq_ignore_ascii_case(environment));
    state.locks.iter().any(|((_, holder), claim)| claim.granted && of_stage(holder))
}

/// Looks again and removes it, if that may be. `others`: what else is to be removed of its environment. Returns what the run is
/// to be told.
///
/// # Errors
/// It cannot be told now: it is tried again.
pub(crate) async fn retire(
    retirement: &Retirement,
    others: &[Value],
    state: &RunState,
    deliverer: &dyn Deliverer,
) -> Result<Input, String> {
    let Retirement { key, attempt, step, environment, what, .. } = retirement;
    let site = site(state, environment, key, *attempt, *step, std::path::PathBuf::new())?;
    let notes = Arc::new(Notes::default());
    let retired = tokio::time::timeout(LIMIT, deliverer.retire(what, others, &site, notes)).await;
    let milestone = match retired {
        Ok(Ok(milestone)) => milestone,
        Ok(Err(error)) => return Err(error.to_string()),
        Err(_) => return Err("it took too long".to_owned()),
    };
    let milestone = tagline_run::Milestone { name: milestone.name, text: milestone.text, data: milestone.data };
    Ok(Input::Retired { key: key.clone(), attempt: *attempt, step: *step, milestone })
}

/// Progress of something that no step waits for: it remembers nothing beyond its own life, and says it to the engine's log.
#[derive(Debug, Default)]
struct Notes(Mutex<Vec<Milestone>>);

impl Notes {
    fn all(&self) -> std::sync::MutexGuard<'_, Vec<Milestone>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Progress for Notes {
    fn say(&self, line: String) {
        tracing::info!("{line}");
    }

    fn warn(&self, line: String) {
        tracing::warn!("{line}");
    }

    fn milestones(&self) -> Vec<Milestone> {
        self.all().clone()
    }

    fn record(&self, milestone: Milestone) -> Later<'_, Result<(), Stop>> {
        self.all().push(milestone);
        Box::pin(std::future::ready(Ok(())))
    }

    fn keep(&self, _: String, _: Vec<u8>) -> Later<'_, Result<(), Stop>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn stopped(&self) -> Later<'_, Stop> {
        Box::pin(std::future::pending())
    }

    fn now(&self) -> Timestamp {
        clock::now()
    }

    fn sleep(&self, duration: Duration) -> Later<'_, ()> {
        let span = SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX);
        Box::pin(clock::until(clock::now().saturating_add(span).unwrap_or(Timestamp::MAX)))
    }
}
