//! Workflow files: from bytes to a model with positions, and everything GitHub's language says about them.
//!
//! Pure: no clock, file, network, environment or async. Both the engine and the job's agent link this crate.
//!
//! - [`tree`]: YAML in which every node knows its bytes; [`diagnostic`]: what is wrong and where, as data.
//! - [`workflow`]: the model of a workflow file and its reader; [`action`]: the metadata of actions.
//! - [`environments`]: the rules that guard environments; [`lint`]: rules about what is valid and not meant.
//! - [`expression`]: the language of `${{ }}` and `if:`.
//! - [`filter`]: the patterns of `branches`, `tags` and `paths`; [`cron`]: schedules.
//! - [`tag`]: release tags and ranges of versions.

pub mod action;
pub mod cron;
pub mod diagnostic;
pub mod environments;
pub mod expression;
pub mod filter;
pub mod lint;
mod read;
pub mod tag;
pub mod tree;
pub mod workflow;
