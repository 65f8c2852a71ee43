//! Pods: their logs, their events, and HTTP to them through the API server's proxy, so that every pod can be tested from
//! where the engine runs, before any Service selects it.

use std::time::Duration;

use http::Method;
use jiff::Timestamp;
use serde_json::Value;
use tokio::time::Instant;

use super::http::{Call, Repeat, encode, query};
use super::{Cluster, ClusterError, Labels};
use crate::{Object, ObjectId};

/// From when on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// All there is.
    Start,
    /// The last so many seconds.
    Seconds(u32),
    /// From this time on.
    Time(Timestamp),
}

/// Which log lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogCall {
    /// None: the pod's only container.
    pub container: Option<String>,
    /// From when on.
    pub since: Since,
    /// The last so many lines; None: all.
    pub lines: Option<u32>,
    /// At most so many bytes, counted by the server from the first line on.
    pub bytes: u32,
    /// Of the container that ran before the last restart.
    pub previous: bool,
}

impl Default for LogCall {
    /// The last 200 lines, 1 MiB.
    fn default() -> Self {
        Self { container: None, since: Since::Start, lines: Some(200), bytes: 1 << 20, previous: false }
    }
}

/// A container's log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Logs {
    /// The lines, as they were written; bytes that are no UTF-8 are replaced.
    pub text: String,
    /// There was more than the limit.
    pub cut: bool,
    /// Why there is no log yet or none any more: `waiting to start: ContainerCreating`.
    pub none: Option<String>,
}

/// An HTTP request to a pod or Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpCall {
    /// `GET`, `POST`, …
    pub method: String,
    /// With query: `/health?full=1`.
    pub path: String,
    /// Sent as they are. `Authorization` cannot be: the API server takes it for itself.
    pub headers: Vec<(String, String)>,
    /// Empty for none.
    pub body: Vec<u8>,
    /// For the whole answer.
    pub timeout: Duration,
    /// At most so many bytes of the answer's body.
    pub limit: usize,
}

impl HttpCall {
    /// A GET with 10 s and 1 MiB.
    pub fn get(path: &str) -> Self {
        Self {
            method: "GET".to_owned(),
            path: path.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            timeout: Duration::from_secs(10),
            limit: 1 << 20,
        }
    }
}

/// What a pod or Service answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpAnswer {
    /// The HTTP status.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body; of `text/html` the API server rewrites links in it.
    pub body: Vec<u8>,
    /// The body was longer than the limit.
    pub cut: bool,
    /// From sending to the last byte, the way through the API server included.
    pub took: Duration,
}

impl Cluster {
    /// A container's log.
    ///
    /// # Errors
    /// There is no such pod or container; those of reaching the server. That a container has no log yet is no error.
    pub async fn logs(&self, pod: &str, which: &LogCall) -> Result<Logs, ClusterError> {
        let resource = self.served("v1", "Pod").await?;
        let (seconds, time) = match which.since {
            Since::Start => (None, None),
            Since::Seconds(seconds) => (Some(seconds.max(1).to_string()), None),
            Since::Time(time) => (None, Some(time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())),
        };
        let pairs = [
            ("container", which.container.clone()),
            ("sinceSeconds", seconds),
            ("sinceTime", time),
            ("tailLines", which.lines.map(|lines| lines.to_string())),
            ("limitBytes", Some(which.bytes.max(1).to_string())),
            ("previous", which.previous.then(|| "true".to_owned())),
        ];
        let path = resource.path(self.namespace(), Some(pod), Some("log")) + &query(&pairs);
        let limit = usize::try_from(which.bytes).unwrap_or(usize::MAX);
        let call = Call { limit, headers: Vec::new(), ..Call::get(path) };
        let what = format!("the log of Pod/{pod}");
        let answer = self.call(&call, &what).await?;
        if answer.ok() {
            let cut = answer.cut || answer.body.len() >= limit;
            return Ok(Logs { text: String::from_utf8_lossy(&answer.body).into_owned(), cut, none: None });
        }
        let message = answer.json()["message"].as_str().unwrap_or_default().to_owned();
        let not_now = ["is waiting to start", "previous terminated container", "is not available"];
        if answer.status == 400 && not_now.iter().any(|text| message.contains(text)) {
            return Ok(Logs { none: Some(message), ..Logs::default() });
        }
        Err(self.refused(&what, &answer))
    }

