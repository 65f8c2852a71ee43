//! Dispatcher, timers, triggers and the socket: everything that drives runs.
//!
//! - [`repository`] and [`planner`]: from a repository and a tag to plans.
//! - [`begin`]: a plan becomes a run in the store.
//! - [`Engine`]: drives the runs of a store.
//! - [`serve()`] and [`beside`]: the engine's socket, and commands beside it.
//! - [`lock`]: who drives a store.
//! - [`vote`]: how it is signed.

mod attend;
mod begin;
pub mod beside;
pub mod clock;
pub mod delivery;
mod engine;
mod executors;
mod faults;
mod job;
pub mod ledger;
pub mod lock;
pub mod planner;
mod planner_error;
mod random;
pub mod release;
pub mod repository;
pub mod rollback;
pub mod secrets;
mod serve;
mod services;
mod socket;
mod source;
mod tidy;
mod timer;
pub mod vote;
mod wire;

pub use begin::{BeginError, BeginOptions, Begun, begin, may_begin};
pub use engine::{Engine, EngineConfig, Update};
pub use executors::Executors;
pub use faults::Faults;
pub use ledger::TellError;
pub use planner_error::PlannerError;
pub use serve::serve;
