//! What was measured before a release: what a change is a change from.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::inputs::signal::Signal;

/// Values of signals before a release.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// The version measured.
    pub version: String,
    /// Its release.
    pub release: String,
    /// When.
    pub at: Timestamp,
    /// How far it reaches back, seconds.
    pub window_s: f64,
    /// Signals as rules write them, and their values: shares, seconds, plain numbers, bytes a second.
    pub values: BTreeMap<String, f64>,
    /// Signals without data, and why.
    pub missing: BTreeMap<String, String>,
}

impl Baseline {
    /// A signal's value.
    ///
    /// # Errors
    /// There is none, and why.
    pub fn value(&self, signal: &Signal) -> Result<f64, String> {
        let name = signal.to_string();
        let missing = || match self.missing.get(&name) {
            Some(why) => format!("not known for {}: {why}", self.version),
            None => format!("{name} was not measured of {}", self.version),
        };
        self.values.get(&name).copied().ok_or_else(missing)
    }

    /// Takes over what `other` knows and this one does not; why neither does stays as it is.
    pub fn fill(&mut self, other: Self) {
        for (signal, value) in other.values {
            self.missing.remove(&signal);
            self.values.entry(signal).or_insert(value);
        }
        for (signal, why) in other.missing {
            if !self.values.contains_key(&signal) {
                self.missing.entry(signal).or_insert(why);
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn of(signal: &Signal, value: f64) -> Self {
        Self {
            version: "1.2.2".to_owned(),
            release: "v1-2-2-0".to_owned(),
            at: Timestamp::UNIX_EPOCH,
            window_s: 300.0,
            values: BTreeMap::from([(signal.to_string(), value)]),
            missing: BTreeMap::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_filled_and_what_is_known_stays() {
        let signal = |name: &str| Signal::parse(name, &[]).unwrap();
        let mut known = Baseline::of(&signal("p99"), 0.3);
        known.missing.insert("error-rate".to_owned(), "50 requests, 100 needed".to_owned());
        let mut other = Baseline::of(&signal("p99"), 9.0);
        other.values.insert("error-rate".to_owned(), 0.01);
        other.missing.insert("lag".to_owned(), "no data".to_owned());
        known.fill(other);
        assert_eq!((known.value(&signal("p99")), known.value(&signal("error-rate"))), (Ok(0.3), Ok(0.01)));
        assert_eq!(known.value(&signal("lag")).unwrap_err(), "not known for 1.2.2: no data");
        assert!(!known.missing.contains_key("error-rate"));
    }
}
