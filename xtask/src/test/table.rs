//! The summary: a row a suite, the skips with their reasons, and a closing line of totals.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

/// One row.
pub(super) struct Suite {
    /// Its name.
    pub(super) name: String,
    /// Cases that passed.
    pub(super) passed: usize,
    /// Cases that failed.
    pub(super) failed: usize,
    /// Cases marked `#[ignore]`.
    pub(super) ignored: usize,
    /// What it took.
    pub(super) time: Duration,
}

impl Suite {
    /// A check that holds or does not.
    pub(super) fn check(name: &str, holds: bool, time: Duration) -> Self {
        let (passed, failed) = if holds { (1, 0) } else { (0, 1) };
        Self { name: name.to_owned(), passed, failed, ignored: 0, time }
    }
}

/// A case that was not run.
struct Skip {
    suite: String,
    what: String,
    reason: String,
}

/// All rows and skips of one run.
#[derive(Default)]
pub(super) struct Table {
    suites: Vec<Suite>,
    skips: Vec<Skip>,
    failures: Vec<String>,
    again: Vec<String>,
}

impl Table {
    /// Adds a row; rows of one name are one row.
    pub(super) fn push(&mut self, suite: Suite) {
        if let Some(known) = self.suites.iter_mut().find(|known| known.name == suite.name) {
            known.passed += suite.passed;
            known.failed += suite.failed;
            known.ignored += suite.ignored;
            known.time += suite.time;
        } else {
            self.suites.push(suite);
        }
    }

    /// Adds the rows of another table.
    pub(super) fn add(&mut self, other: Self) {
        other.suites.into_iter().for_each(|suite| self.push(suite));
    }

    /// Notes what was not run, and why.
    pub(super) fn skip(&mut self, suite: &str, what: &str, reason: &str) {
        self.skips.push(Skip { suite: suite.to_owned(), what: what.to_owned(), reason: reason.to_owned() });
    }

    /// Notes the name of a failed test.
    pub(super) fn fail(&mut self, suite: &str, name: &str) {
        self.failures.push(format!("{suite} {name}"));
    }

    /// A failed test held when it was run once more, alone.
    pub(super) fn held(&mut self, suite: &str, name: &str) {
        let name = format!("{suite} {name}");
        self.failures.retain(|failed| *failed != name);
        self.again.push(name);
        if let Some(row) = self.suites.iter_mut().find(|row| row.name == suite) {
            row.failed = row.failed.saturating_sub(1);
        }
    }

    /// Reads what the tests themselves noted: one JSON object a line.
    ///
    /// A test that skips itself counts as passed for libtest, so it is taken out of that row here.
    pub(super) fn read_skips(&mut self, file: &Path) -> Result<()> {
        for line in std::fs::read_to_string(file)?.lines() {
            let value: Value = serde_json::from_str(line).context("a test noted a skip that is not JSON")?;
            let text = |key: &str| value[key].as_str().unwrap_or("?").to_owned();
            let (suite, test) = (text("suite"), text("test"));
            // One test may lack several things; it is one skip.
            if self.skips.iter().any(|skip| skip.suite == suite && skip.what == test) {
                continue;
            }
            if let Some(row) = self.suites.iter_mut().find(|row| row.name == suite) {
                row.passed = row.passed.saturating_sub(1);
            }
            self.skip(&suite, &test, &text("reason"));
        }
        Ok(())
    }

    fn skipped(&self, suite: &Suite) -> usize {
        suite.ignored + self.skips.iter().filter(|skip| skip.suite == suite.name).count()
    }

    fn total(&self, count: impl Fn(&Suite) -> usize) -> usize {
        self.suites.iter().map(count).sum()
    }

    /// Whether the run is good: nothing failed and, in CI, nothing was skipped but missing conformance cases.
    pub(super) fn holds(&self, ci: bool) -> bool {
        let ignored = self.total(|suite| suite.ignored);
        let skipped = self.skips.iter().any(|skip| skip.suite != "conformance");
        self.total(|suite| suite.failed) == 0 && !(ci && (skipped || ignored > 0))
    }

