//! `tagline resume`: goes on with runs that wait or were interrupted.

use tagline_run::RunId;
use tagline_store::RunFilter;

use crate::args::ResumeArgs;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::live::{self, Manner};

/// Goes on with one run, or with all that are not over. Of a finished run it repeats the outcome.
pub(crate) fn run(context: &Context, args: &ResumeArgs) -> Outcome {
    let runs = chosen(context, args.run)?;
    if runs.is_empty() {
        context.output.note("No run waits, and none was interrupted");
        return Ok(Exit::Done);
    }
    if args.drive.secrets.is_some() && args.run.is_none() {
        return Err(Failure::unusable("which-run", "secrets are given to one run: name it")
            .effect("nothing was run")
            .next(context.command("runs --active")));
    }
    for run in &runs {
        super::run::give(context, *run, args.drive.secrets.as_deref())?;
    }
    let manner = Manner { holder: "tagline resume", json: args.drive.json, ask: true };
    live::block_on(live::drive(context, &runs, &manner))
}

fn chosen(context: &Context, run: Option<RunId>) -> Result<Vec<RunId>, Failure> {
    if let Some(run) = run {
        context.read_store()?.run(run)?;
        return Ok(vec![run]);
    }
    let Some(store) = context.read_store_if_any()? else { return Ok(Vec::new()) };
    let active = store.runs(&RunFilter { active: true, ..RunFilter::default() })?;
    Ok(active.iter().rev().map(|row| RunId(row.id)).collect())
}
