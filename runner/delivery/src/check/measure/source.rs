//! Where numbers come from: one set of questions, answered by a Prometheus server or by the pods themselves.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::history::History;
use super::names::QUEUE_LABELS;
use super::query;
use super::scope::{Scope, matchers};
use crate::check::prometheus::{Point, Prometheus};
use crate::inputs::signal::SignalDefinition;

/// Labels of a signal.
pub(super) type Chosen<'a> = &'a [(String, String)];

/// The time a look covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) from: Timestamp,
    pub(super) at: Timestamp,
}

impl Window {
    /// Whole seconds, at least one: as PromQL takes them.
    pub(super) fn seconds(self) -> i64 {
        self.at.duration_since(self.from).as_secs().max(1)
    }

    /// As PromQL writes it: `300s`.
    fn text(self) -> String {
        format!("{}s", self.seconds())
    }
}

/// Whose series are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// Those that the release's pods say.
    Release,
    /// Those of the namespace, whoever says them.
    Anyone,
}

/// What answers.
pub(super) enum Source<'a> {
    Server { server: &'a Prometheus, scope: Scope, window: Window },
    Pods { history: &'a History, window: Window },
}

/// An answer, or why there is none.
pub(super) type Answer<T> = Result<T, String>;

impl Source<'_> {
    fn selector(&self, metric: &str, labels: Chosen<'_>, whose: Whose) -> String {
        let Self::Server { scope, .. } = self else { return metric.to_owned() };
        let scope = if whose == Whose::Release { &scope.release } else { &scope.namespace };
        format!("{metric}{{{}}}", matchers(scope, labels))
    }

    pub(super) fn window(&self) -> Window {
        match self {
            Self::Server { window, .. } | Self::Pods { window, .. } => *window,
        }
    }

    async fn ask(&self, query: &str) -> Answer<Vec<Point>> {
        match self {
            Self::Server { server, window, .. } => {
                server.query(query, window.at).await.map_err(|error| error.to_string())
            }
            Self::Pods { .. } => Err("a query needs a Prometheus server".to_owned()),
        }
    }

    /// The metrics that there are.
    pub(super) async fn names(&self, whose: Whose) -> Answer<BTreeSet<String>> {
        match self {
            Self::Server { server, scope, window } => {
                let scope = if whose == Whose::Release { &scope.release } else { &scope.namespace };
                // A little longer than the window: what was there a moment ago is not unknown.
                let from = window.from.checked_sub(SignedDuration::from_mins(5)).unwrap_or(window.from);
                server.names(scope, from).await.map_err(|error| error.to_string())
            }
            Self::Pods { history, .. } => Ok(history.names()),
        }
    }

    /// The names of a metric's labels.
    pub(super) async fn labels(&self, metric: &str) -> Answer<BTreeSet<String>> {
        match self {
            Self::Server { server, window, .. } => {
                let selector = self.selector(metric, &[], Whose::Release);
                let from = window.from.checked_sub(SignedDuration::from_mins(5)).unwrap_or(window.from);
                server.labels(&selector, from).await.map_err(|error| error.to_string())
            }
            Self::Pods { history, .. } => Ok(history.labels(metric)),
        }
    }

    /// The increase of a counter in the window, by the value of one label (all together where it is empty). Empty where
    /// nothing is known.
    pub(super) async fn increase(&self, metric: &str, labels: Chosen<'_>, by: &str) -> Answer<BTreeMap<String, f64>> {
        match self {
            Self::Server { window, .. } => {
                let selector = self.selector(metric, labels, Whose::Release);
                let by_text = if by.is_empty() { String::new() } else { format!(" by ({by})") };
                let each = query::increase(&selector, &window.text());
                let points = self.ask(&format!("sum{by_text} ({each})")).await?;
                Ok(points
                    .into_iter()
                    .map(|point| (point.labels.get(by).cloned().unwrap_or_default(), point.value))
                    .collect())
            }
            Self::Pods { history, window } => Ok(history.increase(metric, labels, by, window.from)),
        }
    }

    /// For how many seconds an increase really stands.
    pub(super) fn span(&self) -> f64 {
        match self {
            // A server extrapolates to the whole window.
            Self::Server { window, .. } => f64::from(i32::try_from(window.seconds()).unwrap_or(i32::MAX)),
            Self::Pods { history, window } => history.span(window.from),
        }
    }

    /// The sum of a gauge over the release's pods.
    pub(super) async fn sum(&self, metric: &str, labels: Chosen<'_>) -> Answer<f64> {
        match self {
            Self::Server { .. } => {
                let selector = self.selector(metric, labels, Whose::Release);
                one(&self.ask(&format!("sum({selector})")).await?)
            }
            Self::Pods { history, .. } => {
                let values = history.newest(metric, labels);
                if values.is_empty() { Err(none(metric)) } else { Ok(values.iter().map(|(_, value)| value).sum()) }
            }
        }
    }

    /// What waits in queues: each queue once, however many pods speak of it.
    pub(super) async fn waiting(&self, metric: &str, labels: Chosen<'_>) -> Answer<f64> {
        match self {
            Self::Server { .. } => {
                let selector = self.selector(metric, labels, Whose::Anyone);
                one(&self.ask(&query::waiting(&selector)).await?)
            }
            Self::Pods { history, .. } => {
                let values = history.newest(metric, labels).into_iter().map(|(labels, value)| (queue(&labels), value));
                sum_of_greatest(values).ok_or_else(|| none(metric))
            }
        }
    }

    /// How fast what waits in queues grows, a second.
    pub(super) async fn growth(&self, metric: &str, labels: Chosen<'_>) -> Answer<f64> {
        match self {
            Self::Server { window, .. } => {
                let selector = self.selector(metric, labels, Whose::Anyone);
                one(&self.ask(&query::growth(&selector, &window.text())).await?)
            }
            Self::Pods { history, window } => {
                let slopes = history.slopes(metric, labels, window.from, queue);
                sum_of_greatest(slopes.into_iter()).ok_or_else(|| few(metric))
            }
        }
    }

    /// How fast a gauge grows in the pod where it grows fastest, a second.
    pub(super) async fn steepest(&self, metric: &str, labels: Chosen<'_>) -> Answer<f64> {
        match self {
            Self::Server { window, scope, .. } => {
                let query = query::steepest(metric, &matchers(&scope.release, labels), &window.text());
                one(&self.ask(&query).await?)
            }
            Self::Pods { history, window } => {
                let slopes = history.slopes(metric, labels, window.from, |_| String::new());
                let steepest = slopes.into_iter().map(|(_, slope)| slope).fold(f64::NEG_INFINITY, f64::max);
                if steepest.is_finite() { Ok(steepest) } else { Err(few(metric)) }
            }
        }
    }

    /// The answer to a query of the step's own: one number.
    pub(super) async fn query(&self, definition: &SignalDefinition) -> Answer<f64> {
        let scope = match self {
            Self::Server { scope, .. } => scope.release.as_str(),
            Self::Pods { .. } => "",
        };
        one(&self.ask(&definition.within(scope)).await?)
    }
}

