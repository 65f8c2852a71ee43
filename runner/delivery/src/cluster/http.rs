//! One request and its answer: no waiting, no repeating, no meaning.

use std::time::Duration;

use futures_util::TryStreamExt;
use http::{HeaderMap, Method, Request};
use http_body_util::BodyExt;
use kube::client::Body;

/// How long an ordinary answer may take before the server counts as out of reach.
pub(crate) const ANSWER: Duration = Duration::from_secs(20);
/// The longest ordinary answer, bytes.
pub(crate) const LIMIT: usize = 64 << 20;

/// Whether a request may be sent again when it is not known if it was carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Twice is as good as once.
    Harmless,
    /// Only where it surely never reached the server.
    Unsent,
}

/// A request to the API server.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) repeat: Repeat,
    /// For the whole answer; of a stream, for its head.
    pub(crate) timeout: Duration,
    /// The longest answer, bytes; what is past it is cut off.
    pub(crate) limit: usize,
    /// The body of a success is left to be read by the caller.
    pub(crate) stream: bool,
    /// A pod or Service behind the server answers it.
    pub(crate) proxied: bool,
}

impl Call {
    /// A read.
    pub(crate) fn get(path: String) -> Self {
        Self {
            method: Method::GET,
            path,
            headers: vec![("accept".to_owned(), "application/json".to_owned())],
            body: Vec::new(),
            repeat: Repeat::Harmless,
            timeout: ANSWER,
            limit: LIMIT,
            stream: false,
            proxied: false,
        }
    }

    /// A write with a JSON body.
    pub(crate) fn send(method: Method, path: String, kind: &str, body: &serde_json::Value, repeat: Repeat) -> Self {
        let mut call = Self { method, repeat, body: body.to_string().into_bytes(), ..Self::get(path) };
        call.headers.push(("content-type".to_owned(), kind.to_owned()));
        call
    }
}

/// An answer, whatever its status.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    /// The body was longer than the call's limit.
    pub(crate) cut: bool,
    /// The unread body of a stream.
    pub(crate) rest: Option<Body>,
    /// An earlier sending of this request may have been carried out: its answer was lost.
    pub(crate) lost: bool,
}

impl Answer {
    pub(crate) fn ok(&self) -> bool {
        (200..300).contains(&self.status)
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The server could not be reached or its answer broke off. `sent`: it may have been carried out.
    Away { sent: bool, why: String },
    /// The answer took longer than the call's timeout.
    Late(String),
    /// The credentials could not be made ready (a plugin failed, a token file is missing).
    Credentials(String),
    /// The server's certificate is not accepted.
    Untrusted(String),
    /// The request cannot be made.
    Malformed(String),
}

/// Sends a request once.
pub(crate) async fn once(client: &kube::Client, call: &Call) -> Result<Answer, Trouble> {
    let mut request = Request::builder().method(call.method.clone()).uri(&call.path);
    for (name, value) in &call.headers {
        request = request.header(name, value);
    }
    let request = request.body(Body::from(call.body.clone())).map_err(|error| Trouble::Malformed(error.to_string()))?;
    let answer = tokio::time::timeout(call.timeout, exchange(client, request, call)).await;
    answer.unwrap_or_else(|_| Err(Trouble::Late(format!("no answer within {}", super::short(call.timeout)))))
}

async fn exchange(client: &kube::Client, request: Request<Body>, call: &Call) -> Result<Answer, Trouble> {
    let response = client.send(request).await.map_err(|error| trouble(&error))?;
    let (head, body) = response.into_parts();
    let mut answer = Answer {
        status: head.status.as_u16(),
        headers: head.headers,
        body: Vec::new(),
        cut: false,
        rest: None,
        lost: false,
    };
    if call.stream && answer.ok() {
        answer.rest = Some(body);
        return Ok(answer);
    }
    let mut chunks = body.into_data_stream();
    let broken = |error: kube::Error| Trouble::Away { sent: true, why: causes(&error) };
    while let Some(chunk) = chunks.try_next().await.map_err(broken)? {
        answer.body.extend_from_slice(&chunk);
        if answer.body.len() > call.limit {
            answer.body.truncate(call.limit);
            answer.cut = true;
            break;
        }
    }
    Ok(answer)
}

/// What went wrong before an answer came. The causes of a connection are known only as a chain of errors.
pub(crate) fn trouble(error: &kube::Error) -> Trouble {
    if let Some(error) = cause::<kube::client::AuthError>(error) {
        return Trouble::Credentials(plugin(error));
    }
    let why = causes(error);
    if why.contains("certificate") {
        return Trouble::Untrusted(why);
    }
    let unsent = ["tcp connect error", "dns error", "Connection refused", "tls handshake"];
    Trouble::Away { sent: !unsent.iter().any(|text| why.contains(text)), why: plain(&why) }
}

fn cause<'a, E: std::error::Error + 'static>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// Why credentials are not ready. Of a plugin neither standard output (a credential) nor its arguments and environment
/// are told.
pub(crate) fn plugin(error: &kube::client::AuthError) -> String {
    let kube::client::AuthError::AuthExecRun { out, .. } = error else { return causes(error) };
    let said = String::from_utf8_lossy(&out.stderr);
    let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    let last: String = last.chars().take(300).collect();
    format!("the credential plugin failed ({}): {last}", out.status)
}

/// An error and its causes in one line, none of them twice.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}

/// The part of a connection error that people know: `Connection refused`.
fn plain(why: &str) -> String {
    let known = [
        ("Connection refused", "connection refused"),
        ("Connection reset", "connection reset"),
        ("No route to host", "no route to host"),
        ("Network is unreachable", "network is unreachable"),
        ("dns error", "its name cannot be resolved"),
        ("deadline has elapsed", "no connection in time"),
        ("connection closed before message completed", "connection closed"),
    ];
    let found = known.iter().find(|(text, _)| why.contains(text));
    found.map_or_else(|| why.to_owned(), |(_, short)| (*short).to_owned())
}

/// Percent-encodes all but unreserved characters (RFC 3986).
pub(crate) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            use std::fmt::Write as _;
            write!(out, "%{byte:02X}").expect("a String takes everything");
        }
    }
    out
}

/// `?a=b&c=d` of the pairs that have a value; empty where none has.
pub(crate) fn query(pairs: &[(&str, Option<String>)]) -> String {
    let pairs = pairs.iter().filter_map(|(key, value)| Some(format!("{key}={}", encode(value.as_deref()?))));
    let text = pairs.collect::<Vec<_>>().join("&");
    if text.is_empty() { text } else { format!("?{text}") }
}
