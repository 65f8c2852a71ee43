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
