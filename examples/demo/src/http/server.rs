//! A server: one thread a connection, a bounded number of them, and an end in three steps.
//!
//! [`Stopper::drain`] lets everything go on, but every answer now ends its connection; [`Stopper::close`] ends the
//! connections on which nobody asked and the listener, without losing a request that has arrived: shut for reading, a
//! socket still yields the bytes received before. [`Server::run`] returns when the running requests have ended.

use std::collections::HashMap;
use std::io::{self, Read};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::message::{Broken, Buffer, Request, Response};

/// Connections at once; the next is told 503.
const CONNECTION_LIMIT: usize = 2048;
/// How long a peer may be silent in a request, or not take what it is sent.
const SILENCE: Duration = Duration::from_secs(30);
/// How long a connection may be kept without a request.
const IDLE: Duration = Duration::from_mins(2);
/// How long running requests have to end after the close.
const GRACE: Duration = Duration::from_mins(2);
/// How long the peer's end is waited for after the last answer; closed at once, the peer might lose that answer.
const LINGER: Duration = Duration::from_secs(1);
/// Handlers use little; thousands of connections must fit a small container.
const STACK: usize = 256 * 1024;

/// Answers requests, on many threads at once.
pub(crate) type Handler = dyn Fn(&Request) -> Response + Send + Sync;

/// A bound socket that does not accept yet.
pub(crate) struct Server {
    listener: TcpListener,
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// Ends a server from another thread.
#[derive(Clone)]
pub(crate) struct Stopper {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    /// One header line that every response carries.
    extra: String,
    /// A connection older than this ends with its next answer.
    age: Duration,
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Phase {
    #[default]
    Serving,
    Draining,
    Closed,
}

#[derive(Default)]
struct State {
    phase: Phase,
    open: usize,
    next: u64,
    /// Connections between two requests.
    waiting: HashMap<u64, TcpStream>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Server {
    /// Binds; port 0 takes a free one. `extra` is a header line without its end, `age` how old a connection may get.
    pub(crate) fn bind(address: SocketAddr, extra: String, age: Duration) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let shared = Shared { extra, age, state: Mutex::default(), ended: Condvar::new() };
        Ok(Self { listener, address, shared: Arc::new(shared) })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// A handle that ends it.
    pub(crate) fn stopper(&self) -> Stopper {
        Stopper { address: self.address, shared: Arc::clone(&self.shared) }
    }

    /// Serves until closed; returns when running requests have ended, two minutes later at the latest.
    pub(crate) fn run(self, handler: &Arc<Handler>) {
        while self.shared.state().phase != Phase::Closed {
            match self.listener.accept() {
                Ok((stream, _)) => self.start(stream, handler),
                // Out of descriptors, or the peer has gone: neither ends a server, and the former passes.
                Err(_) => thread::sleep(Duration::from_millis(10)),
            }
        }
        if self.listener.set_nonblocking(true).is_ok() {
            while let Ok((stream, _)) = self.listener.accept() {
                self.start(stream, handler);
            }
        }
        let state = self.shared.state();
        drop(self.shared.ended.wait_timeout_while(state, GRACE, |state| state.open > 0));
    }

    fn start(&self, stream: TcpStream, handler: &Arc<Handler>) {
        let ready = stream.set_nonblocking(false).and_then(|()| stream.set_nodelay(true));
        if ready.and_then(|()| stream.set_write_timeout(Some(SILENCE))).is_err() {
            return;
        }
        let Some(place) = Place::take(&self.shared) else {
            // The peer may have gone; there is nobody else to tell.
            drop(Response::text(503, "too many connections\n").write(&mut &stream, &self.shared.extra, false, true));
            return;
        };
        let handler = Arc::clone(handler);
        // A connection that breaks ends alone; both sides know. So does one for which there is no thread.
        let thread = thread::Builder::new().name("connection".into()).stack_size(STACK);
        drop(thread.spawn(move || drop(place.serve(&stream, handler.as_ref()))));
    }
}

impl Stopper {
    /// From now on every answer is the last of its connection.
    pub(crate) fn drain(&self) {
        self.shared.state().phase = Phase::Draining;
    }

    /// Ends idle connections and the listener, and returns at once.
    pub(crate) fn close(&self) {
        let mut state = self.shared.state();
        state.phase = Phase::Closed;
        for stream in state.waiting.values() {
            // Already closed is as good.
            drop(stream.shutdown(Shutdown::Read));
        }
        drop(state);
        // Wakes `accept`; where that fails, the listener has gone already.
        drop(TcpStream::connect_timeout(&self.address, Duration::from_secs(1)));
    }

    /// Connections open now.
    pub(crate) fn connections(&self) -> usize {
        self.shared.state().open
    }
}

/// One of the places for a connection, given back when dropped.
struct Place {
    id: u64,
    shared: Arc<Shared>,
}

impl Place {
    fn take(shared: &Arc<Shared>) -> Option<Self> {
        let mut state = shared.state();
        if state.open == CONNECTION_LIMIT {
            return None;
        }
        state.open += 1;
        state.next += 1;
        Some(Self { id: state.next, shared: Arc::clone(shared) })
    }

    fn serve(self, mut stream: &TcpStream, handler: &Handler) -> io::Result<()> {
        let (opened, extra, mut buffer) = (Instant::now(), self.shared.extra.as_str(), Buffer::default());
        while !buffer.is_empty() || self.wait(stream)? {
            stream.set_read_timeout(Some(SILENCE))?;
            let request = match buffer.request(&mut stream) {
                Ok(request) => request,
                Err(Broken::Malformed(reason)) => {
                    Response::text(400, format!("{reason}\n")).write(&mut stream, extra, false, true)?;
                    return linger(stream);
                }
                Err(_) => return Ok(()),
            };
            let response = handler(&request);
            let old = opened.elapsed() >= self.shared.age;
            let close = old || request.headers.closes() || self.shared.state().phase != Phase::Serving;
            response.write(&mut stream, extra, request.method == "HEAD", close)?;
            if close {
                return linger(stream);
            }
        }
        Ok(())
    }

    /// Waits for the next request's first byte; false when the peer, or a close, ended the connection.
    fn wait(&self, stream: &TcpStream) -> io::Result<bool> {
        stream.set_read_timeout(Some(IDLE))?;
        let mut state = self.shared.state();
        if state.phase == Phase::Closed {
            stream.shutdown(Shutdown::Read)?;
        } else {
            state.waiting.insert(self.id, stream.try_clone()?);
        }
        drop(state);
        let arrived = stream.peek(&mut [0]).map(|count| count > 0);
        self.shared.state().waiting.remove(&self.id);
        arrived
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.waiting.remove(&self.id);
        state.open -= 1;
        self.shared.ended.notify_all();
    }
}

/// Ends a connection after its last answer.
fn linger(stream: &TcpStream) -> io::Result<()> {
    stream.shutdown(Shutdown::Write)?;
    stream.set_read_timeout(Some(LINGER))?;
    io::copy(&mut stream.take(64 * 1024), &mut io::sink())?;
    Ok(())
}
