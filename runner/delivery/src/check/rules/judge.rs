//! One comparison and one reading.

use crate::check::Baseline;
use crate::check::look::{Reading, number};
use crate::inputs::RollbackRule;
use crate::inputs::rule::{Comparison, Condition, Op, Then};
use crate::inputs::signal::Limit;

/// Whether a comparison holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Truth {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// Nobody can say, and why. `few`: there may be enough data later.
    Unknown {
        /// `no requests in 5m`
        why: String,
        /// It lacks only requests.
        few: bool,
    },
}

fn unknown(why: impl Into<String>) -> Truth {
    Truth::Unknown { why: why.into(), few: false }
}

/// Whether `comparison`, with this limit in place of its own, holds for a reading. No data is never a yes or a no.
pub fn judge(comparison: &Comparison, limit: &Limit, reading: Option<&Reading>, baseline: Option<&Baseline>) -> Truth {
    let reading = match reading {
        Some(Reading::Few { requests, needed }) => {
            return Truth::Unknown { why: format!("{requests:.0} requests, {needed} needed"), few: true };
        }
        Some(Reading::Missing(why)) => return unknown(why),
        None => return unknown("it was not measured"),
        Some(reading) => reading,
    };
    match limit {
        Limit::Baseline(factor) => match before(comparison, limit, baseline) {
            Ok(before) => against(comparison, reading, before * factor),
            Err(why) => unknown(why),
        },
        Limit::Change(share) => match (before(comparison, limit, baseline), reading) {
            (Err(why), _) => unknown(why),
            (Ok(before), Reading::Value(value)) => plain(comparison.op, ((value - before) / before).abs(), share.get()),
            (Ok(_), other) => unknown(other.text(comparison.signal.unit())),
        },
        other => against(comparison, reading, other.value()),
    }
}

/// The value before the release, where something can be compared with it.
fn before(comparison: &Comparison, limit: &Limit, baseline: Option<&Baseline>) -> Result<f64, String> {
    let baseline = baseline.ok_or_else(|| "nothing was measured before the release".to_owned())?;
    match (baseline.value(&comparison.signal)?, limit) {
        (0.0, Limit::Change(_)) => Err("it was 0 before the release: no share of it can be told".to_owned()),
        (value, _) => Ok(value),
    }
}

/// The first rule that would end a release and that nobody will be able to judge, whatever the release does: what it compares
/// with is not known. With why.
pub fn lacking<'r>(rules: &'r [RollbackRule], baseline: &Baseline) -> Option<(&'r RollbackRule, String)> {
    rules.iter().filter(|rule| rule.then != Then::Warn).find_map(|rule| {
        let Condition::Signal(comparison) = &rule.condition else { return None };
        let needs = comparison.limit.needs_baseline();
        let why = before(comparison, &comparison.limit, Some(baseline)).err().filter(|_| needs)?;
        Some((rule, why))
    })
}

fn plain(op: Op, value: f64, limit: f64) -> Truth {
    if op.holds(value, limit) { Truth::Yes } else { Truth::No }
}

