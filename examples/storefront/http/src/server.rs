//! A server: one thread a connection, a bounded number of them, and an orderly end.
//!
//! A stop loses no request that has arrived: waiting connections are closed for reading, which still yields
//! the bytes received before; running requests are answered; connections in the backlog are served.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::message::{Head, Request, Response};

/// Connections at once; the next is told 503.
const CONNECTION_LIMIT: usize = 128;
/// How long a peer may be silent, or not take what it is sent.
const IDLE: Duration = Duration::from_secs(30);
/// How long running requests have to end after a stop.
const GRACE: Duration = Duration::from_secs(10);
/// How long the rest of a body is waited for where the connection closes anyway.
const LINGER: Duration = Duration::from_secs(1);
/// Unread bytes of a body that are skipped to keep the connection; with more it is closed.
const SKIP_LIMIT: u64 = 1024 * 1024;

/// Answers requests, on many threads at once.
pub trait Handler: Send + Sync + 'static {
    /// The answer to one request. What is left unread of its body is skipped.
    fn handle(&self, request: &mut Request<'_>) -> Response;
}

impl<F: Fn(&mut Request<'_>) -> Response + Send + Sync + 'static> Handler for F {
    fn handle(&self, request: &mut Request<'_>) -> Response {
        self(request)
    }
}

/// A bound socket that does not accept yet.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// Ends a server from another thread.
#[derive(Clone)]
pub struct Stopper {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Default)]
struct State {
    stopping: bool,
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
    /// Binds; port 0 takes a free one.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address, shared: Arc::default() })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A handle that ends it.
    pub fn stopper(&self) -> Stopper {
        Stopper { address: self.address, shared: Arc::clone(&self.shared) }
    }

    /// Serves until stopped; returns when running requests have ended, 10 s later at the latest.
    pub fn run(self, handler: &Arc<impl Handler>) {
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => self.start(stream, handler),
                // Out of descriptors, or the peer has gone: neither ends a server, and the former passes.
                Err(_) => thread::sleep(Duration::from_millis(10)),
            }
            if self.shared.state().stopping {
                break;
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

    fn start(&self, stream: TcpStream, handler: &Arc<impl Handler>) {
        let ready = stream.set_nonblocking(false).and_then(|()| stream.set_nodelay(true));
        let timed = ready
            .and_then(|()| stream.set_read_timeout(Some(IDLE)))
            .and_then(|()| stream.set_write_timeout(Some(IDLE)));
        if timed.is_err() {
            return;
        }
        let Some(place) = Place::take(&self.shared) else {
            let busy = Response::json(503, r#"{"error":"128 connections are open; try again"}"#);
            // The peer may have gone; there is nobody else to tell.
            drop(busy.header("retry-after", "1").write(&mut &stream, false, true));
            return;
        };
        let handler = Arc::clone(handler);
        // A connection that breaks ends alone; both sides know.
        thread::spawn(move || drop(place.serve(&stream, handler.as_ref())));
    }
}

impl Stopper {
    /// Asks for the end and returns at once.
    pub fn stop(&self) {
        let mut state = self.shared.state();
        state.stopping = true;
        for stream in state.waiting.values() {
            // Already closed is as good.
            drop(stream.shutdown(Shutdown::Read));
        }
        drop(state);
        // Wakes `accept`; where that fails, the listener has gone already.
        drop(TcpStream::connect_timeout(&self.address, Duration::from_secs(1)));
    }

    /// Whether the end was asked for.
    pub fn stopping(&self) -> bool {
        self.shared.state().stopping
    }
}

/// One of the places for a connection, given back when dropped, after a panic too.
struct Place {
    id: u64,
    shared: Arc<Shared>,
}

impl Place {
    fn take(shared: &Arc<Shared>) -> Option<Self> {
        let mut state = shared.state();
        if state.open >= CONNECTION_LIMIT {
            return None;
        }
        state.open += 1;
        state.next += 1;
        Some(Self { id: state.next, shared: Arc::clone(shared) })
    }

    fn serve(&self, stream: &TcpStream, handler: &impl Handler) -> io::Result<()> {
        let mut reader = BufReader::new(stream);
        let mut writer = stream;
        while self.wait(stream, &mut reader)? {
            let Some(head) = Head::read(&mut reader)? else {
                break;
            };
            let mut body: &mut dyn io::Read = &mut reader;
            let mut request = match head.and_then(|head| Request::new(head, &mut body)) {
                Ok(request) => request,
                Err(malformed) => {
                    let text = format!(r#"{{"error":"{malformed}"}}"#);
                    Response::json(malformed.status, text).write(&mut writer, false, true)?;
                    break;
                }
            };
            if request.headers.get("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
                writer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
            }
            let response = handler.handle(&mut request);
            let bodiless = request.method == "HEAD";
            let closes = request.headers.closes() || self.shared.state().stopping;
            let close = closes || request.remaining() > SKIP_LIMIT;
            let again = response.write(&mut writer, bodiless, close)?;
            if !again {
                // What is left unread is read for a moment: closed at once, the peer might lose its answer.
                stream.shutdown(Shutdown::Write)?;
                stream.set_read_timeout(Some(LINGER))?;
            }
            io::copy(&mut io::Read::take(&mut request.body, SKIP_LIMIT), &mut io::sink())?;
            if !again {
                break;
            }
        }
        Ok(())
    }

    /// Waits for the next request's first byte; false when the peer, or a stop, ended the connection.
    fn wait(&self, stream: &TcpStream, reader: &mut impl BufRead) -> io::Result<bool> {
        let mut state = self.shared.state();
        if state.stopping {
            stream.shutdown(Shutdown::Read)?;
        } else {
            state.waiting.insert(self.id, stream.try_clone()?);
        }
        drop(state);
        let arrived = reader.fill_buf().map(|bytes| !bytes.is_empty());
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
