//! One look against a list of checks.

use crate::check::Baseline;
use crate::check::look::{Look, number};
use crate::check::rules::{Truth, judge};
use crate::inputs::analyse::AnalyseCheck;
use crate::inputs::rule::{Comparison, Op};

use super::report::{Mark, Row};

/// What a look says of a check: a row for the table, with its mark.
pub(super) fn row(check: &AnalyseCheck, look: &Look, baseline: Option<&Baseline>) -> Row {
    let (signal, unit) = (&check.holds.signal, check.holds.signal.unit());
    let reading = look.reading(signal);
    let holds = judge(&check.holds, &check.holds.limit, reading, baseline);
    // A warning limit that does not hold, too, is one.
    let warned = check.warn.as_ref().map(|warn| judge(&check.holds, warn, reading, baseline));
    let (mark, why) = match (holds, warned) {
        (Truth::Unknown { why, few }, _) => (Mark::Inconclusive { few }, why),
        (Truth::No, _) => (Mark::Failed, format!("must be {}", must(&check.holds))),
        (Truth::Yes, Some(Truth::No)) => (Mark::Warned, format!("warns at {}", warn_text(check))),
        (Truth::Yes, _) => (Mark::Passed, String::new()),
    };
    let before = baseline.map(|baseline| baseline.value(signal));
    Row {
        check: check.text.clone(),
        signal: signal.to_string(),
        before: before.map_or_else(String::new, |before| before.map_or_else(|_| "-".to_owned(), |v| number(v, unit))),
        after: reading.map(|reading| reading.text(unit)).unwrap_or_default(),
        value: reading.and_then(crate::check::Reading::value),
        mark,
        why,
    }
}

fn must(comparison: &Comparison) -> String {
    let text = comparison.to_string();
    text.split_once(' ').map_or(text.clone(), |(_, rest)| rest.to_owned())
}

fn warn_text(check: &AnalyseCheck) -> String {
    let limit = check.warn.as_ref().map(ToString::to_string).unwrap_or_default();
    let op = match check.holds.op {
        Op::Below | Op::AtMost => "above",
        Op::Above | Op::AtLeast => "below",
    };
    format!("{op} {limit}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::Timestamp;

    use super::*;
    use crate::check::Reading;

    fn mark(check: &str, value: f64, before: f64) -> Mark {
        let check = AnalyseCheck::parse(check, &[]).unwrap();
        let readings = BTreeMap::from([(check.holds.signal.to_string(), Reading::Value(value))]);
        let look = Look { at: Timestamp::UNIX_EPOCH, readings };
        row(&check, &look, Some(&Baseline::of(&check.holds.signal, before))).mark
    }

    #[test]
    fn just_under_and_just_over() {
        for (check, before, good, bad) in [
            ("error-rate < 1%", 0.0, 0.009, 0.011),
            ("p99 < 2s", 0.3, 1.9, 2.1),
            ("throughput change <= 10%", 100.0, 91.0, 89.0),
            ("throughput change <= 10%", 100.0, 109.0, 111.0),
        ] {
            assert_eq!(mark(check, good, before), Mark::Passed, "{check}");
            assert_eq!(mark(check, bad, before), Mark::Failed, "{check}");
        }
    }

    #[test]
    fn between_the_two_levels_is_a_warning() {
        let check = "error-rate < 5% warn 1%";
        let marks = [0.005, 0.03, 0.06].map(|value| mark(check, value, 0.0));
        assert_eq!(marks, [Mark::Passed, Mark::Warned, Mark::Failed]);
    }
}
