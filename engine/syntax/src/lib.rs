//! Workflow files: from bytes to a model with positions, and everything GitHub's language says about them.
//!
//! Pure: no clock, file, network, environment or async. Both the engine and the job's agent link this crate.
//!
//! - [`workflow`]: the model of a workflow file.

pub mod environments;
pub mod expression;
pub mod workflow;
