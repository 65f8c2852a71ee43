//! What smoke checks found: a row for each check at each place.

use serde::{Deserialize, Serialize};

use crate::cluster::ClusterError;
use crate::inputs::smoke::{SmokeCheck, SmokeInputs};
use crate::{DeliveryError, Failure, Stop};

/// One check at one place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SmokeRow {
    /// `Pod/shop-5d8f-abcde`, `Service/shop-preview`, `https://shop.example`, `Job/…`.
    pub place: String,
    /// The check as the step writes it.
    pub check: String,
    /// It is good.
    pub passed: bool,
    /// The status of the last answer; None where there was none.
    pub status: Option<u16>,
    /// How long the last answer took, milliseconds.
    pub took_ms: u64,
    /// How often it was tried.
    pub attempts: u32,
    /// What was wrong at last; empty where it is good.
    pub why: String,
    /// What to do, where more is known than the report says of any failure; else empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub next: String,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SmokeReport {
    /// By place, in the order of the checks.
    pub rows: Vec<SmokeRow>,
}

impl SmokeReport {
    /// Everything is good. Also where nothing was checked.
    pub fn passed(&self) -> bool {
        self.rows.iter().all(|row| row.passed)
    }

    /// The first row that is not good.
    pub fn first_failure(&self) -> Option<&SmokeRow> {
        self.rows.iter().find(|row| !row.passed)
    }

    /// The first check that was made nowhere.
    pub fn first_unmade<'a>(&self, inputs: &'a SmokeInputs) -> Option<&'a SmokeCheck> {
        inputs.checks.iter().find(|check| !self.rows.iter().any(|row| row.check == check.text))
    }

    /// Together with what was found elsewhere.
    pub fn merge(&mut self, other: Self) {
        self.rows.extend(other.rows);
    }

    /// A line for each place: `Pod/a  /q/health/ready 200 ✓ 12ms  /q/info version ✗ version is 1.2.2, expected 1.2.3`.
    pub fn table(&self) -> Vec<String> {
        let mut lines: Vec<(&str, String)> = Vec::new();
        for row in &self.rows {
            if lines.last().is_none_or(|(place, _)| *place != row.place) {
                lines.push((&row.place, String::new()));
            }
            if let Some((_, line)) = lines.last_mut() {
                *line += &row.cell();
            }
        }
        let width = lines.iter().map(|(place, _)| place.chars().count()).max().unwrap_or_default();
        lines.into_iter().map(|(place, line)| format!("{place:width$}{line}")).collect()
    }

    /// `9 checks on 3 places, all good`.
    pub fn summary(&self) -> String {
        let mut places: Vec<&str> = self.rows.iter().map(|row| row.place.as_str()).collect();
        places.dedup();
        let bad = self.rows.iter().filter(|row| !row.passed).count();
        let end = if bad == 0 { "all good".to_owned() } else { format!("{bad} failed") };
        let plural = |count: usize, one: &str| if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") };
        format!("{} on {}, {end}", plural(self.rows.len(), "check"), plural(places.len(), "place"))
    }
}

impl SmokeRow {
    fn cell(&self) -> String {
        if self.passed {
            return format!("  {} ✓ {}ms", self.check, self.took_ms);
        }
        let tries = if self.attempts > 1 { format!(" ({} attempts)", self.attempts) } else { String::new() };
        format!("  {} ✗ {}{tries}", self.check, self.why)
    }
}

