//! `tagline rerun`.

use tagline_run::{Input, Rerun};
use tagline_server::beside;
use tagline_server::release::{self, ReleaseError};

use crate::args::RerunArgs;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::gate;
use crate::live::{self, Followed, Manner};

/// Runs jobs of a finished run again, to its end or its gate.
pub(crate) fn run(context: &Context, args: RerunArgs) -> Outcome {
    let (followed, _) = Followed::open(context, args.run)?;
    let by = gate::person_of(&followed.store, &followed.state).ok_or_else(|| {
        Failure::unusable("no-identity", "who asks is not known: Git has no user.email for the run's repository")
            .effect("nothing was run")
            .next("git config user.email you@example.com")
    })?;
    let what = match (args.failed, args.from) {
        (true, _) => Rerun::Failed,
        (false, Some(job)) => Rerun::From(job),
        (false, None) => Rerun::All,
    };
    let input = Input::Rerun { by, what, allow_downgrade: args.allow_downgrade };
    no_downgrade(&followed, &input)?;
    super::run::give(context, args.run, args.drive.secrets.as_deref())?;
    let manner = Manner { holder: "tagline rerun", json: args.drive.json, ask: true };
    live::block_on(async {
        beside::tell(&context.store, args.run, input).await?;
        live::drive(context, &[args.run], &manner).await
    })
}

/// A rerun would bring back what a newer release has taken the place of. The engine looks again before each stage.
fn no_downgrade(followed: &Followed, rerun: &Input) -> Result<(), Failure> {
    let run = followed.state.run;
    release::no_downgrade_again(&followed.state, rerun, &followed.store).map_err(|error| match error {
        error @ ReleaseError::Downgrade { .. } => {
            let next = vec![format!("if it is meant: tagline rerun {run} --allow-downgrade")];
            Failure { next, ..Failure::from(error) }
        }
        error => error.into(),
    })
}
