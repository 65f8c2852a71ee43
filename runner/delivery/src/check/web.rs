//! HTTP to an address, once and bounded: public smoke checks and Prometheus. No redirect is followed, no proxy is used.

use std::error::Error;
use std::time::{Duration, Instant};

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, redirect};

use crate::cluster::{HttpAnswer, HttpCall};

/// A client; its connections are kept between requests.
#[derive(Debug, Clone)]
pub(crate) struct Web(reqwest::Client);

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(5);

impl Web {
    /// Connections are kept only where `keep` says so: a smoke check asks who is there for new connections.
    pub(crate) fn new(keep: bool) -> Result<Self, String> {
        // One TLS provider in the program, whoever comes first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT)
            .pool_max_idle_per_host(if keep { 4 } else { 0 })
            .user_agent(concat!("tagline/", env!("CARGO_PKG_VERSION")))
            .build();
        client.map(Self).map_err(|error| causes(&error))
    }

    /// Sends a request; `call.path` is put behind `address`.
    ///
    /// # Errors
    /// Why there is no answer: `connection refused`, `no answer within 5s`.
    pub(crate) async fn send(&self, address: &str, call: &HttpCall) -> Result<HttpAnswer, String> {
        let answer = tokio::time::timeout(call.timeout, self.exchange(address, call)).await;
        answer.unwrap_or_else(|_| Err(format!("no answer within {}", crate::cluster::short(call.timeout))))
    }

    async fn exchange(&self, address: &str, call: &HttpCall) -> Result<HttpAnswer, String> {
        let method = Method::from_bytes(call.method.as_bytes()).map_err(|error| error.to_string())?;
        let mut headers = HeaderMap::new();
        for (name, value) in &call.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|error| error.to_string())?;
            headers.append(name, HeaderValue::from_str(value).map_err(|error| error.to_string())?);
        }
        let start = Instant::now();
        let request = self.0.request(method, format!("{address}{}", call.path)).headers(headers);
        let request = if call.body.is_empty() { request } else { request.body(call.body.clone()) };
        let mut response = request.send().await.map_err(|error| plain(&causes(&error)))?;
        let headers = response.headers().iter();
        let headers = headers
            .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
        let (status, headers) = (response.status().as_u16(), headers.collect());
        let (mut body, mut cut) = (Vec::new(), false);
        while let Some(chunk) = response.chunk().await.map_err(|error| plain(&causes(&error)))? {
            body.extend_from_slice(&chunk);
            if body.len() > call.limit {
                body.truncate(call.limit);
                cut = true;
                break;
            }
        }
        Ok(HttpAnswer { status, headers, body, cut, took: start.elapsed() })
    }
}

/// An error and its causes in one line.
fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

/// What people know of it.
fn plain(why: &str) -> String {
    let known = [
        ("Connection refused", "connection refused"),
        ("Connection reset", "connection reset"),
        ("No route to host", "no route to host"),
        ("Network is unreachable", "network is unreachable"),
        ("dns error", "its name cannot be resolved"),
        ("operation timed out", "no connection in time"),
        ("IncompleteMessage", "the answer broke off"),
        ("connection closed before message completed", "the answer broke off"),
        ("end of file before message length reached", "the answer broke off"),
        ("error decoding response body", "the answer broke off"),
    ];
    let found = known.iter().find(|(text, _)| why.contains(text));
    found.map_or_else(|| why.to_owned(), |(_, short)| (*short).to_owned())
}
