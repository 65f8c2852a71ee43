//! `cargo xtask test`: set-up, the checks of the sources, every test, and one table at the end.

mod again;
mod cargo_test;
mod lints;
mod table;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::{cluster, conformance, paths, rows, setup, shell};
use table::{Suite, Table};

/// What the person asked for.
struct Options {
    /// The crash matrix and the slow cases too.
    all: bool,
    /// Only tests whose name contains this.
    filter: Option<String>,
}

fn parse(args: &[&str]) -> Result<Options> {
    let mut options = Options { all: false, filter: None };
    for arg in args {
        match *arg {
            "--all" => options.all = true,
            flag if flag.starts_with('-') => bail!("unknown option `{flag}`; known: --all"),
            name => options.filter = Some(name.to_owned()),
        }
    }
    Ok(options)
}

/// `cargo xtask test [--all] [FILTER]`. A filter leaves out the checks of the sources.
pub(crate) fn command(args: &[&str]) -> Result<bool> {
    let options = parse(args)?;
    let start = Instant::now();
    let state = setup::run()?;
    let mut table = Table::default();
    for missing in &state.missing {
        table.skip("set-up", missing.part, &missing.reason);
    }
    if options.filter.is_none() {
        lints::run(&mut table)?;
    }
    let build = Instant::now();
    let built = shell::shown(shell::cargo().args(["build", "--package", "tagline-cli"]))?;
    table.push(Suite::check("build", built, build.elapsed()));
    if built {
        run_tests(&options, &state, &mut table)?;
        if options.filter.is_none() {
            score_conformance(&mut table)?;
        }
    }
    println!("{}", table.render(start.elapsed()));
    Ok(table.holds(paths::ci()))
}

/// The tests of the workspace, then those of each example, which are workspaces of their own.
fn run_tests(options: &Options, state: &setup::State, table: &mut Table) -> Result<()> {
    let skips = paths::cache()?.join("skips.jsonl");
    std::fs::write(&skips, "")?;
    let mut environment = state.environment();
    environment.push(("TAGLINE_TEST_SKIPS", skips.display().to_string()));
    if options.all {
        environment.push(("TAGLINE_TEST_ALL", "1".to_owned()));
    }
    match cluster_and_demo() {
        Ok(found) => environment.extend(found),
        Err(error) => table.skip("set-up", "cluster", &format!("{error:#}")),
    }
    let held = paths::cache()?.join("rows.jsonl");
    std::fs::write(&held, "")?;
    environment.push(("TAGLINE_TEST_ROWS", held.display().to_string()));
    let mut test = shell::cargo();
    test.args(["test", "--workspace", "--exclude", rows::PACKAGE, "--no-fail-fast"]).args(&options.filter);
    test.envs(environment.clone());
    let failed = cargo_test::run(&mut test, table)?;
    again::run(&failed, &environment, table)?;
    // After the others: rows are measured, and nothing else may take the machine meanwhile.
    let mut test = shell::cargo();
    test.args(["test", "--package", rows::PACKAGE, "--no-fail-fast"]).args(&options.filter);
    test.arg("--").args(rows::ALONE);
    test.envs(environment.clone());
    let failed = cargo_test::run(&mut test, table)?;
    again::run(&failed, &environment, table)?;
    if options.filter.is_none() {
        let verdict = rows::table(&held)?;
        println!("{}", verdict.text);
        let (passed, failed) = (verdict.held, verdict.missing);
        table.push(Suite { name: "rows".to_owned(), passed, failed, ignored: 0, time: Duration::ZERO });
    }
    for manifest in examples()? {
        let mut test = shell::cargo();
        test.args(["test", "--no-fail-fast", "--manifest-path"]).arg(&manifest);
        test.args(&options.filter).envs(environment.clone());
        cargo_test::run(&mut test, table)?;
    }
    table.read_skips(&skips)
}

/// What the tests on a cluster need: it, and the application that they release.
fn cluster_and_demo() -> Result<Vec<(&'static str, String)>> {
    let mut environment = cluster::for_tests()?;
    environment.push(("TAGLINE_TEST_DEMO", rows::demo()?));
    Ok(environment)
}

/// The manifests of the runnable examples.
fn examples() -> Result<Vec<PathBuf>> {
    let folder = paths::root().join("examples");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let manifest = entry?.path().join("Cargo.toml");
        if manifest.exists() {
            found.push(manifest);
        }
    }
    found.sort();
    Ok(found)
}

/// A row a kind: the cases that passed, and one failure where fewer did than its floor asks.
fn score_conformance(table: &mut Table) -> Result<()> {
    if !paths::conformance().is_dir() {
        table.skip("conformance", "all cases", "../shared/conformance is not there");
        return Ok(());
    }
    let start = Instant::now();
    let score = conformance::score(None)?;
    table.push(Suite { name: "conformance".to_owned(), passed: 0, failed: 0, ignored: 0, time: start.elapsed() });
    for (kind, passed, failed, percent) in score.kinds() {
        println!("conformance {kind}: {passed} of {} pass, {percent:.1} %", passed + failed);
        let floor = conformance::floor(&kind);
        let failed = usize::from(percent < floor);
        table.push(Suite { name: "conformance".to_owned(), passed, failed, ignored: 0, time: Duration::ZERO });
        if failed > 0 {
            table.fail("conformance", &format!("{kind}: {percent:.1} % pass, {floor} % must"));
        }
    }
    Ok(())
}
