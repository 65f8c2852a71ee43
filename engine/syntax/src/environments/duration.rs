//! Durations as people write them: `72h`, `30m`, `1d12h`.

/// Longest duration, in seconds: a year.
const MAX_SECONDS: u64 = 365 * 24 * 60 * 60;

/// Seconds of a duration; an error says what is wrong. Units are `s`, `m`, `h` and `d`, larger before smaller.
pub(super) fn parse(text: &str) -> Result<u64, String> {
    let mut total: u64 = 0;
    let mut largest = u64::MAX;
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err("a duration is missing".to_owned());
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest[..digits].parse().map_err(|_| format!("`{text}` is no duration"))?;
        let unit = rest[digits..].chars().next();
        let seconds = match unit {
            Some('s') => 1,
            Some('m') => 60,
            Some('h') => 60 * 60,
            Some('d') => 24 * 60 * 60,
            None => return Err(format!("`{text}` has no unit")),
            Some(other) => return Err(format!("`{text}` has the unknown unit `{other}`")),
        };
        if seconds >= largest {
            return Err(format!("`{text}` has its units out of order"));
        }
        largest = seconds;
        total = number.checked_mul(seconds).and_then(|part| total.checked_add(part)).unwrap_or(u64::MAX);
        rest = rest[digits + 1..].trim_start();
    }
    match total {
        0 => Err(format!("`{text}` is no time at all")),
        _ if total > MAX_SECONDS => Err(format!("`{text}` is longer than a year")),
        _ => Ok(total),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_add_up() {
        assert_eq!(parse("72h"), Ok(259_200));
        assert_eq!(parse("1d12h"), Ok(129_600));
        assert_eq!(parse("1h 30m"), Ok(5_400));
        assert_eq!(parse("2s"), Ok(2));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "72", "h", "0h", "1w", "1m1h", "1h1h", "-1h", "1.5h", "99999999999999999999h", "400d", "1é"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
