//! Counting and the table.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{Case, Verdict};

/// Counts by kind and source, and what failed.
#[derive(Default)]
pub(crate) struct Score {
    rows: BTreeMap<(String, String), Row>,
    /// Ids of failed cases and why.
    pub(super) failures: Vec<(String, String)>,
    /// How many cases were refused on purpose or not run, by which and why.
    notes: BTreeMap<(&'static str, &'static str), usize>,
}

#[derive(Clone, Copy, Default)]
struct Row {
    passed: usize,
    failed: usize,
    refused: usize,
    skipped: usize,
}

impl Row {
    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.refused += other.refused;
        self.skipped += other.skipped;
    }

    #[expect(clippy::cast_precision_loss, reason = "a few thousand cases")]
    fn percent(self) -> f64 {
        100.0 * self.passed as f64 / (self.passed + self.failed).max(1) as f64
    }
}

impl Score {
    pub(super) fn count(&mut self, case: &Case, verdict: Verdict) {
        let row = self.rows.entry((case.kind.clone(), case.source().to_owned())).or_default();
        match verdict {
            Verdict::Pass => row.passed += 1,
            Verdict::Refused(why) => {
                row.refused += 1;
                *self.notes.entry(("refused", why)).or_default() += 1;
            }
            Verdict::Skip(why) => {
                row.skipped += 1;
                *self.notes.entry(("not run", why)).or_default() += 1;
            }
            Verdict::Fail(why) => {
                row.failed += 1;
                self.failures.push((format!("{} {}", case.kind, case.id), why));
            }
        }
    }

    /// By kind: passed, failed, and the share that passed in percent; those refused or not run do not count.
    pub(crate) fn kinds(&self) -> Vec<(String, usize, usize, f64)> {
        self.totals().into_iter().map(|(kind, row)| (kind, row.passed, row.failed, row.percent())).collect()
    }

    fn totals(&self) -> BTreeMap<String, Row> {
        let mut totals: BTreeMap<String, Row> = BTreeMap::new();
        for ((kind, _), row) in &self.rows {
            totals.entry(kind.clone()).or_default().add(*row);
        }
        totals
    }

    /// A Markdown table, a row a kind.
    pub(super) fn summary(&self) -> String {
        let mut text = String::from("| kind | passed | of | score | refused | not run |\n|---|--:|--:|--:|--:|--:|\n");
        for (kind, row) in self.totals() {
            let (passed, of, score) = (row.passed, row.passed + row.failed, row.percent());
            let _ = writeln!(text, "| {kind} | {passed} | {of} | {score:.1} % | {} | {} |", row.refused, row.skipped);
        }
        text
    }

    /// A Markdown table, a row a kind and source, and a row of each kind's total.
    pub(super) fn render(&self) -> String {
        let mut text = String::from(
            "\n| kind | source | passed | of | score | refused | not run |\n|---|---|--:|--:|--:|--:|--:|\n",
        );
        for (kind, total) in self.totals() {
            for ((_, source), row) in self.rows.iter().filter(|((own, _), _)| *own == kind) {
                line(&mut text, &kind, source, *row);
            }
            line(&mut text, &kind, "**all**", total);
        }
        for ((what, why), count) in &self.notes {
            let _ = writeln!(text, "\n{count} {what}: {why}");
        }
        text
    }
}

fn line(text: &mut String, kind: &str, source: &str, row: Row) {
    let (passed, of, score) = (row.passed, row.passed + row.failed, row.percent());
    let (refused, skipped) = (row.refused, row.skipped);
    let _ = writeln!(text, "| {kind} | {source} | {passed} | {of} | {score:.1} % | {refused} | {skipped} |");
}
