//! A link to the engine that a cancel does not end: a way back is gone to its end.

use std::time::Duration;

use jiff::Timestamp;

use crate::progress::Later;
use crate::{Milestone, Progress, Stop};

/// How often it is looked whether the engine ends, once a cancel has come.
const LOOK: Duration = Duration::from_secs(1);

/// The engine's link, ended by [`Stop::EngineEnds`] only.
pub(crate) struct Steady<'a>(pub(crate) &'a dyn Progress);

impl Progress for Steady<'_> {
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
        Box::pin(async {
            loop {
                match self.0.stopped().await {
                    Stop::EngineEnds => return Stop::EngineEnds,
                    Stop::Cancelled(_) => self.0.sleep(LOOK).await,
                }
            }
        })
    }

    fn now(&self) -> Timestamp {
        self.0.now()
    }

    fn sleep(&self, duration: Duration) -> Later<'_, ()> {
        self.0.sleep(duration)
    }
}
