//! Workflow and trigger to plan: the graph, the matrix, the gates, the digests, and why each job runs or does not.
//!
//! Pure: no clock, file, network, environment or async. Everything a plan depends on is an argument.

pub mod model;

pub use model::{FORMAT, Group, Leg, Person, Plan, PlannedJob, Policy, Trigger, WorkflowFile};
