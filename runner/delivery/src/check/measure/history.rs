//! Pages of pods over time: increases of counters and slopes of gauges between looks, where there is no Prometheus.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::Timestamp;

use super::page::{Page, Sample};

/// The pages of every pod, by the pod's UID, oldest first.
#[derive(Debug, Default)]
pub(crate) struct History {
    pages: BTreeMap<String, VecDeque<(Timestamp, Page)>>,
}

/// Values of one series over time.
type Series = Vec<(Timestamp, f64)>;

impl History {
    /// Takes in a page and forgets what is older than `from`, but for the last page before it: rates start there.
    pub(crate) fn add(&mut self, pod: &str, at: Timestamp, page: Page, from: Timestamp) {
        let pages = self.pages.entry(pod.to_owned()).or_default();
        pages.push_back((at, page));
        while pages.get(1).is_some_and(|(next, _)| *next <= from) {
            pages.pop_front();
        }
    }

    /// The metrics on any page.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        self.last().flat_map(Page::names).collect()
    }

    /// The names of a metric's labels.
    pub(crate) fn labels(&self, metric: &str) -> BTreeSet<String> {
        let samples = self.last().flat_map(|page| page.samples(metric));
        samples.flat_map(|sample| sample.labels.keys().cloned()).collect()
    }

    /// What pages say a metric is.
    pub(crate) fn kind(&self, metric: &str) -> Option<String> {
        self.last().find_map(|page| page.kind(metric)).map(str::to_owned)
    }

    /// The pages of the newest look: a pod that is gone says nothing any more.
    fn last(&self) -> impl Iterator<Item = &Page> {
        let newest = self.pages.values().filter_map(|pages| pages.back()).map(|(at, _)| *at).max();
        let last = self.pages.values().filter_map(|pages| pages.back());
        last.filter(move |(at, _)| Some(*at) == newest).map(|(_, page)| page)
    }

    /// The increase of a counter since `from`, summed over pods, by the value of one label (all together where it is
    /// empty). A series that was not on a pod's page before began at 0; a value that fell began anew at 0. Empty where no
    /// pod was seen twice.
    pub(crate) fn increase(
        &self,
        metric: &str,
        labels: &[(String, String)],
        by: &str,
        from: Timestamp,
    ) -> BTreeMap<String, f64> {
        let mut sums = BTreeMap::new();
        for pages in self.pages.values() {
            let pages: Vec<&(Timestamp, Page)> = since(pages, from).collect();
            for pair in pages.windows(2) {
                let before: BTreeMap<_, f64> = chosen(&pair[0].1, metric, labels).collect();
                for (series, value) in chosen(&pair[1].1, metric, labels) {
                    let old = before.get(series).copied().unwrap_or(0.0);
                    let grown = if value >= old { value - old } else { value };
                    let group = series.get(by).cloned().unwrap_or_default();
                    *sums.entry(group).or_insert(0.0) += grown;
                }
            }
        }
        sums
    }

    /// Seconds between the first and the last page that an increase is made of; 0 where there are no two.
    pub(crate) fn span(&self, from: Timestamp) -> f64 {
        let spans = self.pages.values().filter_map(|pages| {
            let mut times = since(pages, from).map(|(at, _)| *at);
            let first = times.next()?;
            Some(times.last()?.duration_since(first).as_secs_f64())
        });
        spans.fold(0.0, f64::max)
    }

    /// The newest value of a gauge by series, pod by pod; the labels are those of the page.
    pub(crate) fn newest(&self, metric: &str, labels: &[(String, String)]) -> Vec<(BTreeMap<String, String>, f64)> {
        let chosen = self.last().flat_map(|page| chosen(page, metric, labels));
        chosen.map(|(labels, value)| (labels.clone(), value)).collect()
    }

    /// How fast a gauge grows, a second, for each pod and group of series; series are summed within `group`.
    pub(crate) fn slopes(
        &self,
        metric: &str,
        labels: &[(String, String)],
        from: Timestamp,
        group: impl Fn(&BTreeMap<String, String>) -> String,
    ) -> Vec<(String, f64)> {
        let mut slopes = Vec::new();
        for pages in self.pages.values() {
            let mut groups: BTreeMap<String, Series> = BTreeMap::new();
            for (at, page) in since(pages, from) {
                let mut sums: BTreeMap<String, f64> = BTreeMap::new();
                for (series, value) in chosen(page, metric, labels) {
                    *sums.entry(group(series)).or_default() += value;
                }
                for (name, sum) in sums {
                    groups.entry(name).or_default().push((*at, sum));
                }
            }
            slopes.extend(groups.into_iter().filter_map(|(name, series)| Some((name, slope(&series)?))));
        }
        slopes
    }
}

