//! `tagline completions`: what a shell sources.

use clap::CommandFactory as _;

use crate::args::{Arguments, CompletionsArgs};
use crate::context::Context;
use crate::exit::Exit;

/// Runs it.
pub(crate) fn run(context: &Context, args: &CompletionsArgs) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Arguments::command(), "tagline", &mut script);
    context.output.stream(|out| out.write_all(&script));
    Exit::Done
}
