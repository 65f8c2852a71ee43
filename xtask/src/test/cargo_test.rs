//! Runs `cargo test`, shows what it says as it says it, and counts by package.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

use super::table::{Suite, Table};
use crate::shell;

/// A test that failed.
#[derive(Debug, PartialEq)]
pub(super) struct Failed {
    /// The suite it is in.
    pub(super) suite: String,
    /// Its path in the suite: `staging::vs3_…`.
    pub(super) name: String,
}

/// Runs the command; a row for each package, or a failed row of its own where something could not be
/// compiled or ended without a result. Returns the tests that failed.
pub(super) fn run(command: &mut Command, table: &mut Table) -> Result<Vec<Failed>> {
    println!("$ {}", shell::words(command));
    // One pipe for both: the names of the suites are on standard error, the counts on standard output.
    let (reader, writer) = std::io::pipe()?;
    command.env("CARGO_TERM_COLOR", "never");
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let mut child = command.spawn().context("cannot start cargo")?;
    // The command keeps the writing ends; without them the reader sees the end of the child's output.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut reading = Reading::default();
    for line in BufReader::new(reader).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        println!("{line}");
        reading.line(&line, table);
    }
    let status = child.wait()?;
    if !status.success() && reading.counted == 0 {
        table.push(Suite::check("cargo test (build, or a crash)", false, Duration::ZERO));
    }
    Ok(reading.failed)
}

/// Where in the output of `cargo test` we are.
#[derive(Default)]
struct Reading {
    suite: String,
    /// How many failed, by the results.
    counted: usize,
    failed: Vec<Failed>,
}

impl Reading {
    fn line(&mut self, line: &str, table: &mut Table) {
        let words = line.trim_start();
        if let Some(rest) = words.strip_prefix("Running ") {
            self.suite = package(rest);
        } else if let Some(rest) = words.strip_prefix("Doc-tests ") {
            self.suite = rest.trim().replace('_', "-");
        } else if let Some(rest) = words.strip_prefix("test result: ") {
            if let Some(suite) = result(&self.suite, rest) {
                self.counted += suite.failed;
                table.push(suite);
            }
        } else if let Some(name) = line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED")) {
            table.fail(&self.suite, name);
            self.failed.push(Failed { suite: self.suite.clone(), name: name.to_owned() });
        }
    }
}

/// The suite of `unittests src/lib.rs (target/debug/deps/tagline_run-0123456789abcdef)`: the crate, or the test file.
fn package(rest: &str) -> String {
    let file = rest.rsplit(['/', '(']).next().unwrap_or(rest).trim_end_matches(')');
    let name = file.rsplit_once('-').map_or(file, |(name, _)| name);
    name.replace('_', "-")
}

/// The counts of `ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s`.
fn result(suite: &str, rest: &str) -> Option<Suite> {
    let count = |word: &str| -> Option<usize> {
        let part = rest.split([';', '.']).find(|part| part.trim().ends_with(word))?;
        part.split_whitespace().next()?.parse().ok()
    };
    let seconds = rest.rsplit("finished in ").next()?.trim_end_matches('s').parse().ok()?;
    Some(Suite {
        name: suite.to_owned(),
        passed: count("passed")?,
        failed: count("failed")?,
        ignored: count("ignored")?,
        time: Duration::from_secs_f64(seconds),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_output_of_cargo_test_is_counted_by_package() {
        let text = "\
     Running unittests src/lib.rs (target/debug/deps/tagline_run-8f14e45fceea167a)
test ids::round_trip ... ok
test state::illegal ... FAILED
test result: FAILED. 12 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out; finished in 1.25s
     Running tests/direction.rs (/t/debug/deps/direction-8f14e45fceea167a)
test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s
   Doc-tests tagline_run
test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.50s";
        let (mut reading, mut table) = (Reading::default(), Table::default());
        for line in text.lines() {
            reading.line(line, &mut table);
        }
        let shown = table.render(Duration::ZERO);
        assert_eq!(shown.lines().last(), Some("16 passed, 1 failed, 2 skipped"));
        assert!(shown.contains("tagline-run                       15       1        2      1.8s"), "{shown}");
        assert!(shown.contains("direction                          1"), "{shown}");
        assert!(shown.contains("failed tagline-run state::illegal"), "{shown}");
        let failed = Failed { suite: "tagline-run".to_owned(), name: "state::illegal".to_owned() };
        assert_eq!(reading.failed, [failed]);
    }
}
