//! What one look at a release found: a reading for each signal.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::inputs::signal::{Signal, Unit};

/// The name under which a look holds the health check: 1 is well, 0 is not.
pub const HEALTH: &str = "health";

/// What a signal showed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reading {
    /// A number in the unit of the signal; never NaN, never infinite.
    Value(f64),
    /// More than this number, nobody knows how much: a quantile beyond the last bound of its histogram.
    Beyond(f64),
    /// Fewer requests than are needed for a share or latency to mean something.
    Few {
        /// How many there were.
        requests: f64,
        /// How many are needed.
        needed: u32,
    },
    /// Nothing, and why: no series, no traffic, a server that is away.
    Missing(String),
}

impl Reading {
    /// A number, where it is one.
    pub fn of(value: f64, otherwise: &str) -> Self {
        if value.is_finite() { Self::Value(value) } else { Self::Missing(otherwise.to_owned()) }
    }

    /// The number, where there is one.
    pub const fn value(&self) -> Option<f64> {
        match self {
            Self::Value(value) | Self::Beyond(value) => Some(*value),
            Self::Few { .. } | Self::Missing(_) => None,
        }
    }

    /// As people read it, in the unit of its signal.
    pub fn text(&self, unit: Unit) -> String {
        match self {
            Self::Value(value) => number(*value, unit),
            Self::Beyond(bound) => format!("more than {}", number(*bound, unit)),
            Self::Few { requests, needed } => format!("{requests:.0} requests, {needed} needed"),
            Self::Missing(why) => why.clone(),
        }
    }
}

/// What one look found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Look {
    /// When.
    pub at: Timestamp,
    /// By the signal as rules write it, and [`HEALTH`].
    pub readings: BTreeMap<String, Reading>,
}

impl Look {
    /// What a signal showed.
    pub fn reading(&self, signal: &Signal) -> Option<&Reading> {
        self.readings.get(&signal.to_string())
    }
}

/// A value as people read it: `4.9%`, `320ms`, `12.5`.
pub fn number(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Share => format!("{}%", Short(value * 100.0)),
        Unit::Seconds if value.abs() < 1.0 => format!("{}ms", Short(value * 1000.0)),
        Unit::Seconds => format!("{}s", Short(value)),
        Unit::Number => Short(value).to_string(),
        Unit::BytesPerSecond => format!("{}MiB/min", Short(value * 60.0 / 1_048_576.0)),
    }
}

/// At most three digits that say something, and no zeros at the end.
struct Short(f64);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = match self.0.abs() {
            large if large >= 100.0 => 0,
            middle if middle >= 10.0 => 1,
            small if small >= 1.0 => 2,
            _ => 3,
        };
        let text = format!("{:.digits$}", self.0);
        let text = if digits > 0 { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
        f.write_str(if text == "-0" { "0" } else { text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_said_in_their_unit() {
        let said = [
            number(0.049, Unit::Share),
            number(0.0, Unit::Share),
            number(0.32, Unit::Seconds),
            number(2.1, Unit::Seconds),
            number(17476.27, Unit::BytesPerSecond),
            number(512.4, Unit::Number),
        ];
        assert_eq!(said, ["4.9%", "0%", "320ms", "2.1s", "1MiB/min", "512"]);
    }

    #[test]
    fn what_is_no_number_is_missing() {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(Reading::of(value, "0 of 0"), Reading::Missing("0 of 0".to_owned()));
        }
    }
}
