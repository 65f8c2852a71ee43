//! Workflow files: from bytes to a model with positions, and everything GitHub's language says about them.
//!
//! Pure: no clock, file, network, environment or async. Both the engine and the job's agent link this crate.
//!
//! - [`workflow`]: the model of a workflow file.
//! - [`expression`]: the language of `${{ }}` and `if:`.
//! - [`filter`]: the patterns of `branches`, `tags` and `paths`; [`cron`]: schedules.
//! - [`tag`]: release tags and ranges of versions.

pub mod action;
pub mod cron;
pub mod diagnostic;
pub mod environments;
pub mod expression;
mod read;
pub mod filter;
pub mod lint;
pub mod tag;
pub mod tree;
pub mod workflow;