    /// The table, the skips, the failures and the closing line.
    pub(super) fn render(&self, took: Duration) -> String {
        let mut text = format!("\n{:<28} {:>7} {:>7} {:>8} {:>9}\n", "SUITE", "PASSED", "FAILED", "SKIPPED", "TIME");
        for suite in &self.suites {
            let time = format!("{:.1}s", suite.time.as_secs_f64());
            let skipped = self.skipped(suite);
            let (name, passed, failed) = (&suite.name, suite.passed, suite.failed);
            let _ = writeln!(text, "{name:<28} {passed:>7} {failed:>7} {skipped:>8} {time:>9}");
        }
        for skip in &self.skips {
            let _ = writeln!(text, "skipped {}: {}: {}", skip.suite, skip.what, skip.reason);
        }
        for failure in &self.failures {
            let _ = writeln!(text, "failed {failure}");
        }
        for name in &self.again {
            let _ = writeln!(text, "again {name}: it failed, and held when it was run once more, alone");
        }
        let skipped = self.skips.len() + self.total(|suite| suite.ignored);
        let _ = writeln!(text, "took {}m {:02}s\n", took.as_secs() / 60, took.as_secs() % 60);
        let (passed, failed) = (self.total(|suite| suite.passed), self.total(|suite| suite.failed));
        let _ = write!(text, "{passed} passed, {failed} failed, {skipped} skipped");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suite(name: &str, passed: usize, failed: usize) -> Suite {
        Suite { name: name.to_owned(), passed, failed, ignored: 0, time: Duration::from_millis(1500) }
    }

    #[test]
    fn rows_of_one_name_are_added_up_and_the_last_line_has_the_totals() {
        let mut table = Table::default();
        table.push(suite("tagline-run", 2, 0));
        table.push(suite("tagline-run", 3, 1));
        table.push(suite("tagline-plan", 4, 0));
        let text = table.render(Duration::from_secs(61));
        assert_eq!(text.lines().last(), Some("9 passed, 1 failed, 0 skipped"));
        assert!(text.contains("took 1m 01s"), "{text}");
        assert!(!table.holds(false));
    }

    #[test]
    fn what_held_when_it_was_run_once_more_is_named_and_is_no_failure() {
        let mut table = Table::default();
        table.push(suite("rolling", 2, 1));
        table.fail("rolling", "to_a_version");
        assert!(!table.holds(false));
        table.held("rolling", "to_a_version");
        // The second run counts it.
        table.push(suite("rolling", 1, 0));
        let text = table.render(Duration::ZERO);
        assert!(table.holds(true) && text.ends_with("3 passed, 0 failed, 0 skipped"), "{text}");
        assert!(text.contains("again rolling to_a_version") && !text.contains("failed rolling"), "{text}");
    }

    #[test]
    fn ci_accepts_no_skip_but_missing_conformance_cases() {
        let mut table = Table::default();
        table.push(suite("tagline-run", 1, 0));
        table.skip("conformance", "all", "no cases");
        assert!(table.holds(true));
        table.skip("set-up", "docker", "not root");
        assert!(!table.holds(true));
        assert!(table.holds(false));
        assert_eq!(table.render(Duration::ZERO).lines().last(), Some("1 passed, 0 failed, 2 skipped"));
    }

    #[test]
    fn a_test_that_skipped_itself_is_not_counted_as_passed() {
        let file = std::env::temp_dir().join(format!("skips-{}.jsonl", std::process::id()));
        std::fs::write(&file, "{\"suite\":\"e2e\",\"test\":\"pulls\",\"reason\":\"needs docker\"}\n".repeat(2))
            .unwrap();
        let mut table = Table::default();
        table.push(suite("e2e", 3, 0));
        table.read_skips(&file).unwrap();
        std::fs::remove_file(&file).unwrap();
        assert_eq!(table.render(Duration::ZERO).lines().last(), Some("2 passed, 0 failed, 1 skipped"));
    }
}
