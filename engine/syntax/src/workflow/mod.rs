//! The workflow model: what a workflow file says, typed, with positions, before anything is evaluated.

mod model;
mod triggers;

pub use model::{
    Call, Concurrency, Container, Credentials, Defaults, EnvironmentRef, Job, Matrix, Permissions, Position,
    RunsOn, Secrets, Service, Step, StepAction, Strategy, Text, Workflow,
};
pub use triggers::{Event, Input, Triggers};
