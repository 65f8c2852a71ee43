//! Timers of runs. The deadlines stand in the journal; a timer here only wakes the dispatcher to look at one.
//!
//! A deadline is a time of day, so a sleeper looks at the clock again at least once a minute: a clock that jumps forward
//! is noticed soon, one that jumps back makes it wait longer here but never in the run's own reckoning.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use tagline_run::{Input, RunId, TimerId};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::clock;
use crate::engine::Message;

/// What a timer waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    At(Timestamp),
    After(Duration),
}

/// The timers that are set.
pub(crate) struct Timers {
    messages: mpsc::UnboundedSender<Message>,
    set: BTreeMap<(RunId, TimerId), (Due, AbortHandle)>,
}

impl Timers {
    pub(crate) fn new(messages: mpsc::UnboundedSender<Message>) -> Self {
        Self { messages, set: BTreeMap::new() }
    }

    /// Wakes the run at a time of day; setting the same again changes nothing.
    pub(crate) fn at(&mut self, handle: &Handle, run: RunId, timer: &TimerId, at: Timestamp) {
        self.set(handle, run, timer, Due::At(at));
    }

    /// Lets the run look at a held timer once more, after so long by the clock that cannot jump.
    pub(crate) fn after(&mut self, handle: &Handle, run: RunId, timer: &TimerId, after: Duration) {
        self.set(handle, run, timer, Due::After(after));
    }

    /// Drops the timers of a run that are not among those it wants.
    pub(crate) fn keep(&mut self, run: RunId, wanted: &[TimerId]) {
        self.set.retain(|(of, timer), (_, task)| {
            let keep = *of != run || wanted.contains(timer);
            if !keep {
                task.abort();
            }
            keep
        });
    }

    fn set(&mut self, handle: &Handle, run: RunId, timer: &TimerId, due: Due) {
        let id = (run, timer.clone());
        if let Some((set, task)) = self.set.get(&id) {
            if *set == due && !task.is_finished() {
                return;
            }
            task.abort();
        }
        let messages = self.messages.clone();
        let input = match due {
            Due::At(_) => Input::TimerFired(timer.clone()),
            Due::After(_) => Input::TimerChecked(timer.clone()),
        };
        let task = handle.spawn(async move {
            wait(due).await;
            let _ = messages.send(Message::Tell { run, input, reply: None });
        });
        self.set.insert(id, (due, task.abort_handle()));
    }
}

async fn wait(due: Due) {
    match due {
        Due::After(duration) => tokio::time::sleep(duration).await,
        Due::At(at) => clock::until(at).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_timer_fires_once_and_a_dropped_one_never() {
        let (sender, mut inbox) = mpsc::unbounded_channel();
        let mut timers = Timers::new(sender);
        let handle = Handle::current();
        timers.after(&handle, RunId(1), &TimerId::Run, Duration::from_secs(5));
        timers.after(&handle, RunId(2), &TimerId::Run, Duration::from_secs(1));
        timers.keep(RunId(2), &[]);
        let Some(Message::Tell { run, input, .. }) = inbox.recv().await else { panic!("a message is due") };
        assert_eq!((run, input), (RunId(1), Input::TimerChecked(TimerId::Run)), "a held timer is checked");
        timers.at(&handle, RunId(1), &TimerId::Run, Timestamp::now());
        let Some(Message::Tell { run, input, .. }) = inbox.recv().await else { panic!("a message is due") };
        assert_eq!((run, input), (RunId(1), Input::TimerFired(TimerId::Run)), "a deadline fires");
        drop(timers);
        assert!(inbox.recv().await.is_none());
    }
}
