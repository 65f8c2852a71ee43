//! Tests that measure a live cluster share its two cores with the cluster itself and whatever else the machine does. One
//! that fails is run once more, alone; the table names it whatever comes of it. What fails twice has failed.

use anyhow::Result;

use super::cargo_test::{self, Failed};
use super::table::Table;
use crate::{paths, rows, shell};

/// The packages with such tests, and their folders.
const MEASURED: [(&str, &str); 2] =
    [("tagline-delivery", "runner/delivery/tests"), (rows::PACKAGE, "tests/rows/tests")];

/// Runs those of the failed tests once more that are measured.
pub(super) fn run(failed: &[Failed], environment: &[(&'static str, String)], table: &mut Table) -> Result<()> {
    for Failed { suite, name } in failed {
        let target = suite.replace('-', "_");
        let Some(package) = package(&target) else { continue };
        let mut test = shell::cargo();
        test.args(["test", "--package", package, "--test", &target, "--", "--exact", name]).args(rows::ALONE);
        let mut second = Table::default();
        let failed = cargo_test::run(test.envs(environment.iter().cloned()), &mut second)?;
        if failed.is_empty() && second.holds(false) {
            table.held(suite, name);
            table.add(second);
        }
    }
    Ok(())
}

fn package(target: &str) -> Option<&'static str> {
    let has = |folder: &str| {
        let folder = paths::root().join(folder);
        folder.join(format!("{target}.rs")).is_file() || folder.join(target).join("main.rs").is_file()
    };
    MEASURED.iter().find(|(_, folder)| has(folder)).map(|(package, _)| *package)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_measures_a_cluster_is_run_again() {
        assert_eq!(package("rolling"), Some("tagline-delivery"));
        assert_eq!(package("retail"), Some(rows::PACKAGE));
        assert_eq!(package("tagline_run"), None);
    }
}
