//! The real binary, shut off from the machine's configuration.

#![expect(clippy::unwrap_used, reason = "what a test's helpers cannot do fails the test")]

mod eval;
mod graph;
mod init;
mod lint;
mod look;
mod place;
mod plan;
mod sandbox_run;
mod words;
