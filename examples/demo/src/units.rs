//! Words of the command line as quantities, and the time of day.

use std::time::Duration;

/// `500ms`, `30s`, `10m` or `24h`; a bare number is refused.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len()));
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "" => return Err(format!("`{text}` has no unit; write {text}s or {text}m")),
        _ => return Err(format!("`{text}`: the units are ms, s, m and h")),
    };
    let number: u64 = number.parse().map_err(|_| format!("`{text}` is not a duration like 500ms or 30s"))?;
    Ok(Duration::from_millis(number.saturating_mul(millis)))
}

/// A share from 0 to 1: `10%`, `0.1`, `half`, `all` or `none`.
pub(crate) fn share(text: &str) -> Result<f64, String> {
    let value = match (text, text.strip_suffix('%')) {
        ("none", _) => Some(0.0),
        ("half", _) => Some(0.5),
        ("all", _) => Some(1.0),
        (_, Some(percent)) => percent.parse::<f64>().ok().map(|percent| percent / 100.0),
        (_, None) => text.parse().ok(),
    };
    let allowed = value.filter(|share| (0.0..=1.0).contains(share));
    allowed.ok_or_else(|| format!("`{text}` is not a share like 10%, 0.1, half, all or none"))
}

/// Whether the n-th event (from 0) is one of the `share` that is meant. The events meant are spread evenly: of the
/// first n, the count is never off by one or more.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
pub(crate) fn falls(n: u64, share: f64) -> bool {
    // Shares written with a few decimals meet whole numbers; the little more keeps rounding from losing them.
    let upto = |count: u64| (count as f64 * share + 1e-9).floor();
    upto(n + 1) > upto(n)
}

/// The clock's time, RFC 3339 with milliseconds, UTC.
pub(crate) fn now() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_units() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("10m"), Ok(Duration::from_mins(10)));
        assert_eq!(duration("10").unwrap_err(), "`10` has no unit; write 10s or 10m");
        for wrong in ["", "s", "1d", "-1s", "1.5s"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn shares_fall_evenly_and_exactly() {
        for (text, of_1000) in [("10%", 100), ("half", 500), ("0.049", 49), ("5.1%", 51), ("none", 0), ("all", 1000)] {
            let share = share(text).unwrap();
            assert_eq!((0..1000).filter(|n| falls(*n, share)).count(), of_1000, "{text}");
        }
        for wrong in ["101%", "-1", "two", "NaN"] {
            assert!(share(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_time_has_milliseconds() {
        let now = now();
        assert_eq!((now.len(), now.as_bytes()[19], now.ends_with('Z')), (24, b'.', true), "{now}");
    }
}
