//! The stable public port: every request goes to the live version, over a connection of its own.
//!
//! Which version answers is decided anew for each request, so a client that keeps its connection open is
//! not left on the old one; and a request counts as running until its answer has been passed on whole.

use std::io::{self, Read};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use storefront_http::{Connection, Handler, Headers, Payload, Request, Response};

use crate::route::{Pass, Route};

/// How long a request waits for a live version: the time a crashed one needs to come back.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a version may be silent.
const SILENCE: Duration = Duration::from_secs(30);
/// Headers that are about one connection and are not passed on; lengths are written anew.
const OF_CONNECTION: [&str; 9] = [
    "connection",
    "content-length",
    "expect",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "upgrade",
];

/// Handler of one environment's public port.
pub(crate) struct Proxy(pub(crate) Arc<Route>);

impl Handler for Proxy {
    fn handle(&self, request: &mut Request<'_>) -> Response {
        let Some((pass, connection)) = self.connect() else {
            return problem(503, "no version is live here").header("retry-after", "1");
        };
        match forward(connection, request, pass) {
            Ok(response) => response,
            Err(error) => problem(502, &format!("the live version did not answer: {error}")),
        }
    }
}

impl Proxy {
    /// Connects to the live version, whichever it is by then. Nothing has been sent, so trying again is safe.
    fn connect(&self) -> Option<(Pass, Connection)> {
        let begin = Instant::now();
        loop {
            let pass = self.0.enter()?;
            if let Ok(connection) = Connection::open(pass.address(), SILENCE) {
                return Some((pass, connection));
            }
            drop(pass);
            if begin.elapsed() > PATIENCE {
                return None;
            }
            thread::sleep(Duration::from_millis(50));
        }
    }
}

fn forward(connection: Connection, request: &mut Request<'_>, pass: Pass) -> io::Result<Response> {
    let target = match &request.query {
        Some(query) => format!("{}?{query}", request.path),
        None => request.path.clone(),
    };
    let headers = passed_on(&request.headers);
    let length = request.remaining();
    let answer = connection.exchange(&request.method, &target, &headers, &mut request.body, length)?;
    let body = Passing { body: answer.body, _pass: pass };
    Ok(Response {
        status: answer.status,
        headers: passed_on(&answer.headers),
        payload: Payload::Stream(Box::new(body), answer.length),
    })
}

fn passed_on(headers: &Headers) -> Headers {
    let mut passed = Headers::default();
    for (name, value) in headers.iter().filter(|(name, _)| !OF_CONNECTION.contains(name)) {
        passed.push(name, value);
    }
    passed
}

/// A body that keeps its request running until it is sent.
struct Passing {
    body: Box<dyn Read + Send>,
    _pass: Pass,
}

impl Read for Passing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.body.read(buffer)
    }
}

fn problem(status: u16, error: &str) -> Response {
    Response::json(status, json!({"error": error}))
}
