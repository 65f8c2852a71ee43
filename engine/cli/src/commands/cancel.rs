//! `tagline cancel`.

use tagline_run::Input;
use tagline_server::beside;
use tagline_server::repository::identity_of_user;

use crate::args::CancelArgs;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::gate;
use crate::live::{self, Followed};

/// Cancels a run. Where an engine serves the store it ends what runs; else the cancel is recorded for the next one.
pub(crate) fn run(context: &Context, args: CancelArgs) -> Outcome {
    let (mut followed, _) = Followed::open(context, args.run)?;
    // Its repository may be gone, and a run must be cancelled all the same.
    let by = gate::person_of(&followed.store, &followed.state).or_else(identity_of_user);
    let by = by.ok_or_else(|| {
        Failure::unusable("no-identity", "who cancels is not known: Git has no user.email")
            .effect("nothing was recorded")
            .next("git config --global user.email you@example.com")
    })?;
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
