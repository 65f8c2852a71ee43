//! What signals are held against: the grammar is in [`signal`](super::signal).

use std::fmt;

use serde::{Deserialize, Serialize};

use super::signal::Unit;
use super::{Period, Quantity, Share};

/// What a signal is held against.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Limit {
    /// `5%`
    Share(Share),
    /// `500ms`
    Time(Period),
    /// `100`
    Number(f64),
    /// `1MiB/min`, as bytes a second.
    BytesPerSecond(f64),
    /// `2x baseline`: so many times what it was before the release.
    Baseline(f64),
    /// `change > 10%`: so far from the baseline, up or down, as a share of it.
    Change(Share),
}

impl Limit {
    /// Reads a limit in the unit of its signal.
    pub fn parse(text: &str, unit: Unit) -> Result<Self, String> {
        match unit {
            Unit::Share => {
                Share::parse(text).map(Self::Share).map_err(|error| match error.split_once(" has no unit; ") {
                    Some((_, hint)) => format!("no unit; {hint}"),
                    None => error,
                })
            }
            Unit::Seconds => Period::parse(text).map(Self::Time),
            Unit::Number => number(text).map(Self::Number),
            Unit::BytesPerSecond => bytes_per_second(text).map(Self::BytesPerSecond),
        }
    }

    /// Reads the factor of `FACTORx baseline`.
    pub fn factor(text: &str) -> Result<Self, String> {
        let factor = text.strip_suffix('x').map(number);
        match factor {
            Some(Ok(factor)) if factor > 0.0 => Ok(Self::Baseline(factor)),
            _ => Err(format!("\"{text} baseline\": write a factor as 2x baseline")),
        }
    }

    /// The limit's value in the unit of its signal: seconds, share, bytes a second, factor.
    pub fn value(&self) -> f64 {
        match self {
            Self::Share(share) | Self::Change(share) => share.get(),
            Self::Time(period) => period.as_secs_f64(),
            Self::Number(number) | Self::BytesPerSecond(number) | Self::Baseline(number) => *number,
        }
    }

    /// It needs to be known how things were before the release.
    pub const fn needs_baseline(&self) -> bool {
        matches!(self, Self::Baseline(_) | Self::Change(_))
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Share(share) | Self::Change(share) => write!(f, "{share}"),
            Self::Time(period) => write!(f, "{period}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::BytesPerSecond(bytes) => write!(f, "{bytes}B/s"),
            Self::Baseline(factor) => write!(f, "{factor}x baseline"),
        }
    }
}

fn number(text: &str) -> Result<f64, String> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    text.parse().ok().filter(|_| plain).ok_or_else(|| format!("\"{text}\" is not a number"))
}

/// `1MiB/min` as bytes a second.
fn bytes_per_second(text: &str) -> Result<f64, String> {
    let wrong = || format!("\"{text}\" is not a size per time; write 1MiB/min or 50MiB/h");
    let (size, time) = text.split_once('/').ok_or_else(wrong)?;
    let seconds = match time {
        "s" => 1.0,
        "min" | "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(wrong()),
    };
    let bytes = Quantity::parse(size).and_then(|size| size.bytes()).map_err(|_| wrong())?;
    let bytes: f64 = bytes.to_string().parse().map_err(|_| wrong())?;
    Ok(bytes / seconds)
}
