//! What a row's test tells `cargo xtask rows`.

use std::io::Write as _;
use std::time::Instant;

use serde_json::json;

use crate::LoadReport;

/// One row while its test runs. Said to hold by [`Row::holds`]; a test that fails before never says so, and the row
/// counts as failed.
#[derive(Debug)]
pub struct Row {
    id: &'static str,
    workflow: &'static str,
    begun: Instant,
    requests: u64,
    failed: u64,
}

impl Row {
    /// The row's id, as in the table of `docs/runbooks.md`, and the line of a workflow that carries it out:
    /// `village-storefront/release.yml: tagline/deploy@v1 strategy: blue-green`.
    pub fn new(id: &'static str, workflow: &'static str) -> Self {
        Self { id, workflow, begun: Instant::now(), requests: 0, failed: 0 }
    }

    /// Adds what a load has measured.
    pub fn load(&mut self, report: &LoadReport) -> &mut Self {
        self.requests += report.sent;
        self.failed += report.failed;
        self
    }

    /// The row holds.
    ///
    /// # Panics
    /// When the file of rows cannot be written.
    pub fn holds(&self) {
        let line = json!({
            "row": self.id,
            "workflow": self.workflow,
            "seconds": self.begun.elapsed().as_secs_f64(),
            "requests": self.requests,
            "failed": self.failed,
        });
        let Some(file) = std::env::var_os("TAGLINE_TEST_ROWS") else { return };
        let file = std::fs::File::options().append(true).create(true).open(file);
        // One write, so that lines of tests that run at once do not mix.
        let written = file.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()));
        written.expect("the list of rows can be written");
    }
}
