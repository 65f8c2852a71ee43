//! The binary as others use it: a process that is asked, broken and ended.

#![expect(clippy::unwrap_used, reason = "what a test calls fails as the test does")]

mod common;
mod database;
mod load;
mod serve;
