//! What an analysis found: before against after, with a verdict.

use serde::{Deserialize, Serialize};

use crate::check::Baseline;
use crate::check::logs::LogReport;

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mark {
    /// It holds.
    Passed,
    /// It holds, but its warning limit does not.
    Warned,
    /// It does not hold.
    Failed,
    /// Nobody can say.
    Inconclusive {
        /// It lacks only requests.
        few: bool,
    },
}

/// A line of the table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The check as the step writes it.
    pub check: String,
    /// What is measured.
    pub signal: String,
    /// Its value before, as people read it; empty where there is no baseline.
    pub before: String,
    /// Its value after.
    pub after: String,
    /// The same as a number, in the unit of the signal.
    pub value: Option<f64>,
    /// How it came out.
    pub mark: Mark,
    /// What is wrong; empty where nothing is.
    pub why: String,
}

/// The whole verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Everything holds.
    Passed,
    /// Something does not hold.
    Failed,
    /// Nobody can say.
    Inconclusive,
}

/// What an analysis found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AnalyseReport {
    /// The version measured.
    pub version: String,
    /// The verdict.
    pub outcome: Outcome,
    /// The first thing that is wrong, in one line; empty where nothing is.
    pub why: String,
    /// Of the last look.
    pub rows: Vec<Row>,
    /// How many looks were good, bad, and could not say.
    pub looks: [u32; 3],
    /// What was compared with.
    pub baseline: Option<Baseline>,
    /// What logs held, where limits are set.
    pub logs: Option<LogReport>,
}

impl AnalyseReport {
    /// Where nobody can say and the step has an answer to that: the answer, and how it came about.
    pub(super) fn answered(&mut self, outcome: Outcome, how: &str) {
        self.outcome = outcome;
        self.why = format!("{how}: {}", self.why);
    }

    /// A line for each check: signal, before, after, check, verdict.
    pub fn table(&self) -> Vec<String> {
        let before = self.baseline.as_ref().map_or("before", |baseline| &baseline.version).to_owned();
        let mut cells = vec![["signal".to_owned(), before, self.version.clone(), "check".to_owned(), String::new()]];
        for row in &self.rows {
            let before = if row.before.is_empty() { "-".to_owned() } else { row.before.clone() };
            cells.push([row.signal.clone(), before, row.after.clone(), row.check.clone(), row.verdict()]);
        }
        let width = |column: usize| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
        let widths = [0, 1, 2, 3].map(width);
        let line = |row: &[String; 5]| {
            let parts = row.iter().zip(widths.iter().chain(&[0])).map(|(cell, width)| format!("{cell:width$}"));
            parts.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        let mut lines: Vec<String> = cells.iter().map(line).collect();
        lines.extend(self.logs.iter().flat_map(LogReport::table));
        lines
    }
}

impl Row {
    fn verdict(&self) -> String {
        match self.mark {
            Mark::Passed => "✓".to_owned(),
            Mark::Warned => format!("! {}", self.why),
            Mark::Failed => format!("✗ {}", self.why),
            Mark::Inconclusive { .. } => format!("? {}", self.why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_holds_before_after_and_a_verdict() {
        let row = |signal: &str, before: &str, after: &str, check: &str, mark, why: &str| Row {
            check: check.to_owned(),
            signal: signal.to_owned(),
            before: before.to_owned(),
            after: after.to_owned(),
            value: None,
            mark,
            why: why.to_owned(),
        };
        let report = AnalyseReport {
            version: "1.2.3".to_owned(),
            outcome: Outcome::Failed,
            why: String::new(),
            rows: vec![
                row("error-rate", "0.1%", "0.2%", "error-rate < 1%", Mark::Passed, ""),
                row("p99", "", "2.1s", "p99 < 2s", Mark::Failed, "must be < 2s"),
            ],
            looks: [0, 1, 0],
            baseline: None,
            logs: None,
        };
        assert_eq!(
            report.table(),
            [
                "signal      before  1.2.3  check",
                "error-rate  0.1%    0.2%   error-rate < 1%  ✓",
                "p99         -       2.1s   p99 < 2s         ✗ must be < 2s",
            ]
        );
    }
}
