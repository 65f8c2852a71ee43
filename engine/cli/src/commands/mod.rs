//! One file a command: takes its flags, asks the libraries, prints.
//!
//! Each has `run(&Context, Args) -> Outcome`. Results go to standard output, everything else to standard error.

use crate::args::Command;
use crate::context::Context;
use crate::failure::{Failure, Outcome};

/// Runs a command.
pub(crate) fn run(_context: &Context, command: Command) -> Outcome {
    match command {
        other => Err(Failure::unusable("not-built", format!("{other:?}"))),
    }
}
