//! When a job or step must end: the engine's cancel and kill, the limits of step and job, a disk that is full.
//! Time is the monotonic clock's; the agent keeps it itself, with or without an engine.

use std::time::{Duration, Instant};

use crate::control::Control;

/// What is left for steps with `always()` or `cancelled()` once a job is cancelled.
const GRACE: Duration = Duration::from_mins(5);

/// Why a running step is made to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stop {
    /// The job is cancelled, or its time is up.
    Cancel,
    /// The job must end now.
    Kill,
    /// The step's own time is up.
    StepTime,
    /// The log cannot be written.
    Disk(String),
}

/// Watches over one job.
#[derive(Debug)]
pub(super) struct Watch {
    control: Control,
    deadline: Instant,
    limit: Duration,
    cancelled: Option<Cancelled>,
}

#[derive(Debug)]
struct Cancelled {
    reason: String,
    /// When even the last steps must have ended.
    deadline: Instant,
    timed_out: bool,
}

impl Watch {
    /// A job may take `limit` from now on.
    pub(super) fn start(control: Control, limit: Duration) -> Self {
        let deadline = Instant::now().checked_add(limit);
        // A limit beyond what the clock can count is none.
        let deadline = deadline.unwrap_or_else(|| Instant::now() + Duration::from_secs(u32::MAX.into()));
        Self { control, deadline, limit, cancelled: None }
    }

    /// Looks at what has happened; true when the job has just been cancelled.
    pub(super) fn look(&mut self) -> bool {
        if self.cancelled.is_some() {
            return false;
        }
        let (reason, timed_out) = match self.control.cancelled() {
            Some(reason) => (reason, false),
            None if Instant::now() >= self.deadline => {
                let reason = format!("the job ran longer than its limit of {}", minutes(self.limit));
                (reason, true)
            }
            None => return false,
        };
        self.cancelled = Some(Cancelled { reason, deadline: Instant::now() + GRACE, timed_out });
        true
    }

    /// Whether the job must end now: the engine says so, or the time for the last steps is up.
    pub(super) fn is_over(&self) -> bool {
        let grace = self.cancelled.as_ref().map(|cancelled| cancelled.deadline);
        self.control.killed() || grace.is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// Whether the job must end at once, because the engine says so.
    pub(super) fn is_killed(&self) -> bool {
        self.control.killed()
    }

    /// Gives the last steps their time again, after a step that had to come to an orderly end first.
    pub(super) fn renew(&mut self) {
        if let Some(cancelled) = &mut self.cancelled {
            cancelled.deadline = Instant::now() + GRACE;
        }
    }

    /// Whether the job is cancelled.
    pub(super) fn is_cancelled(&self) -> bool {
        self.cancelled.is_some() || self.control.killed()
    }

    /// Why the job was cancelled.
    pub(super) fn reason(&self) -> &str {
        self.cancelled.as_ref().map_or("killed", |cancelled| &cancelled.reason)
    }

    /// Whether the job's time was up.
    pub(super) fn timed_out(&self) -> bool {
        self.cancelled.as_ref().is_some_and(|cancelled| cancelled.timed_out)
    }

    /// The next moment at which something happens by itself.
    pub(super) fn next(&self) -> Instant {
        self.cancelled.as_ref().map_or(self.deadline, |cancelled| cancelled.deadline)
    }
}

/// A limit as people say it.
pub(super) fn minutes(limit: Duration) -> String {
    let seconds = limit.as_secs_f64();
    if seconds < 60.0 {
        return format!("{seconds} s");
    }
    let minutes = seconds / 60.0;
    format!("{} min", (minutes * 10.0).round() / 10.0)
}
