//! Runs while they go on: driving them, following them, showing them.
//!
//! - [`drive`]: one engine a store, this command or another; [`follow`]: the journal of one run, as it grows.
//! - [`face`]: the tree of a terminal, the lines of a pipe, the events of `--json`.
//! - [`ending`]: the last lines and the exit code. [`failed`]: diagnoses. [`runner`]: this machine's configuration.

mod controls;
mod drive;
pub(crate) mod ending;
mod face;
mod failed;
mod follow;
mod news;
mod path;
pub(crate) mod runner;
#[cfg(test)]
pub(crate) mod sample;
mod screen;
mod spool;
mod tail;
pub(crate) mod tree;
mod usual;

pub(crate) use controls::{Answer, Controls};
pub(crate) use drive::{Manner, block_on, drive};
pub(crate) use follow::Followed;
pub(crate) use spool::{path as spool_path, tail as log_tail};
