//! Support of the row tests: each carries out one row of a runbook by the real `tagline` on a real cluster, under load.
//!
//! - [`Ground`] is what `cargo xtask rows` has brought up: cluster, registry, Prometheus, PostgreSQL.
//! - [`Shop`] is one example in a repository of its own, with namespaces of its own.
//! - [`Load`] asks without a pause and counts what failed; [`Watcher`] looks at selectors and endpoints ten times a second.
//! - [`Row`] says to `cargo xtask rows` that the row holds, and what was measured.

mod database;
mod fault;
mod ground;
mod kubectl;
mod load;
pub mod retail;
mod row;
mod shop;
pub mod village;
mod watcher;

pub use database::Database;
pub use ground::Ground;
pub use kubectl::Kubectl;
pub use load::{Load, LoadReport};
pub use row::Row;
pub use shop::{Release, Shop, contexts};
pub use watcher::{Seen, Watcher};
