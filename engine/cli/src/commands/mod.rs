//! One file a command: takes its flags, asks the libraries, prints.
//!
//! Each has `run(&Context, Args) -> Outcome`. Results go to standard output, everything else to standard error.

mod cancel;
mod completions;
mod eval;
mod hook;
mod lint;
mod rerun;
mod resume;
mod run;
mod sbom;
mod serve;
mod vote;

use crate::args::Command;
use crate::context::Context;
use crate::failure::{Failure, Outcome};

/// Runs a command.
pub(crate) fn run(context: &Context, command: Command) -> Outcome {
    match command {
        Command::Serve(args) => serve::run(context, args),
        Command::Run(args) => run::run(context, args),
        Command::Resume(args) => resume::run(context, args),
        Command::Rerun(args) => rerun::run(context, args),
        Command::Hook(args) => hook::run(context, args),
        Command::Cancel(args) => cancel::run(context, args),
        Command::Reject(args) => vote::reject(context, args),
        Command::Approve(args) => vote::approve(context, args),
        Command::Completions(args) => completions::run(context, &args),
        Command::Eval(args) => eval::run(context, &args),
        Command::Lint(args) => lint::run(context, &args),
        Command::Sbom(args) => sbom::run(context, &args),
        other => Err(Failure::unusable("not-built", format!("{other:?}"))),
    }
}