fn none(metric: &str) -> String {
    format!("no series of {metric}")
}

fn few(metric: &str) -> String {
    format!("{metric} was not seen often enough to tell how it grows")
}

/// The queue that a series speaks of.
fn queue(labels: &BTreeMap<String, String>) -> String {
    QUEUE_LABELS.iter().map(|name| labels.get(*name).map_or("", String::as_str)).collect::<Vec<_>>().join("\0")
}

fn sum_of_greatest(values: impl Iterator<Item = (String, f64)>) -> Option<f64> {
    let mut greatest: BTreeMap<String, f64> = BTreeMap::new();
    for (name, value) in values {
        greatest.entry(name).and_modify(|known| *known = known.max(value)).or_insert(value);
    }
    (!greatest.is_empty()).then(|| greatest.values().sum())
}

/// Exactly one number. No series, several series and NaN are no answer.
fn one(points: &[Point]) -> Answer<f64> {
    match points {
        [] => Err("no data".to_owned()),
        [point] if point.value.is_finite() => Ok(point.value),
        [point] => Err(format!("its value is {}", point.value)),
        several => Err(format!("{} series instead of one number: put them together with sum or max", several.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_number_is_an_answer() {
        let point = |value| Point { labels: BTreeMap::new(), value };
        assert_eq!(one(&[point(2.0)]), Ok(2.0));
        assert_eq!(one(&[]), Err("no data".to_owned()));
        assert_eq!(one(&[point(f64::NAN)]), Err("its value is NaN".to_owned()));
        assert!(one(&[point(1.0), point(2.0)]).unwrap_err().starts_with("2 series instead of one number"));
    }

    #[test]
    fn a_queue_counts_once() {
        let values = [("a", 3.0), ("a", 4.0), ("b", 1.0)].map(|(name, value)| (name.to_owned(), value));
        assert_eq!(sum_of_greatest(values.into_iter()), Some(5.0));
        assert_eq!(sum_of_greatest(std::iter::empty()), None);
    }
}
