//! A Prometheus server: queries, the names of metrics, and what type they are.
//!
//! What answers is data; what does not answer is told apart by cause, so that nobody takes a server that is away for a good
//! value. An answer is bounded in time and size.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use reqwest::Url;
use serde_json::Value;

use super::web::Web;
use crate::cluster::HttpCall;

/// Of one query.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Names of a big server are some megabytes.
const LIMIT: usize = 32 << 20;

/// A server, by its address.
#[derive(Debug, Clone)]
pub struct Prometheus {
    web: Web,
    address: String,
}

/// Why there is no data.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrometheusError {
    /// No answer, or none of a Prometheus.
    #[error("Prometheus at {address} gives no answer: {why}")]
    Away {
        /// The server's address.
        address: String,
        /// `connection refused`
        why: String,
    },
    /// The query is none.
    #[error("\"{query}\" column {column}: {message}")]
    Parse {
        /// The query.
        query: String,
        /// The column, from 1.
        column: u32,
        /// `unexpected end of input`
        message: String,
    },
    /// It was refused: too expensive, a type that does not fit, …
    #[error("Prometheus at {address} refuses \"{query}\": {message}")]
    Refused {
        /// The server's address.
        address: String,
        /// The query.
        query: String,
        /// The server's sentence.
        message: String,
    },
}

/// A value with its labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// The series' labels.
    pub labels: BTreeMap<String, String>,
    /// May be NaN or infinite.
    pub value: f64,
}

impl Prometheus {
    /// Sends nothing yet.
    ///
    /// # Errors
    /// No TLS for it on this machine.
    pub fn new(address: &str) -> Result<Self, PrometheusError> {
        let web = Web::new(true).map_err(|why| PrometheusError::Away { address: address.to_owned(), why })?;
        Ok(Self { web, address: address.trim_end_matches('/').to_owned() })
    }

    /// Its address.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The values of an instant query. A scalar is one value without labels.
    ///
    /// # Errors
    /// See [`PrometheusError`].
    pub async fn query(&self, query: &str, at: Timestamp) -> Result<Vec<Point>, PrometheusError> {
        let data = self.get("/api/v1/query", query, &[("query", query), ("time", &at.to_string())]).await?;
        let odd = || self.away("an answer that is not understood");
        match data["resultType"].as_str() {
            Some("vector") => {
                let result = data["result"].as_array().ok_or_else(odd)?;
                result.iter().map(|each| point(&each["metric"], &each["value"]).ok_or_else(odd)).collect()
            }
            Some("scalar") => Ok(vec![point(&Value::Null, &data["result"]).ok_or_else(odd)?]),
            Some(other) => Err(PrometheusError::Refused {
                address: self.address.clone(),
                query: query.to_owned(),
                message: format!("its result is a {other}; a number is needed"),
            }),
            None => Err(odd()),
        }
    }

    /// The names of the metrics that have series with these matchers (`namespace="x"`), seen since `from`; of all where
    /// there are none.
    ///
    /// # Errors
    /// See [`PrometheusError`].
    pub async fn names(&self, matchers: &str, from: Timestamp) -> Result<BTreeSet<String>, PrometheusError> {
        let (selector, start) = (format!("{{{matchers}}}"), from.to_string());
        let mut pairs = vec![("start", start.as_str())];
        if !matchers.is_empty() {
            pairs.push(("match[]", &selector));
        }
        self.texts("/api/v1/label/__name__/values", &pairs).await
    }

    /// The names of the labels of the series that a selector selects, seen since `from`.
    ///
    /// # Errors
    /// See [`PrometheusError`].
    pub async fn labels(&self, selector: &str, from: Timestamp) -> Result<BTreeSet<String>, PrometheusError> {
        self.texts("/api/v1/labels", &[("match[]", selector), ("start", &from.to_string())]).await
    }

