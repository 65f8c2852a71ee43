//! The `tagline` command: parses the command line, runs one command, turns its outcome into an exit code.
//!
//! - [`agent`]: the program that runs the steps of every job, carried in this one.
//! - [`args`]: every command and flag. [`commands`]: what they do, one file each.
//! - [`context`]: what all commands share: the store, the repository, the output.
//! - [`live`]: runs while they go on. [`gate`]: what an approver sees and says.
//! - [`failure`]: errors for people. [`exit`]: what each exit code means.
//! - [`output`]: the one way to standard output and standard error. [`table`]: lists. [`words`]: times, numbers, digests.

mod agent;
mod args;
mod commands;
mod context;
mod diagnostics;
mod errors;
mod exit;
mod failure;
mod gate;
mod live;
mod output;
mod table;
mod words;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::Arguments;
use crate::context::Context;

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|panic| output::bug(&panic.to_string())));
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return args::explain(&error).into(),
    };
    let store = arguments.global.store.clone();
    let context = Context::new(&arguments.global);
    let outcome = context.and_then(|context| {
        context.warn_of_clock();
        let exit = commands::run(&context, arguments.command)?;
        Ok(context.output.checked(exit))
    });
    match outcome {
        Ok(exit) => exit.into(),
        Err(failure) => failure.at_store(store.as_deref()).report(&output::Output::new()).into(),
    }
}
