//! Which metrics the built-in signals are read from: the first of a list of well-known names that is there.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// Histograms of HTTP requests, in seconds: Micrometer and Quarkus, OpenTelemetry, the clients of Prometheus.
const HISTOGRAMS: [&str; 3] =
    ["http_server_requests_seconds", "http_server_request_duration_seconds", "http_request_duration_seconds"];
/// Plain counters of HTTP requests.
const COUNTERS: [&str; 2] = ["http_requests_total", "http_server_requests_total"];
/// The labels that hold the status of an answer.
const STATUS: [&str; 5] = ["status", "code", "status_code", "http_response_status_code", "http_status_code"];
/// Memory in use, bytes.
const MEMORY: [&str; 3] =
    ["container_memory_working_set_bytes", "process_resident_memory_bytes", "jvm_memory_used_bytes"];
/// Labels that tell queues apart; further ones (pods, instances) tell who says it.
pub(super) const QUEUE_LABELS: [&str; 9] =
    ["queue", "priority", "topic", "partition", "consumergroup", "consumer_group", "group", "client_id", "name"];

/// What waits somewhere: the names known, and how others end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Waiting {
    what: &'static str,
    known: &'static [&'static str],
    end: &'static str,
}

pub(super) const QUEUE: Waiting =
    Waiting { what: "queue-depth", known: &["queue_depth", "jobs_queue_depth"], end: "_queue_depth" };
pub(super) const DEAD: Waiting =
    Waiting { what: "dlq-growth", known: &["dlq_depth", "jobs_dlq_depth"], end: "_dlq_depth" };
pub(super) const LAG: Waiting = Waiting {
    what: "lag",
    known: &["kafka_consumergroup_lag", "kafka_consumer_fetch_manager_records_lag"],
    end: "_lag",
};

/// A counter of requests with its label for the status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requests {
    /// Its name.
    pub metric: String,
    /// The label.
    pub status: String,
}

/// The counters of requests that are there, best first.
pub(super) fn request_counters(names: &BTreeSet<String>) -> Vec<String> {
    let histograms = HISTOGRAMS.iter().map(|stem| format!("{stem}_count"));
    let all = histograms.chain(COUNTERS.iter().map(|name| (*name).to_owned()));
    all.filter(|name| names.contains(name)).collect()
}

/// The label of a counter that holds the status.
pub(super) fn status_label(labels: &BTreeSet<String>) -> Option<String> {
    STATUS.iter().find(|label| labels.contains(**label)).map(|label| (*label).to_owned())
}

/// The histogram of latencies.
pub(super) fn latency(names: &BTreeSet<String>) -> Option<String> {
    HISTOGRAMS.iter().map(|stem| format!("{stem}_bucket")).find(|name| names.contains(name))
}

/// The gauge of memory.
pub(super) fn memory(names: &BTreeSet<String>) -> Option<String> {
    MEMORY.iter().find(|name| names.contains(**name)).map(|name| (*name).to_owned())
}

/// `metric not found: none of a, b`
pub(super) fn no_requests() -> String {
    let histograms = HISTOGRAMS.iter().map(|stem| format!("{stem}_count"));
    let all: Vec<String> = histograms.chain(COUNTERS.iter().map(|name| (*name).to_owned())).collect();
    format!("none of {} with a label for the status ({})", all.join(", "), STATUS.join(", "))
}

/// As [`no_requests`], of latencies.
pub(super) fn no_latency() -> String {
    format!("none of {}", HISTOGRAMS.map(|stem| format!("{stem}_bucket")).join(", "))
}

/// As [`no_requests`], of memory.
pub(super) fn no_memory() -> String {
    format!("none of {}", MEMORY.join(", "))
}

impl Waiting {
    /// The gauge that is meant.
    ///
    /// # Errors
    /// There is none, or several could be meant.
    pub(super) fn find(self, names: &BTreeSet<String>) -> Result<String, String> {
        if let Some(known) = self.known.iter().find(|name| names.contains(**name)) {
            return Ok((*known).to_owned());
        }
        let found: Vec<&String> = names.iter().filter(|name| name.ends_with(self.end)).collect();
        match found.as_slice() {
            [one] => Ok((*one).clone()),
            [] => Err(format!("none of {}, nor any …{}", self.known.join(", "), self.end)),
            several => {
                let names: Vec<&str> = several.iter().map(|name| name.as_str()).collect();
                let what = self.what;
                Err(format!("{what} may be any of {}: define one in signals", names.join(", ")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn the_first_known_metric_is_taken() {
        let there = names(&["http_requests_total", "http_server_requests_seconds_count", "up"]);
        assert_eq!(request_counters(&there), ["http_server_requests_seconds_count", "http_requests_total"]);
        assert_eq!(status_label(&names(&["uri", "code", "pod"])).unwrap(), "code");
        assert_eq!(latency(&there), None);
        assert_eq!(memory(&names(&["jvm_memory_used_bytes"])).unwrap(), "jvm_memory_used_bytes");
    }

    #[test]
    fn a_queue_that_could_be_several_is_not_guessed() {
        assert_eq!(QUEUE.find(&names(&["jobs_queue_depth", "x_queue_depth"])).unwrap(), "jobs_queue_depth");
        assert_eq!(QUEUE.find(&names(&["x_queue_depth"])).unwrap(), "x_queue_depth");
        let error = QUEUE.find(&names(&["a_queue_depth", "b_queue_depth"])).unwrap_err();
        assert_eq!(error, "queue-depth may be any of a_queue_depth, b_queue_depth: define one in signals");
        assert_eq!(LAG.find(&names(&["up"])).unwrap_err().split(", nor").nth(1).unwrap(), " any …_lag");
    }
}
