//! `tagline/operate`: one operation on what runs, remembered so that it can be undone.
//!
//! Invariants:
//! - What was there is written down in the cluster ([`Note`]) before it is changed, and stays there until it is undone:
//!   the first note counts, whatever is done on top of it.
//! - What somebody else has changed since is not put back.
//! - Twice is as good as once, done and undone.
//! - An operation that does not come up is put back to what it found.
//! - Statements run in one transaction that checks how many rows it touched.

mod apply;
mod exec;
mod field;
mod find;
mod note;
mod plan;
mod put;
mod restore;
mod sql;
mod undo;

pub use apply::apply;
pub use field::{Change, Field, Place};
pub use note::Note;
pub use plan::{Act, OperatePlan, plan};

pub(crate) use find::{Live, named_by_content, workloads};
pub(crate) use note::retire;
pub(crate) use put::{put, settle};
pub(crate) use undo::undo;

/// The manager of what operations change.
pub const OPERATE: &str = "tagline-operate";
