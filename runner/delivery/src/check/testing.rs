//! What the tests of checks share.

use std::sync::Mutex;
use std::time::Duration;

use indexmap::IndexMap;
use jiff::Timestamp;

use crate::inputs::{Action, AnalyseInputs, MeasureKnobs};
use crate::progress::Later;
use crate::{Milestone, Progress, Stop};

/// The inputs of an analysis, from `key: value` lines.
pub(crate) fn analyse(lines: &[&str]) -> AnalyseInputs {
    let pairs = lines.iter().filter_map(|line| line.split_once(": "));
    let mut with: IndexMap<String, String> =
        pairs.map(|(key, value)| (key.to_owned(), value.replace("; ", "\n"))).collect();
    with.entry("checks".to_owned()).or_insert_with(|| "error-rate < 1%".to_owned());
    match Action::read("tagline/analyse@v1", &with) {
        Ok(Action::Analyse(inputs)) => *inputs,
        other => panic!("{other:?}"),
    }
}

/// How signals are measured.
pub(crate) fn knobs(lines: &[&str]) -> MeasureKnobs {
    analyse(lines).measure
}

/// A link to an engine whose time passes as soon as somebody waits for it.
pub(crate) struct Link {
    now: Mutex<Timestamp>,
    lines: Mutex<Vec<String>>,
    stop: tokio::sync::watch::Sender<Option<Stop>>,
}

impl Default for Link {
    fn default() -> Self {
        let (now, lines) = (Mutex::new(Timestamp::UNIX_EPOCH), Mutex::default());
        Self { now, lines, stop: tokio::sync::watch::Sender::new(None) }
    }
}

impl Link {
    /// What was said so far.
    pub(crate) fn said(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// Tells the action to end.
    pub(crate) fn end(&self, stop: Stop) {
        self.stop.send_replace(Some(stop));
    }
}

impl Progress for Link {
    fn say(&self, line: String) {
        self.lines.lock().unwrap().push(line);
    }

    fn warn(&self, line: String) {
        self.say(format!("warning: {line}"));
    }

    fn milestones(&self) -> Vec<Milestone> {
        Vec::new()
    }

    fn record(&self, _: Milestone) -> Later<'_, Result<(), Stop>> {
        Box::pin(async { Ok(()) })
    }

    fn keep(&self, _: String, _: Vec<u8>) -> Later<'_, Result<(), Stop>> {
        Box::pin(async { Ok(()) })
    }

    fn stopped(&self) -> Later<'_, Stop> {
        let mut stop = self.stop.subscribe();
        Box::pin(async move {
            match stop.wait_for(Option::is_some).await.ok().and_then(|told| told.clone()) {
                Some(stop) => stop,
                None => std::future::pending().await,
            }
        })
    }

    fn now(&self) -> Timestamp {
        *self.now.lock().unwrap()
    }

    fn sleep(&self, duration: Duration) -> Later<'_, ()> {
        let mut now = self.now.lock().unwrap();
        *now = now.checked_add(duration).unwrap();
        Box::pin(async {})
    }
}
