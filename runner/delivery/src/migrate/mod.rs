//! `tagline/migrate`: the schema to a version, by a Job of our own.
//!
//! Invariants:
//! - The migration of a release runs once, however often its step is retried or gone on with.
//! - Nothing runs before a backup that was asked for is there and verified.
//! - Downwards only to a named version, and never past a migration without a way back.
//! - When the step ends, its Jobs have ended.

mod apply;
mod backup;
mod files;
mod lint;
mod plan;
mod version;

pub use apply::apply;
pub use backup::{Backup, take as take_backup};
pub use files::{Migration, read as read_migrations};
pub use plan::{MigratePlan, plan};
pub use version::Version;
