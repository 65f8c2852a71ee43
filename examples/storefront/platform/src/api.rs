//! The HTTP API.
//!
//! `PUT /artifacts/SHA256`; `GET /environments`, `GET /environments/E`; `POST /environments/E/deploy`
//! `{version, digest}`, `…/switch` `{version}`, `…/rollback` `{}`. Errors are `{"error": …}`.
//!
//! A web page in a browser on this machine can reach loopback too. So POST must be JSON, which a page cannot
//! send elsewhere unasked, and `Host` must be a loopback name, which a rebound domain is not.

use std::sync::Arc;

use serde_json::{Value, json};
use storefront_http::{Handler, Request, Response};

use crate::fault::Fault;
use crate::names;
use crate::platform::Platform;
use crate::record::Release;

/// Bytes of a call's body, at most.
const BODY_LIMIT: u64 = 16 * 1024;

/// Handler of the API's port.
pub(crate) struct Api {
    platform: Arc<Platform>,
    token: Option<String>,
}

impl Handler for Api {
    fn handle(&self, request: &mut Request<'_>) -> Response {
        match self.route(request) {
            Ok((status, answer)) => Response::json(status, answer),
            Err(Fault { status, message }) => Response::json(status, json!({"error": message})),
        }
    }
}

impl Api {
    pub(crate) fn new(platform: Arc<Platform>, token: Option<String>) -> Self {
        Self { platform, token }
    }

    fn route(&self, request: &mut Request<'_>) -> Result<(u16, Value), Fault> {
        self.admit(request)?;
        let (method, path) = (request.method.clone(), request.path.clone());
        let words: Vec<&str> = path.split('/').skip(1).collect();
        match (method.as_str(), words.as_slice()) {
            ("PUT", ["artifacts", digest]) => {
                let digest = names::digest(digest)?;
                let length = request.remaining();
                let new = self.platform.artifacts.put(digest, &mut request.body, length)?;
                Ok((if new { 201 } else { 200 }, json!({"digest": format!("sha256:{digest}"), "changed": new})))
            }
            ("GET", ["environments"]) => {
                let all: Vec<Value> = self.platform.all().iter().map(|environment| environment.status()).collect();
                Ok((200, json!({"environments": all})))
            }
            ("GET", ["environments", name]) => Ok((200, self.platform.find(name)?.status())),
            ("POST", ["environments", name, action @ ("deploy" | "switch" | "rollback")]) => {
                let name = names::environment(name)?;
                self.act(name, action, &call(request)?).map(|answer| (200, answer))
            }
            (_, ["artifacts", _] | ["environments", ..]) => Err(Fault::new(405, "not a call of this API")),
            _ => Err(Fault::new(404, "there is nothing here")),
        }
    }

    fn act(&self, name: &str, action: &str, call: &Value) -> Result<Value, Fault> {
        let known: &[&str] = match action {
            "deploy" => &["version", "digest"],
            "switch" => &["version"],
            _ => &[],
        };
        let text = |key: &str| call[key].as_str().ok_or_else(|| Fault::new(400, format_args!("`{key}` is missing")));
        let given = call.as_object().ok_or_else(|| Fault::new(400, "the body is not a JSON object"))?;
        if let Some(key) = given.keys().find(|key| !known.contains(&key.as_str())) {
            return Err(Fault::new(400, format_args!("{key:?} is unknown to {action}")));
        }
        match action {
            "deploy" => {
                let version = names::version(text("version")?)?.to_owned();
                let digest = names::digest(text("digest")?)?.to_owned();
                // Asked before an environment is made for it.
                self.platform.artifacts.get(&digest)?;
                self.platform.make(name)?.deploy(&Release { version, digest })
            }
            "switch" => self.platform.find(name)?.switch(names::version(text("version")?)?),
            _ => self.platform.find(name)?.rollback(),
        }
    }

    fn admit(&self, request: &Request<'_>) -> Result<(), Fault> {
        let host = request.headers.get("host").unwrap_or_default();
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        if !["127.0.0.1", "localhost", "[::1]"].contains(&name) {
            return Err(Fault::new(403, "only requests to a loopback name are answered"));
        }
        let Some(token) = &self.token else {
            return Ok(());
        };
        let given = request.headers.get("authorization").and_then(|value| value.strip_prefix("Bearer "));
        if given.is_some_and(|given| same(given.as_bytes(), token.as_bytes())) {
            return Ok(());
        }
        Err(Fault::new(401, "the bearer token is missing or wrong; set PLATFORM_TOKEN"))
    }
}

fn call(request: &mut Request<'_>) -> Result<Value, Fault> {
    if request.headers.get("content-type") != Some("application/json") {
        return Err(Fault::new(415, "the body must be application/json"));
    }
    let body = request.bytes(BODY_LIMIT).ok_or_else(|| Fault::new(413, "the body is longer than 16 KiB"))?;
    serde_json::from_slice(&body).map_err(|error| Fault::new(400, format_args!("the body is not JSON: {error}")))
}

/// Compares without telling by its time how much is equal.
fn same(given: &[u8], token: &[u8]) -> bool {
    let differs = given.iter().zip(token).fold(0, |differs, (one, other)| differs | (one ^ other));
    given.len() == token.len() && differs == 0
}
