//! Signals: what is measured of a release, and the limits they are held against.
//!
//! ```text
//! signal = NAME [ "{" LABEL="VALUE" { "," LABEL="VALUE" } "}" ]
//! limit  = SHARE | DURATION | NUMBER | SIZE "/" ("s"|"min"|"h") | FACTOR "x baseline"
//! ```
//! Built-in names and the unit of each:
//!
//! | name | what | limit |
//! |---|---|---|
//! | `error-rate` | requests answered with 5xx, of all | share |
//! | `p50` `p95` `p99` | latency that so many requests stay under | duration |
//! | `throughput` | requests a second | number |
//! | `restarts` | container restarts since the release's pods began | number |
//! | `memory-slope` | growth of memory in use, per pod | size per time |
//! | `queue-depth` `lag` | jobs or messages waiting | number |
//! | `dlq-growth` | dead letters added a minute | number |
//!
//! Every signal also takes a factor of the baseline (`2x baseline`) and, in rules and checks, a `change` (see
//! [`rule`](super::rule)). Further names are defined by `signals:`, one `NAME = QUERY` a line. A query is PromQL; one that is a metric's
//! bare name means, for a counter (`…_total`, `…_count`), its increase over the `window`, else its sum, over all pods. In any
//! other query `{release}` behind a metric's name takes the series of the release's pods: `min(orders_ratio{release})`.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::did_you_mean;

pub use super::limit::Limit;

/// What a built-in signal measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Builtin {
    /// `error-rate`
    ErrorRate,
    /// `p50`
    P50,
    /// `p95`
    P95,
    /// `p99`
    P99,
    /// `throughput`
    Throughput,
    /// `restarts`
    Restarts,
    /// `memory-slope`
    MemorySlope,
    /// `queue-depth`
    QueueDepth,
    /// `dlq-growth`
    DlqGrowth,
    /// `lag`
    Lag,
}

/// What values of a signal are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// 0 to 1.
    Share,
    /// Seconds.
    Seconds,
    /// A plain number.
    Number,
    /// Bytes a second.
    BytesPerSecond,
}

impl Builtin {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::ErrorRate,
        Self::P50,
        Self::P95,
        Self::P99,
        Self::Throughput,
        Self::Restarts,
        Self::MemorySlope,
        Self::QueueDepth,
        Self::DlqGrowth,
        Self::Lag,
    ];

    /// As inputs spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ErrorRate => "error-rate",
            Self::P50 => "p50",
            Self::P95 => "p95",
            Self::P99 => "p99",
            Self::Throughput => "throughput",
            Self::Restarts => "restarts",
            Self::MemorySlope => "memory-slope",
            Self::QueueDepth => "queue-depth",
            Self::DlqGrowth => "dlq-growth",
            Self::Lag => "lag",
        }
    }

    /// What its values are.
    pub const fn unit(self) -> Unit {
        match self {
            Self::ErrorRate => Unit::Share,
            Self::P50 | Self::P95 | Self::P99 => Unit::Seconds,
            Self::MemorySlope => Unit::BytesPerSecond,
            Self::Throughput | Self::Restarts | Self::QueueDepth | Self::DlqGrowth | Self::Lag => Unit::Number,
        }
    }
}

/// Which signal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SignalName {
    /// One that Tagline knows how to measure.
    Builtin(Builtin),
    /// One that `signals:` defines.
    Defined(String),
}

/// A signal, of the series with these labels only.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Signal {
    /// Which.
    pub name: SignalName,
    /// Labels that the series must have, beyond those of the release.
    pub labels: Vec<(String, String)>,
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            SignalName::Builtin(builtin) => f.write_str(builtin.name())?,
            SignalName::Defined(name) => f.write_str(name)?,
        }
        if self.labels.is_empty() {
            return Ok(());
        }
        let labels: Vec<String> = self.labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        write!(f, "{{{}}}", labels.join(","))
    }
}

/// A signal that the step defines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignalDefinition {
    /// Its name.
    pub name: String,
    /// PromQL, or a metric's bare name.
    pub query: String,
}

impl SignalDefinition {
    /// Reads `NAME = QUERY`.
    pub fn parse(line: &str) -> Result<Self, String> {
        let (name, query) = line.split_once('=').ok_or_else(|| format!("\"{line}\" is not NAME = QUERY"))?;
        let (name, query) = (name.trim(), query.trim());
        if !is_name(name) {
            return Err(format!("\"{name}\" is not a signal's name; a-z, 0-9 and -"));
        }
        if Builtin::ALL.into_iter().any(|builtin| builtin.name() == name) {
            return Err(format!("\"{name}\" is built in; give yours another name"));
        }
        if query.is_empty() {
            return Err(format!("\"{name}\" has no query"));
        }
        Ok(Self { name: name.to_owned(), query: query.to_owned() })
    }

    /// The query, with the label matchers `scope` wherever it says `{release}`.
    pub fn within(&self, scope: &str) -> String {
        self.query.replace("{release}", &format!("{{{scope}}}"))
    }

    /// The query is a metric's name and no expression.
    pub fn is_metric(&self) -> bool {
        let inner = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        self.query.chars().all(inner) && !self.query.starts_with(|c: char| c.is_ascii_digit())
    }
}

fn is_name(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase()) && text.bytes().all(inner)
}

impl Signal {
    /// Reads a signal; `defined` are the names of `signals:`.
    pub fn parse(text: &str, defined: &[SignalDefinition]) -> Result<Self, String> {
        let (name, labels) = match text.split_once('{') {
            Some((name, rest)) => (name, read_labels(text, rest)?),
            None => (text, Vec::new()),
        };
        if let Some(builtin) = Builtin::ALL.into_iter().find(|builtin| builtin.name() == name) {
            return Ok(Self { name: SignalName::Builtin(builtin), labels });
        }
        if let Some(signal) = defined.iter().find(|signal| signal.name == name) {
            if !labels.is_empty() {
                return Err(format!("\"{text}\": labels of a signal of your own belong in its query"));
            }
            return Ok(Self { name: SignalName::Defined(signal.name.clone()), labels });
        }
        let mut known: Vec<&str> = Builtin::ALL.map(Builtin::name).to_vec();
        known.extend(defined.iter().map(|signal| signal.name.as_str()));
        known.push("health");
        let guess = did_you_mean(name, known.iter().copied());
        Err(format!("unknown signal \"{name}\"; known: {}; others are defined by signals:{guess}", known.join(", ")))
    }

    /// What its values are; a signal of the step's own is a plain number.
    pub const fn unit(&self) -> Unit {
        match &self.name {
            SignalName::Builtin(builtin) => builtin.unit(),
            SignalName::Defined(_) => Unit::Number,
        }
    }
}

fn read_labels(text: &str, rest: &str) -> Result<Vec<(String, String)>, String> {
    let wrong = || format!("\"{text}\": labels are written {{name=\"value\"}}, without spaces");
    let inner = rest.strip_suffix('}').ok_or_else(wrong)?;
    let pair = |part: &str| {
        let (name, value) = part.split_once('=').ok_or_else(wrong)?;
        let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).ok_or_else(wrong)?;
        let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !value.contains(['"', '\\']);
        if plain && !name.is_empty() { Ok((name.to_owned(), value.to_owned())) } else { Err(wrong()) }
    };
    inner.split(',').map(pair).collect()
}
