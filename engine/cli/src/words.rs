//! Times, durations, sizes, numbers and digests as people read them, and text from outside made harmless.

use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A time in the reader's zone: `14:23` today, else `2026-11-19 14:23`.
pub(crate) fn time(at: Timestamp, now: Timestamp, zone: &TimeZone) -> String {
    let (at, now) = (at.to_zoned(zone.clone()), now.to_zoned(zone.clone()));
    let format = if at.date() == now.date() { "%H:%M" } else { "%Y-%m-%d %H:%M" };
    at.strftime(format).to_string()
}

/// A time for machines: RFC 3339 in UTC with milliseconds.
pub(crate) fn stamp(milliseconds: i64) -> String {
    let at = Timestamp::from_millisecond(milliseconds).unwrap_or_default();
    at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// How long something took: `87ms`, `3.2s`, `1m 48s`, `2h 05m`, `3d 4h`.
pub(crate) fn duration(milliseconds: i64) -> String {
    let ms = milliseconds.max(0);
    let seconds = ms / 1000;
    match ms {
        0..1_000 => format!("{ms}ms"),
        1_000..59_950 => format!("{:.1}s", f64::from(i32::try_from(ms).unwrap_or(i32::MAX)) / 1000.0),
        59_950..60_000 => "1m 00s".to_owned(),
        60_000..3_600_000 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        3_600_000..86_400_000 => format!("{}h {:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// How long it is from one time to another.
pub(crate) fn between(from: Timestamp, to: Timestamp) -> String {
    duration(to.as_millisecond() - from.as_millisecond())
}

/// A number with commas: `10,482`.
pub(crate) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes: `512 B`, `1.4 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 3] = ["KiB", "MiB", "GiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// `1 object`, `2 objects`, `0 objects`.
pub(crate) fn count(n: usize, what: &str) -> String {
    format!("{} {what}{}", number(n as u64), if n == 1 { "" } else { "s" })
}

/// The first 12 digits of a digest, without its algorithm.
pub(crate) fn short_digest(digest: &str) -> &str {
    let hex = digest.strip_prefix("sha256:").unwrap_or(digest);
    hex.get(..12).unwrap_or(hex)
}

/// The first 7 digits of a commit.
pub(crate) fn short_commit(commit: &str) -> &str {
    commit.get(..7).unwrap_or(commit)
}

/// A name as `run` prints a release: `v1.2.3`, else the branch, else the ref.
pub(crate) fn reference(reference: &str) -> String {
    let name = reference.strip_prefix("refs/tags/").or_else(|| reference.strip_prefix("refs/heads/"));
    plain(name.unwrap_or(reference))
}

/// Text from outside on one line: control characters, escape sequences and line breaks go, characters that turn the
/// direction of writing are shown by their number.
pub(crate) fn plain(text: &str) -> String {
    clean(text, false)
}

/// A line of a log: as [`plain`], but tabs stay, and colours where they are welcome.
pub(crate) fn log_line(text: &str, colour: bool) -> String {
    let mut cleaned = clean_with(text, |c| c == '\t', colour);
    if colour && cleaned.contains('\u{1b}') {
        cleaned.push_str("\u{1b}[0m");
    }
    cleaned
}

fn clean(text: &str, colour: bool) -> String {
    clean_with(text, |_| false, colour)
}

fn clean_with(text: &str, keep: impl Fn(char) -> bool, colour: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if c == '\u{1b}' || c == '\u{9b}' {
            let (length, is_sgr) = escape(rest);
            if is_sgr && colour {
                out.push_str(&rest[..length]);
            }
            rest = &rest[length..];
            continue;
        }
        match c {
            '\n' | '\r' | '\t' if !keep(c) => out.push(' '),
            c if c.is_control() && !keep(c) => {}
            c if turns_direction(c) => {
                // Writing to a String does not fail.
                let _ = write!(out, "‹U+{:04X}›", u32::from(c));
            }
            c => out.push(c),
        }
        rest = &rest[c.len_utf8()..];
    }
    out
}

/// The length in bytes of the escape sequence at the start, and whether it only sets colours (SGR).
fn escape(text: &str) -> (usize, bool) {
    let two_bytes = text.starts_with('\u{1b}');
    let head = if two_bytes { 1 } else { '\u{9b}'.len_utf8() };
    let Some(kind) = text[head..].chars().next() else { return (text.len(), false) };
    if !two_bytes || kind == '[' {
        let from = if two_bytes { 2 } else { head };
        let end = text[from..].find(|c: char| ('\u{40}'..='\u{7e}').contains(&c));
        let Some(end) = end else { return (text.len(), false) };
        let parameters = &text[from..from + end];
        let is_sgr = two_bytes
            && text.as_bytes()[from + end] == b'm'
            && parameters.bytes().all(|b| b.is_ascii_digit() || b == b';' || b == b':');
        return (from + end + 1, is_sgr);
    }
    if matches!(kind, ']' | 'P' | 'X' | '^' | '_') {
        // A string for the terminal: to BEL or ST, or the end.
        let bell = text.find('\u{7}').map(|at| at + 1);
        let st = text[2..].find("\u{1b}\\").map(|at| at + 4);
        return ([bell, st].into_iter().flatten().min().unwrap_or(text.len()), false);
    }
    (head + kind.len_utf8(), false)
}

/// It neither moves a cursor nor turns the direction of writing.
pub(crate) fn is_harmless(c: char) -> bool {
    !c.is_control() && !turns_direction(c)
}

/// Bidirectional controls, and characters that show nothing and hide what stands there.
fn turns_direction(c: char) -> bool {
    matches!(
        c,
        '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_two_units_at_most() {
        let cases = [
            (87, "87ms"),
            (3_200, "3.2s"),
            (59_960, "1m 00s"),
            (108_400, "1m 48s"),
            (185_000, "3m 05s"),
            (7_500_000, "2h 05m"),
            (273_600_000, "3d 4h"),
            (-5, "0ms"),
        ];
        for (ms, text) in cases {
            assert_eq!(duration(ms), text);
        }
    }

    #[test]
    fn times_are_short_today() {
        let zone = TimeZone::UTC;
        let at = "2026-11-19T14:23:05Z".parse().unwrap();
        assert_eq!(time(at, "2026-11-19T23:00:00Z".parse().unwrap(), &zone), "14:23");
        assert_eq!(time(at, "2026-11-20T00:00:00Z".parse().unwrap(), &zone), "2026-11-19 14:23");
    }

    #[test]
    fn stamps_have_milliseconds() {
        assert_eq!(stamp(1_795_098_185_007), "2026-11-19T14:23:05.007Z");
    }

    #[test]
    fn numbers_and_sizes() {
        assert_eq!((number(10_482), number(7), number(1_000_000)), ("10,482".into(), "7".into(), "1,000,000".into()));
        assert_eq!((size(0), size(1536), size(1_048_575)), ("0 B".into(), "1.5 KiB".into(), "1.0 MiB".into()));
        assert_eq!((count(0, "object"), count(1, "object")), ("0 objects".into(), "1 object".into()));
        assert_eq!(short_digest("sha256:9b1f4e02c7d8aabb"), "9b1f4e02c7d8");
    }

    #[test]
    fn hostile_text_does_nothing() {
        assert_eq!(plain("a\u{1b}]0;title\u{7}b\u{1b}[2Jc\u{1b}[31md\r\ne\u{0}f"), "abcd  ef");
        assert_eq!(plain("v1\u{202e}3.2"), "v1‹U+202E›3.2");
        assert_eq!(plain("x\u{9b}31my\u{1b}"), "xy");
        assert_eq!(plain("x\u{1b}Pq1\u{1b}\\y\u{1b}]8;;http://e\u{1b}\\z"), "xyz");
        assert_eq!(plain("x\u{1b}]never ends"), "x");
    }

    #[test]
    fn logs_keep_colours_only_where_they_are_welcome() {
        assert_eq!(log_line("\ta\u{1b}[1;31mb\u{1b}[2Kc", true), "\ta\u{1b}[1;31mbc\u{1b}[0m");
        assert_eq!(log_line("\ta\u{1b}[1;31mb", false), "\tab");
    }
}