fn against(comparison: &Comparison, reading: &Reading, limit: f64) -> Truth {
    match reading {
        Reading::Value(value) => plain(comparison.op, *value, limit),
        // The true value is above the bound: what is asked is known only where the limit is not above it, too.
        Reading::Beyond(bound) if *bound >= limit => {
            if comparison.op.bounds_above() {
                Truth::No
            } else {
                Truth::Yes
            }
        }
        Reading::Beyond(bound) => {
            let unit = comparison.signal.unit();
            unknown(format!("its histogram ends at {}, below the limit", number(*bound, unit)))
        }
        Reading::Few { .. } | Reading::Missing(_) => unknown("no data"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn comparison(text: &str) -> Comparison {
        match RollbackRule::parse(text, &[]).unwrap().condition {
            Condition::Signal(comparison) => comparison,
            Condition::HealthFails => panic!("a signal"),
        }
    }

    fn truth(text: &str, reading: &Reading, before: Option<f64>) -> Truth {
        let comparison = comparison(text);
        let baseline = before.map(|before| Baseline::of(&comparison.signal, before));
        judge(&comparison, &comparison.limit, Some(reading), baseline.as_ref())
    }

    #[test]
    fn just_under_and_just_over_each_limit() {
        let cases = [
            ("error-rate > 5%", 0.049, 0.051, None),
            ("error-rate > 1%", 0.009, 0.011, None),
            ("p99 > 2s", 1.9, 2.1, None),
            ("p95 > 500ms", 0.499, 0.501, None),
            ("throughput change > 10%", 109.0, 111.0, Some(100.0)),
            ("throughput change > 10%", 91.0, 89.0, Some(100.0)),
            ("p99 > 2x baseline", 0.599, 0.601, Some(0.3)),
            ("restarts > 2", 2.0, 3.0, None),
            ("memory-slope > 1MiB/min", 17476.0, 17477.0, None),
        ];
        for (rule, under, over, before) in cases {
            assert_eq!(truth(rule, &Reading::Value(under), before), Truth::No, "{rule} {under}");
            assert_eq!(truth(rule, &Reading::Value(over), before), Truth::Yes, "{rule} {over}");
        }
        assert_eq!(truth("error-rate > 5%", &Reading::Value(0.05), None), Truth::No);
        assert_eq!(truth("error-rate >= 5%", &Reading::Value(0.05), None), Truth::Yes);
    }

    #[test]
    fn a_quantile_beyond_its_histogram_decides_only_what_it_can() {
        let beyond = Reading::Beyond(10.0);
        assert_eq!(truth("p99 > 2s", &beyond, None), Truth::Yes);
        assert_eq!(truth("p99 < 2s", &beyond, None), Truth::No);
        assert!(matches!(truth("p99 > 20s", &beyond, None), Truth::Unknown { .. }));
        assert!(matches!(truth("p99 change > 10%", &beyond, Some(1.0)), Truth::Unknown { .. }));
    }

    #[test]
    fn without_a_baseline_a_comparison_with_it_is_unknown() {
        assert!(matches!(truth("p99 > 2x baseline", &Reading::Value(9.0), None), Truth::Unknown { .. }));
        assert!(matches!(truth("throughput change > 10%", &Reading::Value(9.0), Some(0.0)), Truth::Unknown { .. }));
        // Any error is more than twice none.
        assert_eq!(truth("error-rate > 2x baseline", &Reading::Value(0.01), Some(0.0)), Truth::Yes);
    }

    #[test]
    fn a_rule_that_lacks_its_baseline_is_known_before_the_release() {
        let of = |lines: &[&str], signal: &str, before: f64| {
            let rules: Vec<_> = lines.iter().map(|line| RollbackRule::parse(line, &[]).unwrap()).collect();
            let baseline = Baseline::of(&comparison(signal).signal, before);
            lacking(&rules, &baseline).map(|(rule, why)| format!("{}: {why}", rule.text))
        };
        let both = ["error-rate > 5%", "p99 > 2x baseline", "throughput change > 10%"];
        assert_eq!(of(&both, "error-rate > 0%", 0.0).unwrap(), "p99 > 2x baseline: p99 was not measured of 1.2.2");
        let zero = of(&both[2..], "throughput > 1", 0.0).unwrap();
        assert_eq!(zero, "throughput change > 10%: it was 0 before the release: no share of it can be told");
        assert_eq!(of(&both[1..2], "p99 > 1s", 0.0), None, "more than twice nothing can be told");
        assert_eq!(of(&["p99 > 2x baseline then warn", "health fails 3m"], "error-rate > 0%", 0.0), None);
    }

    proptest! {
        #[test]
        fn no_data_is_neither_yes_nor_no(requests in 0.0..100.0, before in prop::option::of(0.0..9.0_f64)) {
            for rule in ["error-rate > 0%", "throughput < 5", "p99 > 1x baseline", "throughput change > 0%"] {
                for reading in [Reading::Few { requests, needed: 100 }, Reading::Missing("away".into()), Reading::of(f64::NAN, "nan")] {
                    let unknown = matches!(truth(rule, &reading, before), Truth::Unknown { .. });
                    prop_assert!(unknown, "{rule}");
                }
            }
        }
    }
}
