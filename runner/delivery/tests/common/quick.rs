//! A link to an engine whose time passes as soon as somebody waits for it.

use std::ops::Deref;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tagline_delivery::progress::Later;
use tagline_delivery::{Milestone, Progress, Stop};

use super::Link;

/// The first time that it tells.
pub(crate) const START: Timestamp = Timestamp::constant(1_000_000_000, 0);

/// The link; what is said and recorded is that of the one inside.
pub(crate) struct Quick(Arc<Link>, Mutex<Timestamp>);

impl Quick {
    /// To an engine that takes over: it knows what was recorded.
    pub(crate) fn knowing(milestones: Vec<Milestone>) -> Self {
        let link = Link::new();
        *link.milestones.lock().expect("no test panics with it") = milestones;
        Self(link, Mutex::new(START))
    }

    /// To the first engine.
    pub(crate) fn new() -> Self {
        Self::knowing(Vec::new())
    }
}

impl Deref for Quick {
    type Target = Link;

    fn deref(&self) -> &Link {
        &self.0
    }
}

impl Progress for Quick {
    fn say(&self, line: String) {
        self.0.say(line);
    }

    fn warn(&self, line: String) {
        self.0.warn(line);
    }

    fn milestones(&self) -> Vec<Milestone> {
        self.0.milestones()
    }

    fn record(&self, milestone: Milestone) -> Later<'_, Result<(), Stop>> {
        self.0.record(milestone)
    }

    fn keep(&self, name: String, bytes: Vec<u8>) -> Later<'_, Result<(), Stop>> {
        self.0.keep(name, bytes)
    }

    fn stopped(&self) -> Later<'_, Stop> {
        self.0.stopped()
    }

    fn now(&self) -> Timestamp {
        *self.1.lock().expect("no test panics with it")
    }

    fn sleep(&self, duration: Duration) -> Later<'_, ()> {
        let mut now = self.1.lock().expect("no test panics with it");
        *now = now.checked_add(duration).expect("a time");
        assert!(*now < START + SignedDuration::from_hours(1), "the watch has no end");
        Box::pin(async {})
    }
}
