//! `tagline/migrate`: the schema to a version, by a Job of our own.
//!
//! Invariants:
//! - The migration of a release runs once, however often its step is retried or gone on with; what may have been taken back
//!   since, or what the schema itself does not show, is run again.
//! - The schema is asked where it can be: one that was left half-way stops everything, and one that is there already is
//!   verified all the same.
//! - Nothing runs before a backup that was asked for is there and verified.
//! - Downwards only to a named version, and never past a migration without a way back.
//! - When the step ends, its Jobs have ended.

mod apply;
mod backup;
mod earlier;
mod early;
mod files;
mod lint;
mod plan;
mod version;

pub use apply::apply;
pub use backup::{Backup, take as take_backup};
pub(crate) use early::of_files;
pub use files::{Migration, read as read_migrations};
pub use plan::{MigratePlan, plan};
pub use version::Version;
