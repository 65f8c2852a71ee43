//! Durations as people write them.

use std::fmt;
use std::ops::Deref;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A duration: `500ms`, `30s`, `10m`, `24h`, `7d`, whole numbers only, several together as `1h30m`; at most ten years.
///
/// ```
/// # use tagline_delivery::inputs::Period;
/// assert_eq!(Period::parse("1h30m").unwrap().as_secs(), 5400);
/// assert_eq!(Period::parse("90m").unwrap().to_string(), "1h30m");
/// assert_eq!(Period::parse("10").unwrap_err(), "\"10\" has no unit; write 10s or 10m");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Period(Duration);

/// Units with their milliseconds, greatest first.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// Ten years of 365 days.
const MOST: u64 = 3650 * 86_400_000;

impl Period {
    /// So many seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// Reads a duration.
    pub fn parse(text: &str) -> Result<Self, String> {
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            if text.trim_start_matches('0').is_empty() {
                return Ok(Self::default());
            }
            return Err(format!("\"{text}\" has no unit; write {text}s or {text}m"));
        }
        let wrong = || format!("\"{text}\" is not a duration; write 500ms, 30s, 10m, 24h or 7d");
        let mut total = 0_u64;
        let mut rest = text;
        let mut smallest = u64::MAX;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
            let tail = &rest[digits..];
            let letters = tail.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(tail.len());
            let (_, size) = UNITS.into_iter().find(|(unit, _)| *unit == &tail[..letters]).ok_or_else(wrong)?;
            if size >= smallest {
                return Err(wrong());
            }
            smallest = size;
            total = number.checked_mul(size).and_then(|part| total.checked_add(part)).ok_or_else(wrong)?;
            rest = &tail[letters..];
        }
        if text.is_empty() {
            return Err(wrong());
        }
        if total > MOST {
            return Err(format!("\"{text}\" is longer than ten years"));
        }
        Ok(Self(Duration::from_millis(total)))
    }
}

impl Deref for Period {
    type Target = Duration;

    fn deref(&self) -> &Duration {
        &self.0
    }
}

impl From<Period> for Duration {
    fn from(period: Period) -> Self {
        period.0
    }
}

impl From<Duration> for Period {
    /// What is finer than a millisecond is dropped.
    fn from(duration: Duration) -> Self {
        Self(Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }
}

impl TryFrom<String> for Period {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl From<Period> for String {
    fn from(period: Period) -> Self {
        period.to_string()
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if rest == 0 {
            return f.write_str("0s");
        }
        for (unit, size) in UNITS {
            // 24h is how people say it; days only where they come out even and more than one.
            if unit == "d" && (!rest.is_multiple_of(size) || rest == size) {
                continue;
            }
            if rest >= size {
                write!(f, "{}{unit}", rest / size)?;
                rest %= size;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn wrong_ones_say_what_is_allowed() {
        for text in ["", "m", "5 m", "-5m", "1.5h", "5min", "5M", "1m1h", "1m1m", "99999999999999999999s"] {
            let expected = format!("\"{text}\" is not a duration; write 500ms, 30s, 10m, 24h or 7d");
            assert_eq!(Period::parse(text).unwrap_err(), expected);
        }
        assert_eq!(Period::parse("4000d").unwrap_err(), "\"4000d\" is longer than ten years");
        assert_eq!(Period::parse("0").unwrap(), Period::default());
    }

    #[test]
    fn they_are_said_as_people_write_them() {
        for text in ["0s", "500ms", "30s", "10m", "24h", "48h", "7d", "1h30m", "25h10m", "1m500ms"] {
            let said = Period::parse(text).unwrap().to_string();
            assert_eq!(said, if text == "48h" { "2d" } else { text });
        }
    }

    proptest! {
        #[test]
        fn what_is_said_is_read_back(milliseconds in 0..MOST) {
            let period = Period::from(Duration::from_millis(milliseconds));
            prop_assert_eq!(Period::parse(&period.to_string()), Ok(period));
        }

        #[test]
        fn nothing_panics(text in ".{0,20}") {
            let _ = Period::parse(&text);
        }
    }
}
