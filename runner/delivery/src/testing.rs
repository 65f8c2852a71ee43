//! What unit tests share: where a step delivers to, and a link to an engine.

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use jiff::Timestamp;

use crate::progress::Later;
use crate::{Milestone, Progress, Site, Stop, Target};

/// The first step of the job that deploys `shop` 1.2.3 to production.
pub(crate) fn site() -> Site {
    Site {
        environment: "production".to_owned(),
        protected: false,
        target: Target { context: "test".to_owned(), namespace: "prod".to_owned() },
        kubeconfig: Vec::new(),
        repository: "shop".to_owned(),
        version: "1.2.3".to_owned(),
        commit: "0".repeat(40),
        run: 1,
        identity: String::new(),
        job: "deploy".to_owned(),
        attempt: 1,
        step: 0,
        tree: PathBuf::new(),
        built: Vec::new(),
    }
}

/// A link to an engine whose time passes as soon as somebody waits for it.
pub(crate) struct Link {
    now: Mutex<Timestamp>,
    lines: Mutex<Vec<String>>,
    milestones: Mutex<Vec<Milestone>>,
    stop: tokio::sync::watch::Sender<Option<Stop>>,
}

impl Default for Link {
    fn default() -> Self {
        Self::knowing(Vec::new())
    }
}

impl Link {
    /// To an engine that takes over: it knows what was recorded.
    pub(crate) fn knowing(milestones: Vec<Milestone>) -> Self {
        let (now, lines) = (Mutex::new(Timestamp::UNIX_EPOCH), Mutex::default());
        Self { now, lines, milestones: Mutex::new(milestones), stop: tokio::sync::watch::Sender::new(None) }
    }

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
        self.milestones.lock().unwrap().clone()
    }

    fn record(&self, milestone: Milestone) -> Later<'_, Result<(), Stop>> {
        self.milestones.lock().unwrap().push(milestone);
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