/// The pages since `from`, and the last one before it where there is none at that very time: rates start there.
fn since(pages: &VecDeque<(Timestamp, Page)>, from: Timestamp) -> impl Iterator<Item = &(Timestamp, Page)> {
    let later = pages.iter().position(|(at, _)| *at > from).unwrap_or(pages.len());
    pages.iter().skip(later.saturating_sub(1))
}

/// The series of a metric that have these labels and a number.
fn chosen<'p>(
    page: &'p Page,
    metric: &str,
    labels: &[(String, String)],
) -> impl Iterator<Item = (&'p BTreeMap<String, String>, f64)> {
    let fits = |sample: &&Sample| {
        !sample.value.is_nan() && labels.iter().all(|(name, value)| sample.labels.get(name) == Some(value))
    };
    page.samples(metric)
        .iter()
        .filter(fits)
        .map(|sample| (&sample.labels, sample.value))
        .collect::<Vec<_>>()
        .into_iter()
}

/// The slope of the line nearest to the points (least squares), a second. None of fewer than three points.
pub(crate) fn slope(points: &[(Timestamp, f64)]) -> Option<f64> {
    let (first, _) = points.first()?;
    if points.len() < 3 {
        return None;
    }
    let points: Vec<(f64, f64)> =
        points.iter().map(|(at, value)| (at.duration_since(*first).as_secs_f64(), *value)).collect();
    let count = f64::from(u32::try_from(points.len()).ok()?);
    let mean_x = points.iter().map(|(x, _)| x).sum::<f64>() / count;
    let mean_y = points.iter().map(|(_, y)| y).sum::<f64>() / count;
    let spread: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    let joint: f64 = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    Some(joint / spread).filter(|slope| slope.is_finite())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::float_cmp, reason = "whole numbers are exact")]
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1000 + second).unwrap()
    }

    fn history(pages: &[(&str, i64, &str)]) -> History {
        let mut history = History::default();
        for (pod, second, text) in pages {
            history.add(pod, at(*second), Page::parse(text, |_| true).unwrap(), at(0));
        }
        history
    }

    #[test]
    fn an_increase_survives_restarts_and_new_series() {
        let history = history(&[
            ("a", 0, "r{s=\"200\"} 100"),
            ("a", 10, "r{s=\"200\"} 150\nr{s=\"500\"} 4"),
            ("a", 20, "r{s=\"200\"} 7\nr{s=\"500\"} 5"),
            ("b", 10, "r{s=\"200\"} 1000"),
            ("b", 20, "r{s=\"200\"} 1001"),
        ]);
        let by_status = history.increase("r", &[], "s", at(0));
        assert_eq!(by_status["200"], 50.0 + 7.0 + 1.0);
        assert_eq!(by_status["500"], 4.0 + 1.0);
        assert_eq!(history.increase("r", &[], "", at(0))[""], 63.0);
        let only = [("s".to_owned(), "500".to_owned())];
        assert_eq!(history.increase("r", &only, "", at(0))[""], 5.0);
        assert_eq!(history.increase("r", &[], "", at(10))[""], 9.0);
        assert_eq!(history.span(at(0)), 20.0);
    }

    #[test]
    fn a_gauge_of_a_pod_that_is_gone_does_not_count() {
        let history = history(&[("a", 0, "depth 7"), ("b", 0, "depth 1"), ("b", 10, "depth 2")]);
        assert_eq!(history.newest("depth", &[]), [(BTreeMap::new(), 2.0)]);
    }

    #[test]
    fn one_page_is_no_increase() {
        let history = history(&[("a", 0, "r 100")]);
        assert!(history.increase("r", &[], "", at(0)).is_empty());
        assert_eq!(history.span(at(0)), 0.0);
    }

    #[test]
    fn slopes_are_those_of_each_pod() {
        let history = history(&[
            ("a", 0, "m{x=\"1\"} 10\nm{x=\"2\"} 0"),
            ("a", 10, "m{x=\"1\"} 20\nm{x=\"2\"} 0"),
            ("a", 20, "m{x=\"1\"} 30\nm{x=\"2\"} 5"),
            ("b", 0, "m 5"),
            ("b", 10, "m 5"),
        ]);
        let slopes = history.slopes("m", &[], at(0), |_| String::new());
        assert_eq!(slopes.len(), 1, "b has only two points");
        assert!((slopes[0].1 - 1.25).abs() < 1e-9, "{slopes:?}");
    }

    #[test]
    fn what_is_old_is_forgotten_but_where_rates_start() {
        let mut history = history(&[("a", 0, "r 1"), ("a", 10, "r 2"), ("a", 20, "r 3")]);
        history.add("a", at(30), Page::parse("r 4", |_| true).unwrap(), at(15));
        assert_eq!(history.pages["a"].len(), 3);
        assert_eq!(history.pages["a"][0].0, at(10));
    }
}
