//! How signals are measured: knobs that `deploy` and `analyse` share.

use serde::{Deserialize, Serialize};

use super::Period;
use super::reader::Reader;
use super::signal::SignalDefinition;
use super::smoke::LogLimit;

/// How signals are measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MeasureKnobs {
    /// A Prometheus server's address; the release's pods are scraped where none is given.
    pub prometheus: Option<String>,
    /// Labels that every series must have.
    pub labels: Vec<(String, String)>,
    /// Signals that the step defines.
    pub signals: Vec<SignalDefinition>,
    /// Where pods serve metrics.
    pub metrics_path: String,
    /// On which port; the unit's own where it is not given.
    pub metrics_port: Option<u16>,
    /// Between two looks.
    pub interval: Period,
    /// How far a look reaches back.
    pub window: Period,
    /// Shares and latencies over fewer requests than this are inconclusive.
    pub min_requests: u32,
    /// What no data means.
    pub no_data: NoData,
    /// How long no data is waited for.
    pub no_data_timeout: Period,
    /// Why no data, or an inconclusive analysis, may pass in an environment with reviewers.
    pub allow_no_data: Option<String>,
    /// Patterns that the new pods' logs may hold only so often.
    pub log_limits: Vec<LogLimit>,
}

/// What no data means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoData {
    /// Waits for `no-data-timeout`, then fails.
    Wait,
    /// Fails at once.
    Fail,
    /// Passes; refused in environments with reviewers without `allow-no-data`.
    Pass,
}

const NO_DATA: [(&str, NoData); 3] = [("wait", NoData::Wait), ("fail", NoData::Fail), ("pass", NoData::Pass)];

impl MeasureKnobs {
    /// `source` is the key that holds the Prometheus server's address.
    pub(super) fn read(reader: &mut Reader<'_>, source: &'static str) -> Self {
        let signals = reader.lines("signals", SignalDefinition::parse);
        for (number, signal) in signals.iter().enumerate() {
            if signals[..number].iter().any(|other| other.name == signal.name) {
                reader.problem("signals", format!("\"{}\" is defined twice", signal.name));
            }
        }
        let knobs = Self {
            prometheus: reader.read(source, prometheus),
            labels: reader.pairs("metric-labels"),
            signals,
            metrics_path: reader.text("metrics-path").unwrap_or_default(),
            metrics_port: reader.port("metrics-port"),
            interval: reader.period("interval"),
            window: reader.period("window"),
            min_requests: reader.count("min-requests", 0).unwrap_or_default(),
            no_data: reader.choice("no-data", "an answer to no data", &NO_DATA),
            no_data_timeout: reader.period("no-data-timeout"),
            allow_no_data: reader.text("allow-no-data"),
            log_limits: reader.lines("log-limits", LogLimit::parse),
        };
        let (window, interval) = (knobs.window, knobs.interval);
        reader.rule(&["interval"], interval.is_zero(), || "0s: longer than 0s".to_owned());
        reader.rule(&["window", "interval"], window < interval, || {
            format!("window {window} holds no two scrapes of {interval}")
        });
        if knobs.prometheus.is_none() && reader.are_settled(&[source]) {
            for signal in knobs.signals.iter().filter(|signal| !signal.is_metric()) {
                let message =
                    format!("\"{}\" is PromQL and needs a server; give {source}, or a metric's bare name", signal.name);
                reader.problem("signals", message);
            }
        }
        reader.rule(&["metrics-path"], !knobs.metrics_path.starts_with('/'), || {
            format!("\"{}\": a path begins with /", knobs.metrics_path)
        });
        knobs
    }
}

/// An address, with a path where Prometheus lies behind one.
fn prometheus(text: &str) -> Result<String, String> {
    let wrong = || format!("\"{text}\" is not an address; write http://prometheus:9090");
    let url = reqwest::Url::parse(text).map_err(|_| wrong())?;
    let plain = matches!(url.scheme(), "http" | "https") && url.has_host() && url.query().is_none();
    if plain && url.fragment().is_none() { Ok(text.trim_end_matches('/').to_owned()) } else { Err(wrong()) }
}
