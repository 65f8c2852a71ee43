//! Log lines of a release's own pods, counted: each pod by itself, from a given time on.

use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use regex_automata::nfa::thompson::pikevm::PikeVM;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::subject::Subject;
use crate::Object;
use crate::cluster::{Cluster, ClusterError, LogCall, Since};
use crate::inputs::smoke::LogLimit;

/// Logs that are read at the same time.
const AT_ONCE: usize = 4;
/// Of one container at most so much is looked at.
const BYTES: u32 = 16 << 20;
/// So many lines are shown of a pattern.
const SAMPLES: usize = 5;
/// Longest line that is shown.
const LINE: usize = 300;

/// What logs held.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogReport {
    /// A row for each pattern.
    pub rows: Vec<LogRow>,
    /// How many pods were looked at.
    pub pods: usize,
    /// Containers that wrote more than is looked at: `shop-1 app`.
    pub cut: Vec<String>,
}

/// How often a pattern was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRow {
    /// The pattern.
    pub pattern: String,
    /// More lines fail.
    pub at_most: u32,
    /// Lines that match, over all pods.
    pub found: u32,
    /// The first of them, each with its pod.
    pub samples: Vec<String>,
}

impl LogReport {
    /// The first pattern found too often.
    pub fn first_failure(&self) -> Option<&LogRow> {
        self.rows.iter().find(|row| row.found > row.at_most)
    }

    /// `ERROR: 3 lines, at most 5`
    pub fn table(&self) -> Vec<String> {
        self.rows.iter().map(|row| format!("{}: {} lines, at most {}", row.pattern, row.found, row.at_most)).collect()
    }
}

/// Counts lines in the logs that a release's pods wrote since a time, those before a container's restart included.
///
/// # Errors
/// A log cannot be read. That a container has written nothing yet is none.
pub async fn scan(
    subject: &Subject,
    limits: &[LogLimit],
    since: Timestamp,
    cluster: &Cluster,
) -> Result<LogReport, ClusterError> {
    let pods = subject.list(cluster).await?;
    scan_pods(&pods, limits, since, cluster).await
}

pub(super) async fn scan_pods(
    pods: &[Object],
    limits: &[LogLimit],
    since: Timestamp,
    cluster: &Cluster,
) -> Result<LogReport, ClusterError> {
    let mut counter = Counter::new(limits);
    if limits.is_empty() {
        return Ok(counter.report);
    }
    counter.report.pods = pods.len();
    let calls = pods.iter().flat_map(calls).map(|(pod, container, previous)| {
        let call = LogCall {
            container: Some(container.clone()),
            since: Since::Time(since),
            lines: None,
            bytes: BYTES,
            previous,
        };
        async move { (format!("{pod} {container}"), cluster.logs(&pod, &call).await) }
    });
    let mut logs = stream::iter(calls.collect::<Vec<_>>()).buffered(AT_ONCE);
    while let Some((name, log)) = logs.next().await {
        match log {
            Ok(log) => {
                if log.cut {
                    counter.report.cut.push(name.clone());
                }
                counter.count(&name, &log.text);
            }
            // It went since the list was made.
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(counter.report)
}

/// The containers of a pod: name of pod and container, and whether it is the run before the last restart.
fn calls(pod: &Object) -> Vec<(String, String, bool)> {
    let mut calls = Vec::new();
    for status in pod.list("/status/containerStatuses") {
        let Some(name) = status.get("name").and_then(Value::as_str) else { continue };
        if status["restartCount"].as_i64() > Some(0) {
            calls.push((pod.name().to_owned(), name.to_owned(), true));
        }
        calls.push((pod.name().to_owned(), name.to_owned(), false));
    }
    calls
}

struct Counter {
    patterns: Vec<Option<PikeVM>>,
    report: LogReport,
}

impl Counter {
    fn new(limits: &[LogLimit]) -> Self {
        let row = |limit: &LogLimit| LogRow {
            pattern: limit.pattern.clone(),
            at_most: limit.at_most,
            found: 0,
            samples: Vec::new(),
        };
        // Patterns were read with the step; one that is none could match nothing.
        let patterns = limits.iter().map(|limit| PikeVM::new(&limit.pattern).ok()).collect();
        Self { patterns, report: LogReport { rows: limits.iter().map(row).collect(), ..LogReport::default() } }
    }

    fn count(&mut self, name: &str, text: &str) {
        for (pattern, row) in self.patterns.iter().zip(&mut self.report.rows) {
            let Some(pattern) = pattern else { continue };
            let mut cache = pattern.create_cache();
            for line in text.lines().filter(|line| pattern.is_match(&mut cache, line.as_bytes())) {
                row.found = row.found.saturating_add(1);
                if row.samples.len() < SAMPLES {
                    let line: String = line.chars().take(LINE).collect();
                    row.samples.push(format!("{name}: {line}"));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lines_are_counted_over_all_pods() {
        let limits = [LogLimit::parse("ERROR at most 2").unwrap(), LogLimit::parse("OutOfMemory").unwrap()];
        let mut counter = Counter::new(&limits);
        counter.count("a app", "ok\nERROR one ERROR\nok\n");
        counter.count("b app", "ERROR two\n");
        assert_eq!(counter.report.first_failure(), None);
        counter.count("b app", "ERROR three\n");
        let report = counter.report;
        assert_eq!(report.first_failure().unwrap().samples[0], "a app: ERROR one ERROR");
        assert_eq!(report.table(), ["ERROR: 3 lines, at most 2", "OutOfMemory: 0 lines, at most 0"]);
    }

    #[test]
    fn the_run_before_a_restart_is_read_too() {
        let pod = Object(json!({"metadata": {"name": "a"}, "status": {"containerStatuses": [
            {"name": "app", "restartCount": 1}, {"name": "side", "restartCount": 0},
        ]}}));
        let own = |name: &str, previous| ("a".to_owned(), name.to_owned(), previous);
        assert_eq!(calls(&pod), [own("app", true), own("app", false), own("side", false)]);
    }
}
