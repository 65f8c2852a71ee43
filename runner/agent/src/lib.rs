//! Process 1 of a job: runs its steps.
//!
//! - [`sandbox`] makes the namespaces a job lives in; in Docker the container is there already.
//! - [`agent`] waits for the job on the [`control`] socket; [`job`] runs its steps; what happens goes through the
//!   [`journal`], masked, into the [`spool`].
//!
//! Threads and `poll`, no runtime: the job's own thread does all the work, and one thread each waits for children, for
//! the engine and for the disk.

pub mod agent;
mod args;
mod clock;
pub mod control;
pub mod env_file;
mod helper;
pub mod job;
pub mod journal;
mod kill;
pub mod output;
pub mod places;
mod reap;
pub mod sandbox;
mod shell;
pub mod spool;
mod wake;

pub use args::main;
