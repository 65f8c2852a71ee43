//! Counters and histograms in the text format of Prometheus.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Upper bounds of the histograms, in milliseconds. 400, 500, 600, 2000 and 2500 are there because thresholds are:
/// a quantile between two bounds is a guess.
const BOUNDS: [u32; 17] = [1, 2, 5, 10, 25, 50, 100, 200, 300, 400, 500, 600, 1000, 2000, 2500, 5000, 10_000];

/// What was counted since the start.
#[derive(Default)]
pub(crate) struct Metrics(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    /// By name with labels, as printed.
    counters: BTreeMap<String, u64>,
    /// By name and by labels.
    histograms: BTreeMap<(&'static str, String), Histogram>,
}

#[derive(Default)]
struct Histogram {
    by_bound: [u64; BOUNDS.len()],
    count: u64,
    sum: Duration,
}

impl Metrics {
    /// Adds to a counter; `name` has its labels, if any. Zero makes it known.
    pub(crate) fn add(&self, name: impl Into<String>, count: u64) {
        *self.counts().counters.entry(name.into()).or_default() += count;
    }

    /// What a counter has.
    pub(crate) fn get(&self, name: &str) -> u64 {
        self.counts().counters.get(name).copied().unwrap_or(0)
    }

    /// Adds a time to a histogram; `labels` as printed, without braces.
    pub(crate) fn observe(&self, name: &'static str, labels: String, took: Duration) {
        let mut counts = self.counts();
        let histogram = counts.histograms.entry((name, labels)).or_default();
        histogram.count += 1;
        histogram.sum += took;
        if let Some(bound) = BOUNDS.iter().position(|bound| took <= Duration::from_millis(u64::from(*bound))) {
            histogram.by_bound[bound] += 1;
        }
    }

    /// The page a scraper reads, without gauges.
    pub(crate) fn text(&self) -> String {
        let counts = self.counts();
        let mut page = String::new();
        let mut typed = "";
        for (name, count) in &counts.counters {
            let family = name.split('{').next().unwrap_or(name);
            if family != typed {
                line(&mut page, format_args!("# TYPE {family} counter"));
                typed = family;
            }
            line(&mut page, format_args!("{name} {count}"));
        }
        let mut typed = "";
        for ((name, labels), histogram) in &counts.histograms {
            if *name != typed {
                line(&mut page, format_args!("# TYPE {name} histogram"));
                typed = name;
            }
            histogram.write(&mut page, name, labels);
        }
        page
    }

    fn counts(&self) -> std::sync::MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Histogram {
    fn write(&self, page: &mut String, name: &str, labels: &str) {
        let comma = if labels.is_empty() { "" } else { "," };
        let mut below = 0;
        for (bound, count) in BOUNDS.iter().zip(self.by_bound) {
            below += count;
            let bound = f64::from(*bound) / 1000.0;
            line(page, format_args!("{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {below}"));
        }
        line(page, format_args!("{name}_bucket{{{labels}{comma}le=\"+Inf\"}} {}", self.count));
        line(page, format_args!("{name}_sum{{{labels}}} {}", self.sum.as_secs_f64()));
        line(page, format_args!("{name}_count{{{labels}}} {}", self.count));
    }
}

/// A gauge and its type, as lines of the page.
pub(crate) fn gauge(page: &mut String, name: &str, labels: &str, value: impl std::fmt::Display) {
    let kind = format!("# TYPE {name} gauge\n");
    if !page.contains(&kind) {
        *page += &kind;
    }
    let labels = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
    line(page, format_args!("{name}{labels} {value}"));
}

fn line(page: &mut String, rest: std::fmt::Arguments<'_>) {
    writeln!(page, "{rest}").expect("a String takes whatever it is given");
}

/// Memory of this process that is in RAM, bytes.
pub(crate) fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// Processor time that this process has used so far, seconds: utime and stime, in the hundredths of `USER_HZ`.
pub(crate) fn processor_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The program's name, in parentheses, may hold spaces.
    let (_, fields) = stat.rsplit_once(')').unwrap_or(("", ""));
    let ticks = fields.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u32>().ok());
    ticks.map(f64::from).sum::<f64>() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_cumulative_and_end_at_the_count() {
        let metrics = Metrics::default();
        for millis in [0, 3, 600, 20_000] {
            metrics.observe("t_seconds", "status=\"200\"".to_owned(), Duration::from_millis(millis));
        }
        metrics.add("n_total{a=\"1\"}", 2);
        metrics.add("n_total{a=\"1\"}", 3);
        let mut page = metrics.text();
        gauge(&mut page, "g", "", resident());
        for expected in [
            "# TYPE n_total counter",
            "n_total{a=\"1\"} 5",
            "t_seconds_bucket{status=\"200\",le=\"0.001\"} 1",
            "t_seconds_bucket{status=\"200\",le=\"0.6\"} 3",
            "t_seconds_bucket{status=\"200\",le=\"10\"} 3",
            "t_seconds_bucket{status=\"200\",le=\"+Inf\"} 4",
            "t_seconds_count{status=\"200\"} 4",
            "t_seconds_sum{status=\"200\"} 20.603",
            "# TYPE g gauge",
        ] {
            assert!(page.lines().any(|line| line == expected), "{expected}\n{page}");
        }
        assert!(resident() > 100_000);
        let before = processor_seconds();
        while processor_seconds() <= before {}
    }
}
