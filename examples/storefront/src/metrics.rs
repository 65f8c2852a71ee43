//! Counters of the requests answered, in the text format of Prometheus.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Upper bounds of the histogram, in seconds, as they are printed and in microseconds.
const BOUNDS: [(&str, u128); 8] = [
    ("0.001", 1_000),
    ("0.005", 5_000),
    ("0.025", 25_000),
    ("0.1", 100_000),
    ("0.25", 250_000),
    ("0.5", 500_000),
    ("1", 1_000_000),
    ("2.5", 2_500_000),
];

/// What was counted since the start.
#[derive(Default)]
pub struct Metrics(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    by_status: BTreeMap<u16, u64>,
    by_bound: [u64; BOUNDS.len()],
    sum: Duration,
}

impl Metrics {
    /// Counts one answered request.
    pub fn count(&self, status: u16, took: Duration) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.by_status.entry(status).or_default() += 1;
        counts.sum += took;
        if let Some(bound) = BOUNDS.iter().position(|(_, limit)| took.as_micros() <= *limit) {
            counts.by_bound[bound] += 1;
        }
    }

    /// The page a scraper reads.
    pub fn text(&self) -> String {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (version, commit) = (crate::version(), crate::commit());
        let mut page = format!(
            "# HELP storefront_build_info Version and commit of this build.\n\
             # TYPE storefront_build_info gauge\n\
             storefront_build_info{{version=\"{version}\",commit=\"{commit}\"}} 1\n\
             # HELP http_server_requests_total Requests answered, by status.\n\
             # TYPE http_server_requests_total counter\n"
        );
        for (status, count) in &counts.by_status {
            line(&mut page, format_args!("total{{status=\"{status}\"}} {count}"));
        }
        page += "# HELP http_server_requests_seconds Time from a request's head to its answer.\n";
        page += "# TYPE http_server_requests_seconds histogram\n";
        let total: u64 = counts.by_status.values().sum();
        let mut below = 0;
        for ((bound, _), count) in BOUNDS.iter().zip(counts.by_bound) {
            below += count;
            line(&mut page, format_args!("seconds_bucket{{le=\"{bound}\"}} {below}"));
        }
        line(&mut page, format_args!("seconds_bucket{{le=\"+Inf\"}} {total}"));
        line(&mut page, format_args!("seconds_sum {}", counts.sum.as_secs_f64()));
        line(&mut page, format_args!("seconds_count {total}"));
        page
    }
}

fn line(page: &mut String, rest: std::fmt::Arguments<'_>) {
    writeln!(page, "http_server_requests_{rest}").expect("a String takes whatever it is given");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_cumulative_and_end_at_the_count() {
        let metrics = Metrics::default();
        for (status, millis) in [(200, 0), (200, 3), (404, 200), (500, 9_000)] {
            metrics.count(status, Duration::from_millis(millis));
        }
        let page = metrics.text();
        for expected in [
            "http_server_requests_total{status=\"200\"} 2",
            "http_server_requests_seconds_bucket{le=\"0.001\"} 1",
            "http_server_requests_seconds_bucket{le=\"0.25\"} 3",
            "http_server_requests_seconds_bucket{le=\"2.5\"} 3",
            "http_server_requests_seconds_bucket{le=\"+Inf\"} 4",
            "http_server_requests_seconds_count 4",
            "http_server_requests_seconds_sum 9.203",
        ] {
            assert!(page.lines().any(|line| line == expected), "{expected}\n{page}");
        }
    }
}
