//! What is checked of a release: that it answers as it should, that its signals stay within their limits, and which rule
//! is broken where they do not.
//!
//! - **No data is never good news.** A server that is away, an empty answer, NaN, too few requests: inconclusive, with why.
//! - Rules and comparisons are pure; what asks the network gives them readings.
//! - Of a release, all pods are looked at, and no others.

pub mod alerts;
pub mod analyse;
mod find;
mod flock;
mod health;
pub mod logs;
pub mod look;
pub mod measure;
pub mod prometheus;
mod promql;
pub mod rules;
pub mod smoke;
mod subject;
#[cfg(test)]
mod testing;
pub mod watch;
mod web;

pub use look::{Look, Reading};
pub use measure::Baseline;
pub use subject::Subject;
pub(crate) use subject::counts;
