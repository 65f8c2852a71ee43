//! Workflow and trigger to plan: the graph, the matrix, the gates, the digests, and why each job runs or does not.
//!
//! Pure: no clock, file, network, environment or async. Everything a plan depends on is an argument.
//!
//! - [`build()`] makes a [`Plan`], or every reason why there is none.
//! - [`job_condition`], [`legs()`] and [`settings`] work out, from a run's [`Facts`], what a job does when its turn comes.
//! - [`delivery_steps`] is what a stage's deliveries are given, as far as it is known before them.
//! - [`container()`] is what a leg's container comes to when the leg starts.
//! - [`gate_plan`] is what an approval of an environment binds.

mod build;
mod condition;
mod container;
pub mod contexts;
mod delivery;
pub mod digest;
mod evaluate;
mod facts;
mod gate;
mod graph;
mod image;
mod legs;
pub mod matrix;
mod model;

pub use build::{PlanError, Request, build};
pub use condition::{Clause, Verdict, job_condition};
pub use container::{LegContainer, container};
pub use delivery::{DeliveryStep, delivery_steps};
pub use evaluate::{EvaluationError, JobScope};
pub use facts::{Facts, FinishedJob, NeedResult};
pub use gate::{GateJob, GatePlan, GateStep, PlannedDelivery, gate_plan};
pub use legs::{LegError, Settings, is_static, legs, matrix_from_outside, scope_of, settings};
pub use model::{FORMAT, Group, Leg, Person, Plan, PlannedJob, Policy, Trigger, WorkflowFile};
