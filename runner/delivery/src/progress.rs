//! What an action says and remembers while it is carried out. The engine gives this to it.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A boxed future, so that [`Progress`] can be an object.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Something reached that is stored in the run's journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Milestone {
    /// One of a fixed list: `begun`, `backed-up`, `migrated`, `created`, `ready`, `smoked`, `measured`, `switched`,
    /// `verified`, `watched`, `scaled-down`, `kept`, `deleted`, `paused`, `going-back`, `rolled-back`, `operated`, `undone`,
    /// `rotated`.
    pub name: String,
    /// One sentence for people.
    pub text: String,
    /// What only the moment knew and a later engine needs; null where nothing.
    #[serde(default)]
    pub data: Value,
}

/// Why an action is to end before its time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Stop {
    /// The run or job was cancelled, or its time limit passed: undo what is under way, then end.
    #[error("{0}")]
    Cancelled(String),
    /// The engine ends: leave everything as it is; the next one goes on from here.
    #[error("the engine ends; the next one goes on from here")]
    EngineEnds,
}

/// An action's link to its engine.
pub trait Progress: Send + Sync {
    /// A line of the step's log.
    fn say(&self, line: String);

    /// A warning of the step.
    fn warn(&self, line: String);

    /// What was recorded for this step before, by this engine or by one that was killed, in order.
    fn milestones(&self) -> Vec<Milestone>;

    /// Stores a milestone; done when it is synced to disk. The same name a second time is one more entry.
    fn record(&self, milestone: Milestone) -> Later<'_, Result<(), Stop>>;

    /// Keeps a file of evidence with the run (logs, events, dumps), by name.
    fn keep(&self, name: String, bytes: Vec<u8>) -> Later<'_, Result<(), Stop>>;

    /// Done when the action is to end, with why. Until then it waits.
    fn stopped(&self) -> Later<'_, Stop>;

    /// The time, by the engine's clock.
    fn now(&self) -> Timestamp;

    /// Waits so long by the engine's clock.
    fn sleep(&self, duration: Duration) -> Later<'_, ()>;
}

/// The milestone of that name, if one was recorded: the newest.
pub fn recorded(progress: &dyn Progress, name: &str) -> Option<Milestone> {
    progress.milestones().into_iter().rev().find(|milestone| milestone.name == name)
}

/// What `make` finds out, found out once: recorded the first time, and read back by every later engine.
///
/// # Errors
/// The error of `make`, or that the action is to end.
pub async fn once<T, E, F>(progress: &dyn Progress, name: &str, text: &str, make: F) -> Result<T, E>
where
    T: Serialize + serde::de::DeserializeOwned,
    E: From<Stop>,
    F: Future<Output = Result<T, E>>,
{
    if let Some(milestone) = recorded(progress, name)
        && let Ok(known) = serde_json::from_value(milestone.data)
    {
        return Ok(known);
    }
    let made = make.await?;
    let data = serde_json::to_value(&made).unwrap_or(Value::Null);
    progress.record(Milestone { name: name.to_owned(), text: text.to_owned(), data }).await?;
    Ok(made)
}
