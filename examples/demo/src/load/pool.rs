//! Threads for requests under way: as many as are needed at once, kept for the next.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::ask::{Client, Request};

/// Threads at once; with more requests under way the next ones wait, which their times show.
const LIMIT: usize = 4000;
/// A request needs little.
const STACK: usize = 128 * 1024;

/// The threads.
pub(super) struct Pool {
    client: Arc<Client>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    ended: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Request>,
    idle: usize,
    threads: usize,
    closed: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pool {
    /// A pool without threads yet.
    pub(super) fn new(client: Arc<Client>) -> Self {
        Self { client, shared: Arc::default() }
    }

    /// Hands over one request and returns at once.
    pub(super) fn submit(&self, request: Request) {
        let mut state = self.shared.state();
        state.queue.push_back(request);
        if state.queue.len() > state.idle && state.threads < LIMIT {
            let (shared, client) = (Arc::clone(&self.shared), Arc::clone(&self.client));
            let started = thread::Builder::new().stack_size(STACK).spawn(move || work(&shared, &client));
            // Without a thread for it the request waits for one that is there.
            state.threads += usize::from(started.is_ok());
        }
        drop(state);
        self.shared.changed.notify_one();
    }

    /// Waits for all requests to end.
    pub(super) fn finish(self) {
        let mut state = self.shared.state();
        state.closed = true;
        self.shared.changed.notify_all();
        drop(self.shared.ended.wait_while(state, |state| state.threads > 0));
    }
}

fn work(shared: &Shared, client: &Client) {
    let mut state = shared.state();
    loop {
        if let Some(request) = state.queue.pop_front() {
            drop(state);
            client.ask(&request);
            state = shared.state();
        } else if state.closed {
            state.threads -= 1;
            shared.ended.notify_all();
            return;
        } else {
            state.idle += 1;
            state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        }
    }
}
