//! One file a command: takes its flags, asks the libraries, prints.
//!
//! Each has `run(&Context, Args) -> Outcome`. Results go to standard output, everything else to standard error.

mod completions;
mod eval;
mod lint;
mod sbom;

use crate::args::Command;
use crate::context::Context;
use crate::failure::{Failure, Outcome};

/// Runs a command.
pub(crate) fn run(context: &Context, command: Command) -> Outcome {
    match command {
        Command::Completions(args) => completions::run(context, &args),
        Command::Eval(args) => eval::run(context, &args),
        Command::Lint(args) => lint::run(context, &args),
        Command::Sbom(args) => sbom::run(context, &args),
        other => Err(Failure::unusable("not-built", format!("{other:?}"))),
    }
}
