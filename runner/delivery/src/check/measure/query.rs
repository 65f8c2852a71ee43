//! PromQL of the signals: what a look asks and what an alert says are one text.

use super::names::QUEUE_LABELS;

/// The increase of each series of a counter over a window (`5m`). A series that was not there when the window began, began
/// at 0: `increase` alone would not see its first value.
pub(crate) fn increase(selector: &str, window: &str) -> String {
    let grown = format!("increase({selector}[{window}])");
    let born = format!("(max_over_time({selector}[{window}]) unless {selector} offset {window})");
    // The greater of both: what grows on is seen by `increase`, too.
    format!("{grown} > {born} or {born} or {grown}")
}

/// What waits in queues: each queue once, however many pods speak of it.
pub(crate) fn waiting(selector: &str) -> String {
    format!("sum(max by ({}) ({selector}))", QUEUE_LABELS.join(","))
}

/// How fast what waits in queues grows, a second.
pub(crate) fn growth(selector: &str, window: &str) -> String {
    format!("sum(max by ({}) (deriv({selector}[{window}])))", QUEUE_LABELS.join(","))
}

/// How fast a gauge grows in the pod where it grows fastest, a second.
pub(crate) fn steepest(metric: &str, matchers: &str, window: &str) -> String {
    // cAdvisor counts the pod's whole group once more, without a container.
    let container = if metric.starts_with("container_") { ",container!=\"\"" } else { "" };
    format!("max(sum by (pod, instance) (deriv({metric}{{{matchers}{container}}}[{window}])))")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_that_begins_in_the_window_counts_from_0() {
        assert_eq!(
            increase("m{a=\"1\"}", "60s"),
            "increase(m{a=\"1\"}[60s]) > (max_over_time(m{a=\"1\"}[60s]) unless m{a=\"1\"} offset 60s) \
             or (max_over_time(m{a=\"1\"}[60s]) unless m{a=\"1\"} offset 60s) or increase(m{a=\"1\"}[60s])"
        );
    }

    #[test]
    fn a_container_counts_once() {
        assert_eq!(
            steepest("container_memory_working_set_bytes", "namespace=\"a\"", "5m"),
            "max(sum by (pod, instance) (deriv(container_memory_working_set_bytes{namespace=\"a\",container!=\"\"}[5m])))"
        );
        assert!(steepest("up", "", "5m").contains("deriv(up{}[5m])"));
    }
}
