//! `tagline rerun`.

use indexmap::IndexMap;
use tagline_run::{Input, Rerun, RunId, RunState, decide};
use tagline_server::release::{self, ReleaseError};
use tagline_server::{TellError, beside, clock, secrets};

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
    let given = args.drive.secrets.as_deref().map(super::run::given).transpose()?.unwrap_or_default();
    let what = match (args.failed, args.from) {
        (true, _) => Rerun::Failed,
        (false, Some(job)) => Rerun::From(job),
        (false, None) => Rerun::All,
    };
    let rerun = Input::Rerun { by, what, allow_downgrade: args.allow_downgrade };
    no_downgrade(&followed, &rerun)?;
    let manner = Manner { holder: "tagline rerun", json: args.drive.json, ask: true };
    secrets::require_again(&followed.store, &after(&followed.state, &rerun)?, &given)?;
    live::block_on(async {
        tell(context, args.run, rerun, &given).await?;
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

/// The run as it would be. What it refuses is refused here, before any secret is stored for it.
fn after(state: &RunState, rerun: &Input) -> Result<RunState, Failure> {
    let events = decide(state, rerun.clone(), clock::now()).map_err(TellError::from)?;
    let mut after = state.clone();
    events.iter().try_for_each(|event| after.apply(event)).map_err(TellError::from)?;
    Ok(after)
}

/// Tells the run, which has its secrets then. One that refuses all the same, because another command came first, gives
/// them up, unless they are that command's.
async fn tell(context: &Context, run: RunId, rerun: Input, given: &IndexMap<String, String>) -> Result<(), Failure> {
    if !given.is_empty() {
        let store = context.open_store()?;
        secrets::give(&store, run, given)?;
    }
    let told = beside::tell(&context.store, run, rerun).await;
    if let Err(TellError::Refused(_)) = &told
        && !given.is_empty()
    {
        let store = context.open_store()?;
        if store.run(run)?.status == "completed" {
            secrets::forget(&store, run);
        }
    }
    told?;
    Ok(())
}
