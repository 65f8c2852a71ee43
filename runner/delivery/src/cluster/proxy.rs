//! HTTP to pods and Services through the API server's proxy, so that every pod can be tested from where the engine runs,
//! before any Service selects it.

use std::time::Duration;

use http::Method;
use serde_json::Value;
use tokio::time::Instant;

use super::http::{Call, Repeat, encode};
use super::{Cluster, ClusterError};

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
}

/// The message of an answer that the API server gave itself, not the pod behind it.
fn of_the_server(body: &Value, status: u16) -> Option<String> {
    let is = body["kind"] == "Status" && body["apiVersion"] == "v1" && body["status"] == "Failure" && status >= 400;
    is.then(|| body["message"].as_str().unwrap_or_default().to_owned())
}
