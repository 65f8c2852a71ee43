//! `tagline cancel`.

use tagline_run::Input;
use tagline_server::beside;

use crate::args::CancelArgs;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::gate;
use crate::live::{self, Followed};

/// Cancels a run. Where an engine serves the store it ends what runs; else the cancel is recorded for the next one.
pub(crate) fn run(context: &Context, args: CancelArgs) -> Outcome {
    let (mut followed, _) = Followed::open(context, args.run)?;
    let by = gate::person_of(&followed.store, &followed.state).unwrap_or_default();
    let input = Input::Cancel { by, reason: args.comment, force: args.force };
    let told = live::block_on(async { Ok(beside::tell(&context.store, args.run, input).await?) })?;
    followed.catch_up()?;
    let run = args.run;
    context.output.line(match (followed.state.finished.is_some(), told.engine_serves) {
        (true, _) => format!("Run {run} was cancelled"),
        (false, true) => format!("Run {run} is being cancelled: {}", context.command(format!("show {run}"))),
        (false, false) => {
            let resume = context.command(format!("resume {run}"));
            format!(
                "The cancel of run {run} is recorded. No engine serves the store; what still runs is ended by: {resume}"
            )
        }
    });
    Ok(Exit::Done)
}
