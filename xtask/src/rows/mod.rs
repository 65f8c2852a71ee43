//! `cargo xtask rows`: every row of the runbooks on the test cluster, and a table of what held.
//!
//! A row holds when its test said so (`tests/rows` writes a line a row); a row without that line is missing or failed.

mod list;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::{cluster, paths, setup, shell};
use list::{Known, Open, ROWS};

/// The package of the rows' tests.
pub(crate) const PACKAGE: &str = "tagline-rows";

/// One after the other: a full load is as much as a machine of two cores bears beside a cluster, and two measure each other.
pub(crate) const ALONE: [&str; 1] = ["--test-threads=1"];

/// What a row's test said.
#[derive(Deserialize)]
struct Held {
    row: String,
    workflow: String,
    seconds: f64,
    requests: u64,
    failed: u64,
}

/// `cargo xtask rows [--all] [ROW]...`: false when a row is missing or failed.
pub(crate) fn command(args: &[&str]) -> Result<bool> {
    let all = args.contains(&"--all");
    let wanted: Vec<String> = args.iter().filter(|arg| !arg.starts_with('-')).map(|arg| arg.to_lowercase()).collect();
    let mut environment = setup::run()?.environment();
    environment.extend(cluster::for_tests()?);
    if all {
        environment.push(("TAGLINE_TEST_ALL", "1".to_owned()));
    }
    environment.push(("TAGLINE_TEST_DEMO", demo()?));
    anyhow::ensure!(shell::shown(shell::cargo().args(["build", "--package", "tagline-cli"]))?, "tagline is not built");
    let file = paths::cache()?.join("rows.jsonl");
    std::fs::write(&file, "")?;
    environment.push(("TAGLINE_TEST_ROWS", file.display().to_string()));
    let mut test = shell::cargo();
    test.args(["test", "--package", PACKAGE, "--no-fail-fast", "--"]).args(ALONE).args(filters(&wanted));
    let passed = shell::shown(test.envs(environment))?;
    let chosen: Vec<&Known> =
        ROWS.iter().filter(|row| wanted.is_empty() || wanted.contains(&row.id.to_lowercase())).collect();
    let verdict = render(&chosen, &read(&file)?);
    println!("{}", verdict.text);
    Ok(passed && verdict.missing == 0)
}

/// The demo application, built as its image has it: static and small.
pub(crate) fn demo() -> Result<String> {
    let manifest = paths::root().join("examples/demo/Cargo.toml");
    let target = paths::cache()?.join("demo");
    let mut build = shell::cargo();
    build.args(["build", "--release", "--locked", "--target", "x86_64-unknown-linux-gnu", "--manifest-path"]);
    build.arg(manifest).env("CARGO_TARGET_DIR", &target).current_dir(paths::root().join("examples/demo"));
    anyhow::ensure!(shell::shown(&mut build)?, "the demo application is not built");
    Ok(target.join("x86_64-unknown-linux-gnu/release/demo").display().to_string())
}

/// What came of the rows.
pub(crate) struct Verdict {
    /// The table.
    pub(crate) text: String,
    /// Rows that hold.
    pub(crate) held: usize,
    /// Rows that failed or have no test.
    pub(crate) missing: usize,
}

/// What came of all rows, from what their tests wrote.
pub(crate) fn table(file: &Path) -> Result<Verdict> {
    Ok(render(&ROWS.iter().collect::<Vec<_>>(), &read(file)?))
}

/// Tests are named after their rows: `vs5_…`.
fn filters(wanted: &[String]) -> Vec<String> {
    wanted.iter().map(|row| format!("{row}_")).collect()
}

fn read(file: &Path) -> Result<BTreeMap<String, Held>> {
    let text = std::fs::read_to_string(file)?;
    let held = text.lines().map(|line| serde_json::from_str::<Held>(line).context("a row's line is not JSON"));
    held.map(|held| held.map(|held| (held.row.clone(), held))).collect()
}

/// The table: a row that is left to later is neither held nor missing.
fn render(rows: &[&Known], held: &BTreeMap<String, Held>) -> Verdict {
    let mut text = format!("\n{:<5} {:<7} {:>8} {:>9} {:>7}  WHAT\n", "ROW", "STATE", "SECONDS", "REQUESTS", "FAILED");
    for row in rows {
        let Known { id, what, open } = row;
        match (held.get(*id), open) {
            (_, Open::Whole) => {
                let _ = writeln!(text, "{id:<5} {:<7} {:>8} {:>9} {:>7}  {what}", "open", "-", "-", "-");
            }
            (Some(Held { workflow, seconds, requests, failed, .. }), _) => {
                let _ = writeln!(text, "{id:<5} {:<7} {seconds:>8.1} {requests:>9} {failed:>7}  {what}", "holds");
                let _ = writeln!(text, "{:<5} {:<7} {:>26}  {workflow}", "", "", "");
            }
            (None, _) => {
                let _ = writeln!(text, "{id:<5} {:<7} {:>8} {:>9} {:>7}  {what}", "FAILED", "-", "-", "-");
            }
        }
        if let Open::Part(missing) = open {
            let _ = writeln!(text, "{:<5} {:<7} {:>26}  {missing}", "", "open", "");
        }
    }
    let there = rows.iter().filter(|row| row.open != Open::Whole && held.contains_key(row.id)).count();
    let open = rows.iter().filter(|row| row.open == Open::Whole).count();
    let missing = rows.len() - open - there;
    let _ = write!(text, "\n{there} rows hold, {missing} do not, {open} open");
    Verdict { text, held: there, missing }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_without_its_line_has_failed_and_an_open_one_has_not() {
        let known = [
            Known { id: "VS3", what: "staging", open: Open::No },
            Known { id: "VS4", what: "results", open: Open::Whole },
            Known { id: "RA6", what: "triggers", open: Open::Part("a critical vulnerability found") },
        ];
        let rows: Vec<&Known> = known.iter().collect();
        let line = |row: &str| Held { row: row.into(), workflow: "w".into(), seconds: 1.0, requests: 2, failed: 0 };
        let held = |ids: &[&str]| ids.iter().map(|id| ((*id).to_owned(), line(id))).collect();
        let Verdict { text, missing, .. } = render(&rows, &held(&["VS3"]));
        assert!(missing == 1 && text.contains("RA6   FAILED"), "{text}");
        let Verdict { text, missing, .. } = render(&rows, &held(&["VS3", "RA6"]));
        assert!(
            missing == 0 && text.contains("VS4   open") && text.contains("a critical vulnerability found"),
            "{text}"
        );
        assert!(text.ends_with("2 rows hold, 0 do not, 1 open"), "{text}");
    }

    #[test]
    fn every_row_is_listed_once() {
        let ids: std::collections::BTreeSet<_> = ROWS.iter().map(|row| row.id).collect();
        assert_eq!((ids.len(), ROWS.len()), (40, 40));
    }
}
