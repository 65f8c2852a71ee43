//! One file a command: takes its flags, asks the libraries, prints.
//!
//! Each has `run(&Context, Args) -> Outcome`. Results go to standard output, everything else to standard error.

mod ahead;
mod artifacts;
mod cancel;
mod completions;
mod demo;
mod doctor;
mod doctor_role;
mod environment_now;
mod environments;
mod eval;
mod explain;
mod graph;
mod hook;
mod init;
mod lint;
mod logs;
mod migration;
mod plan;
mod plan_text;
mod rerun;
mod resume;
mod rollback;
mod run;
mod runs;
mod sbom;
mod secret;
mod serve;
mod show;
mod since;
mod store;
mod summary;
mod vote;

use crate::args::Command;
use crate::context::Context;
use crate::failure::Outcome;

/// Runs a command.
pub(crate) fn run(context: &Context, command: Command) -> Outcome {
    match command {
        Command::Approve(args) => vote::approve(context, args),
        Command::Artifacts(command) => artifacts::run(context, &command),
        Command::Cancel(args) => cancel::run(context, args),
        Command::Completions(args) => Ok(completions::run(context, &args)),
        Command::Demo(args) => demo::run(context, args),
        Command::Doctor(args) => doctor::run(context, &args),
        Command::Environments(args) => environments::run(context, &args),
        Command::Eval(args) => eval::run(context, &args),
        Command::Explain(args) => explain::run(context, &args),
        Command::Graph(args) => graph::run(context, &args),
        Command::Hook(args) => hook::run(context, args),
        Command::Init(args) => init::run(context, &args),
        Command::Lint(args) => lint::run(context, &args),
        Command::Logs(args) => logs::run(context, &args),
        Command::Migration(command) => migration::run(context, &command),
        Command::Plan(args) => plan::run(context, &args),
        Command::Reject(args) => vote::reject(context, args),
        Command::Rerun(args) => rerun::run(context, args),
        Command::Resume(args) => resume::run(context, &args),
        Command::Rollback(args) => rollback::run(context, &args),
        Command::Run(args) => run::run(context, &args),
        Command::Runs(args) => runs::run(context, &args),
        Command::Sbom(args) => sbom::run(context, &args),
        Command::Secret(command) => secret::run(context, &command),
        Command::Serve(args) => serve::run(context, args),
        Command::Show(args) => show::run(context, &args),
        Command::Store(command) => store::run(context, &command),
    }
}
