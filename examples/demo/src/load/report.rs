//! What became of the requests of a load.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::units;

/// Failures that are told one by one.
const TOLD: usize = 20;

/// How one request ended.
pub(super) struct Outcome {
    /// Who answered, by `X-Version`; `None` where nobody did.
    pub(super) version: Option<String>,
    /// The status of the answer.
    pub(super) status: Option<u16>,
    /// Why it failed.
    pub(super) cause: Option<String>,
}

/// The record of a load.
#[derive(Default)]
pub(super) struct Report {
    /// Requests that have ended.
    pub(super) sent: u64,
    /// Those that had no answer, or one of status 400 or above.
    pub(super) failed: u64,
    /// Kept connections that the server had ended while nothing was under way.
    pub(super) ended_idle: u64,
    by_version: BTreeMap<String, Seen>,
    by_status: BTreeMap<u16, u64>,
    failures: Vec<Value>,
    last_failure: Option<String>,
    /// Microseconds of the plain requests that were answered well.
    times: Vec<u32>,
}

#[derive(Default)]
struct Seen {
    count: u64,
    failed: u64,
    first: String,
    last: String,
}

impl Report {
    /// Records one end, now; `took` only where the request was not asked to be slow.
    pub(super) fn add(&mut self, outcome: Outcome, took: Option<Duration>) {
        let (now, failed) = (units::now(), outcome.cause.is_some());
        self.sent += 1;
        if let Some(status) = outcome.status {
            *self.by_status.entry(status).or_default() += 1;
        }
        if let Some(version) = &outcome.version {
            let seen = self.by_version.entry(version.clone()).or_default();
            seen.count += 1;
            seen.failed += u64::from(failed);
            if seen.count == 1 {
                seen.first.clone_from(&now);
            }
            seen.last.clone_from(&now);
        }
        if let Some(cause) = outcome.cause {
            self.failed += 1;
            if self.failures.len() < TOLD {
                self.failures.push(json!({"at": now, "cause": cause, "version": outcome.version}));
            }
            self.last_failure = Some(now);
        } else if let Some(took) = took {
            self.times.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
        }
    }

    /// The time that `percent` of the plain requests did not exceed, in milliseconds.
    fn percentile(sorted: &[u32], percent: usize) -> Option<f64> {
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted.get(rank - 1).map(|micros| f64::from(*micros) / 1000.0)
    }

    /// As one JSON object; `elapsed` is the time of the whole load.
    pub(super) fn json(&self, elapsed: Duration) -> Value {
        let mut sorted = self.times.clone();
        sorted.sort_unstable();
        let at = |percent| Self::percentile(&sorted, percent);
        let by = |value: fn(&Seen) -> Value| -> Value {
            self.by_version.iter().map(|(version, seen)| (version.clone(), value(seen))).collect()
        };
        let statuses: Value =
            self.by_status.iter().map(|(status, count)| (status.to_string(), Value::from(*count))).collect();
        json!({
            "sent": self.sent,
            "failed": self.failed,
            "seconds": elapsed.as_secs_f64(),
            "by_version": by(|seen| seen.count.into()),
            "failed_by_version": by(|seen| seen.failed.into()),
            "first_seen": by(|seen| seen.first.clone().into()),
            "last_seen": by(|seen| seen.last.clone().into()),
            "by_status": statuses,
            "p50_ms": at(50),
            "p95_ms": at(95),
            "p99_ms": at(99),
            "ended_idle": self.ended_idle,
            "failures": self.failures,
            "last_failure": self.last_failure,
        })
    }

    /// As lines for people.
    pub(super) fn text(&self) -> String {
        let mut lines = vec![format!("{} sent, {} failed", self.sent, self.failed)];
        let versions = self.by_version.iter();
        lines.extend(
            versions.map(|(name, seen)| format!("{name}: {} from {} to {}", seen.count, seen.first, seen.last)),
        );
        let told = |failure: &Value, key: &str| failure[key].as_str().unwrap_or_default().to_owned();
        lines.extend(self.failures.iter().map(|one| format!("{} {}", told(one, "at"), told(one, "cause"))));
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(version: Option<&str>, status: u16, cause: Option<&str>) -> Outcome {
        let (version, cause) = (version.map(str::to_owned), cause.map(str::to_owned));
        Outcome { status: version.is_some().then_some(status), version, cause }
    }

    #[test]
    fn versions_failures_and_times_are_kept_apart() {
        let mut report = Report::default();
        for millis in 1..=100 {
            report.add(outcome(Some("1"), 200, None), Some(Duration::from_millis(millis)));
        }
        report.add(outcome(Some("2"), 200, None), None);
        report.add(outcome(Some("2"), 500, Some("status 500: injected")), Some(Duration::from_secs(9)));
        report.add(outcome(None, 0, Some("connect: refused")), Some(Duration::ZERO));
        let json = report.json(Duration::from_secs(2));
        assert_eq!((&json["sent"], &json["failed"]), (&json!(103), &json!(2)));
        assert_eq!(json["by_version"], json!({"1": 100, "2": 2}));
        assert_eq!(json["failed_by_version"], json!({"1": 0, "2": 1}));
        assert_eq!(json["by_status"], json!({"200": 101, "500": 1}));
        assert_eq!((&json["p50_ms"], &json["p99_ms"]), (&json!(50.0), &json!(99.0)));
        assert_eq!(json["failures"][1]["version"], Value::Null);
        assert!(json["first_seen"]["1"].as_str().unwrap() <= json["last_seen"]["1"].as_str().unwrap());
        assert_eq!(json["last_failure"], json["failures"][1]["at"]);
    }

    #[test]
    fn an_empty_load_has_no_times() {
        assert_eq!(Report::default().json(Duration::ZERO)["p99_ms"], Value::Null);
    }
}
