//! The workflow model: what a workflow file says, typed, with positions, before anything is evaluated.

mod delivery;
mod model;
mod not_carried_out;
mod read;
mod triggers;

pub use crate::read::is_insert;
pub use delivery::{DELIVERIES, is_delivery};
pub use model::{
    Call, Concurrency, Container, Credentials, Defaults, EnvironmentRef, Job, Matrix, Permissions, Position, RunsOn,
    Secrets, Service, Step, StepAction, Strategy, Text, Workflow,
};
pub use not_carried_out::{RUNNER_KEYS, not_carried_out, refusals};
pub use read::{ActionRef, Outcome, read, read_partly};
pub(crate) use read::{StepIds, composite_step, draft};
pub use triggers::{Event, Input, Triggers};