    /// Events about these objects (by UID), oldest first. One request for one object or for many.
    ///
    /// # Errors
    /// Those of reaching the server, and a missing right.
    pub async fn events(&self, uids: &[&str]) -> Result<Vec<Object>, ClusterError> {
        let resource = self.served("v1", "Event").await?;
        let base = resource.path(self.namespace(), None, None);
        let field = match uids {
            [] => return Ok(Vec::new()),
            [one] => Some(format!("involvedObject.uid={one}")),
            _ => None,
        };
        let (mut events, _) = self.list_at(&resource, "Event", &base, &[("fieldSelector", field)]).await?;
        events.retain(|event| uids.contains(&event.text("/involvedObject/uid")));
        events.sort_by_key(event_time);
        Ok(events)
    }

    /// All pods with these labels.
    ///
    /// # Errors
    /// Those of reaching the server, and a missing right.
    pub async fn pods(&self, labels: &Labels) -> Result<Vec<Object>, ClusterError> {
        self.list("v1", "Pod", labels).await
    }

    /// HTTP to one pod through the API server.
    ///
    /// # Errors
    /// [`ClusterError::NoAnswer`] where the pod refuses, breaks off or is too slow (not repeated here); those of reaching
    /// the API server.
    pub async fn pod_http(&self, pod: &str, port: u16, call: &HttpCall) -> Result<HttpAnswer, ClusterError> {
        self.proxied("Pod", pod, &port.to_string(), call).await
    }

    /// HTTP to some ready pod of a Service through the API server. `port` is a number or name of the Service's.
    ///
    /// # Errors
    /// [`ClusterError::NoAnswer`] where no pod answers; those of reaching the API server.
    pub async fn service_http(&self, service: &str, port: &str, call: &HttpCall) -> Result<HttpAnswer, ClusterError> {
        self.proxied("Service", service, port, call).await
    }

    async fn proxied(&self, kind: &str, name: &str, port: &str, call: &HttpCall) -> Result<HttpAnswer, ClusterError> {
        let what = format!("{kind}/{name} port {port}");
        if call.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization")) {
            let message =
                "a header `Authorization` does not reach a pod: the API server takes it for itself".to_owned();
            return Err(ClusterError::Refused { what, status: 0, message });
        }
        let method = Method::from_bytes(call.method.as_bytes());
        let method = method.map_err(|error| ClusterError::Refused {
            what: what.clone(),
            status: 0,
            message: error.to_string(),
        })?;
        let resource = self.served("v1", kind).await?;
        let base = resource.path(self.namespace(), None, None);
        let path = call.path.trim_start_matches('/');
        let repeat = if method == Method::GET || method == Method::HEAD { Repeat::Harmless } else { Repeat::Unsent };
        let request = Call {
            method,
            headers: call.headers.clone(),
            body: call.body.clone(),
            repeat,
            // The proxy's own words about a slow pod would come later than the caller's patience with it.
            timeout: call.timeout,
            limit: call.limit,
            proxied: true,
            ..Call::get(format!("{base}/{}:{}/proxy/{path}", encode(name), encode(port)))
        };
        let start = Instant::now();
        let answer = self.call(&request, &what).await?;
        let took = start.elapsed();
        if let Some(why) = of_the_server(&answer.json(), answer.status) {
            if why.contains("error trying to reach service") || answer.status == 503 {
                let why = why.strip_prefix("error trying to reach service: ").unwrap_or(&why).to_owned();
                return Err(ClusterError::NoAnswer { what, why });
            }
            return Err(self.refused(&what, &answer));
        }
        let headers = answer.headers.iter();
        let headers = headers
            .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
        let headers = headers.collect();
        Ok(HttpAnswer { status: answer.status, headers, body: answer.body, cut: answer.cut, took })
    }

    /// The id of an object of the target's namespace.
    pub fn id(&self, api_version: &str, kind: &str, name: &str) -> ObjectId {
        ObjectId::new(api_version, kind, self.namespace(), name)
    }
}

/// The message of an answer that the API server gave itself, not the pod behind it.
fn of_the_server(body: &Value, status: u16) -> Option<String> {
    let is = body["kind"] == "Status" && body["apiVersion"] == "v1" && body["status"] == "Failure" && status >= 400;
    is.then(|| body["message"].as_str().unwrap_or_default().to_owned())
}

/// When an event was last seen, RFC 3339; newer API versions put it elsewhere.
fn event_time(event: &Object) -> String {
    let places = ["/series/lastObservedTime", "/lastTimestamp", "/eventTime", "/metadata/creationTimestamp"];
    places.iter().map(|place| event.text(place)).find(|text| !text.is_empty()).unwrap_or_default().to_owned()
}