    /// What a metric is, as its targets say: `counter`, `gauge`, `histogram`, `summary`. None where no target says it.
    ///
    /// # Errors
    /// See [`PrometheusError`].
    pub async fn kind(&self, metric: &str) -> Result<Option<String>, PrometheusError> {
        for name in [Some(metric), metric.strip_suffix("_total")].into_iter().flatten() {
            let data = self.get("/api/v1/metadata", metric, &[("metric", name)]).await?;
            if let Some(kind) = data[name][0]["type"].as_str() {
                return Ok(Some(kind.to_owned()));
            }
        }
        Ok(None)
    }

    async fn texts(&self, path: &str, pairs: &[(&str, &str)]) -> Result<BTreeSet<String>, PrometheusError> {
        let data = self.get(path, path, pairs).await?;
        let texts = data.as_array().ok_or_else(|| self.away("an answer that is not understood"))?;
        Ok(texts.iter().filter_map(Value::as_str).map(str::to_owned).collect())
    }

    async fn get(&self, path: &str, query: &str, pairs: &[(&str, &str)]) -> Result<Value, PrometheusError> {
        let url = Url::parse_with_params(&format!("{}{path}", self.address), pairs);
        let url = url.map_err(|error| self.away(&error.to_string()))?;
        let call = HttpCall { timeout: TIMEOUT, limit: LIMIT, ..HttpCall::get("") };
        let answer = self.web.send(url.as_str(), &call).await.map_err(|why| self.away(&why))?;
        if answer.cut {
            return Err(self.away("more data than a check can use"));
        }
        let body: Value = serde_json::from_slice(&answer.body)
            .map_err(|_| self.away(&format!("status {}, and no JSON of a Prometheus", answer.status)))?;
        match (body["status"].as_str(), body["error"].as_str()) {
            (Some("success"), _) => Ok(body["data"].clone()),
            (Some("error"), Some(message)) => Err(self.refused(query, message, answer.status)),
            _ => Err(self.away(&format!("status {}, and no answer of a Prometheus", answer.status))),
        }
    }

    fn away(&self, why: &str) -> PrometheusError {
        PrometheusError::Away { address: self.address.clone(), why: why.to_owned() }
    }

    fn refused(&self, query: &str, message: &str, status: u16) -> PrometheusError {
        if let Some((column, message)) = parse_error(message) {
            return PrometheusError::Parse { query: query.to_owned(), column, message };
        }
        if status >= 500 {
            return self.away(message);
        }
        let message = message.to_owned();
        PrometheusError::Refused { address: self.address.clone(), query: query.to_owned(), message }
    }
}

/// `invalid parameter "query": 1:12: parse error: unexpected end of input` as 12 and the message.
fn parse_error(text: &str) -> Option<(u32, String)> {
    let (place, message) = text.split_once(": parse error: ")?;
    let column = place.rsplit(':').next()?.trim().parse().ok()?;
    Some((column, message.to_owned()))
}

fn point(labels: &Value, value: &Value) -> Option<Point> {
    let pairs = labels.as_object().into_iter().flatten();
    let labels = pairs.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect();
    let value = match value[1].as_str()? {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        text => text.parse().ok()?,
    };
    Some(Point { labels, value })
}

/// A text as a quoted string of PromQL.
pub(crate) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

/// A text as it is within a regular expression of PromQL.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::new();
    for letter in text.chars() {
        if !letter.is_ascii_alphanumeric() && letter != '-' && letter != '_' {
            out.push('\\');
        }
        out.push(letter);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_column_of_a_parse_error_is_found() {
        let message = "invalid parameter \"query\": 1:18: parse error: unclosed left parenthesis";
        assert_eq!(parse_error(message), Some((18, "unclosed left parenthesis".to_owned())));
        assert_eq!(parse_error("query timed out"), None);
    }

    #[test]
    fn texts_are_written_as_the_server_reads_them() {
        assert_eq!(quoted("a\"b\\"), "\"a\\\"b\\\\\"");
        assert_eq!(escaped("shop-v1.2"), "shop-v1\\.2");
    }
}
