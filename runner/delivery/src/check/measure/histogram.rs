//! Quantiles of a histogram as Prometheus has them: linear between two bounds.

use std::collections::BTreeMap;

use crate::check::look::Reading;

/// Bounds with how many observations are at or below each, by bound.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Histogram(Vec<(f64, f64)>);

impl Histogram {
    /// From buckets by their `le`. None where there is no `+Inf`, or a bound that is no number.
    pub(crate) fn of(buckets: &BTreeMap<String, f64>) -> Option<Self> {
        let mut bounds = Vec::new();
        for (le, count) in buckets {
            let bound = match le.as_str() {
                "+Inf" | "Inf" | "inf" => f64::INFINITY,
                text => text.parse().ok().filter(|bound: &f64| bound.is_finite())?,
            };
            bounds.push((bound, *count));
        }
        bounds.sort_by(|a, b| a.0.total_cmp(&b.0));
        bounds.last().filter(|(bound, _)| bound.is_infinite())?;
        // Rates of single buckets may disagree by rounding: counts never fall.
        let mut most = 0.0_f64;
        for (_, count) in &mut bounds {
            most = most.max(*count);
            *count = most;
        }
        Some(Self(bounds))
    }

    /// How many observations.
    pub(crate) fn total(&self) -> f64 {
        self.0.last().map_or(0.0, |(_, count)| *count)
    }

    /// The value that a share of the observations is at or below.
    pub(crate) fn quantile(&self, share: f64) -> Reading {
        let total = self.total();
        if total <= 0.0 {
            return Reading::Missing("no requests".to_owned());
        }
        let rank = share * total;
        let place = self.0.iter().position(|(_, count)| *count >= rank).unwrap_or(self.0.len() - 1);
        let (upper, count) = self.0[place];
        let (lower, below) = place.checked_sub(1).map_or((0.0, 0.0), |before| self.0[before]);
        if upper.is_infinite() {
            return match place {
                0 => Reading::Missing("its histogram has no bounds".to_owned()),
                _ => Reading::Beyond(lower),
            };
        }
        if place == 0 && upper <= 0.0 {
            return Reading::Value(upper);
        }
        let inside = count - below;
        let part = if inside > 0.0 { (rank - below) / inside } else { 1.0 };
        Reading::of(lower + (upper - lower) * part, "no requests")
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::float_cmp, reason = "whole numbers are exact")]
    use proptest::prelude::*;

    use super::*;

    fn histogram(buckets: &[(&str, f64)]) -> Histogram {
        Histogram::of(&buckets.iter().map(|(le, count)| ((*le).to_owned(), *count)).collect()).unwrap()
    }

    #[test]
    fn quantiles_lie_between_the_bounds() {
        let histogram = histogram(&[("0.1", 50.0), ("0.5", 90.0), ("1.0", 100.0), ("+Inf", 100.0)]);
        assert_eq!(histogram.quantile(0.5), Reading::Value(0.1));
        assert_eq!(histogram.quantile(0.9), Reading::Value(0.5));
        assert_eq!(histogram.quantile(0.95), Reading::Value(0.75));
        assert_eq!(histogram.total(), 100.0);
    }

    #[test]
    fn beyond_the_last_bound_nobody_knows() {
        let slow = histogram(&[("1", 10.0), ("10", 50.0), ("+Inf", 100.0)]);
        assert_eq!(slow.quantile(0.99), Reading::Beyond(10.0));
        assert!(matches!(histogram(&[("+Inf", 4.0)]).quantile(0.5), Reading::Missing(_)));
        assert!(matches!(histogram(&[("1", 0.0), ("+Inf", 0.0)]).quantile(0.5), Reading::Missing(_)));
        assert_eq!(Histogram::of(&[("1".to_owned(), 1.0)].into()), None);
    }

    proptest! {
        #[test]
        fn a_greater_share_is_never_a_smaller_quantile(counts in prop::collection::vec(0_u32..1000, 2..8), a in 0.01..1.0, b in 0.01..1.0) {
            let mut sum = 0.0;
            let buckets = counts.iter().enumerate().map(|(place, count)| {
                sum += f64::from(*count);
                let le = if place + 1 == counts.len() { "+Inf".to_owned() } else { (place + 1).to_string() };
                (le, sum)
            }).collect();
            let histogram = Histogram::of(&buckets).unwrap();
            let (low, high) = if a < b { (a, b) } else { (b, a) };
            if let (Some(low), Some(high)) = (histogram.quantile(low).value(), histogram.quantile(high).value()) {
                prop_assert!(low <= high + 1e-9, "{low} {high}");
            }
        }
    }
}
