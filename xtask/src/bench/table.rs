//! The table of the bench, in Markdown.

use std::fmt::Write as _;
use std::time::Duration;

/// Rows in the order they were measured.
#[derive(Default)]
pub(super) struct Table {
    text: String,
    failed: bool,
}

impl Table {
    /// Ours beside a peer's, and the largest ratio that holds.
    pub(super) fn compare(&mut self, name: &str, ours: Duration, peer: (&str, Duration), limit: f64) {
        let ratio = ours.as_secs_f64() / peer.1.as_secs_f64().max(f64::EPSILON);
        let beside = format!("{}: {}", peer.0, duration(peer.1));
        self.row(name, &duration(ours), &beside, &format!("{ratio:.2}"), &format!("≤ {limit}"), ratio <= limit);
    }

    /// A value and whether it is within its limit.
    pub(super) fn absolute(&mut self, name: &str, ours: &str, limit: &str, holds: bool) {
        self.row(name, ours, "", "", &format!("≤ {limit}"), holds);
    }

    /// A row that could not be measured.
    pub(super) fn missing(&mut self, name: &str, why: &str) {
        self.row(name, &format!("not measured: {why}"), "", "", "", false);
    }

    fn row(&mut self, name: &str, ours: &str, peer: &str, ratio: &str, target: &str, holds: bool) {
        self.failed |= !holds;
        let word = if holds { "yes" } else { "**no**" };
        let _ = writeln!(self.text, "| {name} | {ours} | {peer} | {ratio} | {target} | {word} |");
    }

    /// Whether every row holds.
    pub(super) fn holds(&self) -> bool {
        !self.failed
    }

    /// The table with its head.
    pub(super) fn render(&self) -> String {
        format!("| row | ours | peer | ratio | target | holds |\n|---|--:|--:|--:|--:|---|\n{}", self.text)
    }
}

/// `0.54 ms`, `87 ms`, `3.20 s`.
pub(super) fn duration(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    match seconds {
        long if long >= 1.0 => format!("{long:.2} s"),
        short if short >= 0.01 => format!("{:.0} ms", short * 1e3),
        shorter => format!("{:.2} ms", shorter * 1e3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_above_its_limit_does_not_hold() {
        let mut table = Table::default();
        table.compare("one job", Duration::from_millis(300), ("docker run", Duration::from_millis(300)), 1.1);
        assert!(table.holds());
        table.compare("steps", Duration::from_secs(2), ("act", Duration::from_secs(1)), 0.5);
        assert!(!table.holds());
        assert!(table.render().contains("| steps | 2.00 s | act: 1.00 s | 2.00 | ≤ 0.5 | **no** |"));
    }
}
