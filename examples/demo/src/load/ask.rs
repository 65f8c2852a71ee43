//! One request of a load, from the connection to the record of its end.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::http::client::{Connection, Url};
use crate::http::message::Answer;

use super::report::{Outcome, Report};

/// A request as it is planned.
pub(super) struct Request {
    /// When it is to be sent; its time counts from here.
    pub(super) due: Instant,
    /// Whether the server is asked to take a second.
    pub(super) slow: bool,
    /// Whether it uses a kept connection, and keeps it.
    pub(super) kept: bool,
}

/// Sends requests on many threads and keeps the record.
pub(super) struct Client {
    url: Url,
    timeout: Duration,
    /// By slow, then kept.
    heads: [[String; 2]; 2],
    idle: Mutex<VecDeque<Connection>>,
    report: Mutex<Report>,
}

impl Client {
    /// `headers` are whole lines with their ends; every request has `timeout` from its sending to its last byte.
    pub(super) fn new(url: Url, timeout: Duration, headers: &str) -> Self {
        let heads = ["", "ms=1000"].map(|query| [true, false].map(|close| url.get(query, headers, close)));
        Self { url, timeout, heads, idle: Mutex::default(), report: Mutex::default() }
    }

    /// Sends one request and records what became of it.
    pub(super) fn ask(&self, request: &Request) {
        let outcome = match self.answer(request) {
            Ok(answer) => {
                let version = answer.headers.get("x-version").unwrap_or("none").to_owned();
                Outcome { version: Some(version), status: Some(answer.status), cause: cause(&answer) }
            }
            Err(cause) => Outcome { version: None, status: None, cause: Some(cause) },
        };
        let (took, plain) = (request.due.elapsed(), !request.slow);
        lock(&self.report).add(outcome, plain.then_some(took));
    }

    fn answer(&self, request: &Request) -> Result<Answer, String> {
        let deadline = Instant::now() + self.timeout;
        let mut connection = match request.kept.then(|| self.kept()).flatten() {
            Some(connection) => connection,
            None => Connection::open(self.url.address, deadline).map_err(|error| format!("connect: {error}"))?,
        };
        let head = &self.heads[usize::from(request.slow)][usize::from(request.kept)];
        let answer = connection.exchange(head, deadline).map_err(|error| error.to_string())?;
        if request.kept && !answer.last {
            lock(&self.idle).push_back(connection);
        }
        Ok(answer)
    }

    /// The connection that was not used for the longest time: each gets its turn, none goes stale.
    fn kept(&self) -> Option<Connection> {
        loop {
            let connection = lock(&self.idle).pop_front()?;
            if connection.usable() {
                return Some(connection);
            }
            lock(&self.report).ended_idle += 1;
        }
    }

    /// What was recorded up to now; the record begins anew.
    pub(super) fn report(&self) -> Report {
        std::mem::take(&mut *lock(&self.report))
    }
}

/// Why an answer is a failure: a status of 400 or above.
fn cause(answer: &Answer) -> Option<String> {
    (answer.status >= 400).then(|| {
        let text: String = String::from_utf8_lossy(&answer.body).trim().chars().take(80).collect();
        format!("status {}: {text}", answer.status)
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