/// Why smoke checks did not pass.
#[derive(Debug, thiserror::Error)]
pub enum SmokeError {
    /// Some are not good.
    #[error("smoke check failed: {}", first(.0))]
    Failed(SmokeReport),
    /// They cannot be made as asked.
    #[error("{0}")]
    Refused(String),
    /// It is not known how a Job ended.
    #[error("{0}")]
    Job(Box<Failure>),
    /// The cluster does not say.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// It is to end.
    #[error(transparent)]
    Stopped(#[from] Stop),
}

fn first(report: &SmokeReport) -> String {
    match report.first_failure() {
        Some(row) => format!("{} {}: {}", row.place, row.check, row.why),
        None => report.summary(),
    }
}

impl SmokeError {
    /// As people read it; the caller adds what it means for users.
    pub fn failure(&self) -> Failure {
        match self {
            Self::Failed(report) => {
                let evidence = report.rows.iter().filter(|row| !row.passed);
                let evidence = evidence.map(|row| format!("{} {}: {}", row.place, row.check, row.why)).collect();
                let failure = Failure { evidence, ..Failure::new("a smoke check failed", first(report)) };
                let next = report.first_failure().map(|row| row.next.as_str()).filter(|next| !next.is_empty());
                failure.next(next.unwrap_or("look at the log of that pod; correct the release and tag again"))
            }
            Self::Refused(why) => Failure::new("the smoke checks cannot be made", why.clone()),
            Self::Job(failure) => failure.as_ref().clone(),
            Self::Cluster(error) => error.failure("the smoke checks could not be made"),
            Self::Stopped(stop) => Failure::new("the smoke checks did not end", stop.to_string()),
        }
    }
}

impl From<DeliveryError> for SmokeError {
    fn from(error: DeliveryError) -> Self {
        match error {
            DeliveryError::Stopped(stop) => Self::Stopped(stop),
            DeliveryError::Failed(failure) => Self::Job(failure),
        }
    }
}

impl From<SmokeError> for DeliveryError {
    fn from(error: SmokeError) -> Self {
        match error {
            SmokeError::Stopped(stop) => Self::Stopped(stop),
            other => other.failure().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inputs::Action;

    fn row(place: &str, check: &str, why: &str) -> SmokeRow {
        let (place, check, why) = (place.to_owned(), check.to_owned(), why.to_owned());
        let (passed, next) = (why.is_empty(), String::new());
        SmokeRow { place, check, passed, status: Some(200), took_ms: 12, attempts: 5, why, next }
    }

    #[test]
    fn a_table_has_a_line_for_each_place() {
        let report = SmokeReport {
            rows: vec![
                row("Pod/a", "/ready", ""),
                row("Pod/a", "/info version", "version is 1.2.2, expected 1.2.3"),
                row("Service/shop", "/ready", ""),
            ],
        };
        assert_eq!(
            report.table(),
            [
                "Pod/a         /ready ✓ 12ms  /info version ✗ version is 1.2.2, expected 1.2.3 (5 attempts)",
                "Service/shop  /ready ✓ 12ms",
            ]
        );
        assert_eq!(report.summary(), "3 checks on 2 places, 1 failed");
        let error = SmokeError::Failed(report);
        assert_eq!(error.to_string(), "smoke check failed: Pod/a /info version: version is 1.2.2, expected 1.2.3");
        assert_eq!(error.failure().evidence.len(), 1);
    }

    #[test]
    fn a_check_without_a_row_was_made_nowhere() {
        let with = [("checks".to_owned(), "/ready\n/info version".to_owned())].into();
        let Ok(Action::SmokeTest(inputs)) = Action::read("tagline/smoke-test@v1", &with) else { panic!("not read") };
        let mut report = SmokeReport { rows: vec![row("Pod/a", "/ready", "")] };
        assert_eq!(report.first_unmade(&inputs.smoke).unwrap().text, "/info version");
        report.rows.push(row("Pod/a", "/info version", ""));
        assert_eq!(report.first_unmade(&inputs.smoke), None);
    }

    #[test]
    fn what_is_to_be_done_is_the_first_failures_own_where_it_has_one() {
        let failed = |next: &str| {
            let row = SmokeRow { next: next.to_owned(), ..row("Job/load-1", "load", "exit code 137") };
            SmokeError::Failed(SmokeReport { rows: vec![row] }).failure().next
        };
        assert_eq!(failed("raise it"), "raise it");
        assert!(failed("").starts_with("look at the log"));
    }
}
