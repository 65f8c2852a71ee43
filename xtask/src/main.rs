//! Chores of the workspace: set-up, test, conformance, bench.
//!
//! `cargo xtask test` is all a fresh machine needs: it installs or starts what the tests use, runs every check and
//! ends with one table. Everything it makes lives in a cache outside the repository (see [`paths`]).
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a chore talks to the person who started it")]

mod bench;
mod cluster;
mod conformance;
mod paths;
mod rows;
mod setup;
mod shell;
mod test;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  setup                        install or start what the tests need
  clean                        stop and free what setup started
  test [--all] [FILTER]        set-up, lints and every test; --all adds the crash matrix and slow cases
  conformance [--kind KIND] [--failed] [--write]
                               scores the cases of ../shared/conformance; --failed lists what failed and why,
                               --write puts the score into README.md
  cluster build|up [--use-kubeconfig]|check|status|env|down
                               a real Kubernetes on this machine; env prints what a shell evaluates
  rows [--all] [ROW]...        carries out the runbooks' rows on the cluster, by real workflows under load;
                               --all adds crash points and faults
  bench [--write] [ROW]...     measures Tagline beside its peers, release build; rows by part of their name;
                               --write puts the table into docs/performance.md
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["setup"] => setup::command(),
        ["clean"] => setup::clean(),
        ["test", rest @ ..] => test::command(rest),
        ["cluster", rest @ ..] => cluster::command(rest),
        ["rows", rest @ ..] => rows::command(rest),
        ["bench", rest @ ..] => bench::command(rest),
        // Not for people: see `bench::memory`.
        ["max-rss-of", rest @ ..] => bench::measured_child(rest),
        ["conformance", rest @ ..] => conformance::command(rest),
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
