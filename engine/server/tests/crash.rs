//! The crash matrix: for every event of the storefront's release the engine is killed after storing it, killed after
//! acting on it, and refused the write; inputs are repeated, agents killed, and crowds vote into a crash. However it
//! went, the end is the one of the release in which nothing went wrong.
//!
//! Everything is real: workflow and rules of `examples/storefront`, the platform outside the engine, sandbox, agent, and
//! an engine in a process of its own that dies by SIGKILL. One thing stands in: jobs find a `cargo` that copies the
//! storefront, built once for this test, instead of compiling it hundreds of times. The platform's address, its token
//! and the reviewers are the test's.
//!
//! A short run takes some of the points; `TAGLINE_TEST_ALL=1` takes all, `TAGLINE_CRASH_POINT=NAME` one of them.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so")]

mod support;

use support::beginning::{Beginning, VARIABLE as BEGIN};
use support::built::Built;
use support::child::{self, VARIABLE};
use support::points::{self, say};

/// Not a test by itself: the process of an engine, when the variable says so.
#[test]
fn engine_process() {
    if let Ok(role) = std::env::var(VARIABLE) {
        child::engine(&serde_json::from_str(&role).unwrap());
    }
}

/// Not a test by itself: the process that begins a run, when the variable says so.
#[test]
fn begin_process() {
    if let Ok(beginning) = std::env::var(BEGIN) {
        serde_json::from_str::<Beginning>(&beginning).unwrap().begin();
    }
}

#[test]
fn crash_matrix() {
    let built = Built::new();
    let begin = std::time::Instant::now();
    let oracle = points::oracle(&built);
    say(&format!(
        "crash matrix: the release has {} events and took {:.1?} undisturbed",
        oracle.facts.len(),
        begin.elapsed()
    ));
    let all = points::all(&oracle);
    let chosen = match std::env::var("TAGLINE_CRASH_POINT") {
        Ok(name) => all.iter().filter(|point| point.name() == name).cloned().collect(),
        Err(_) if std::env::var_os("TAGLINE_TEST_ALL").is_some() => all.clone(),
        Err(_) => points::some(&oracle),
    };
    assert!(!chosen.is_empty(), "there is no such point");
    let failures = points::run(&chosen, &built, &oracle);
    let passed = chosen.len() - failures.len();
    say(&format!(
        "crash matrix: {passed} of {} points passed, {} there are; {:.0?}",
        chosen.len(),
        all.len(),
        begin.elapsed()
    ));
    assert!(failures.is_empty(), "{} points fail:\n{}", failures.len(), failures.join("\n"));
}
