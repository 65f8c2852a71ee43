//! `tagline rollback ENV`: back to what was live, by a run of its own.

use tagline_run::RunId;
use tagline_server::ledger;
use tagline_server::rollback::{self, Wish};
use tagline_server::{BeginOptions, begin};

use crate::args::RollbackArgs;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::live::{self, Manner};
use crate::words::plain;

/// What a delivery's own end is called among its milestones.
const DELIVERED: &str = "delivered";

/// Plans the way back, begins it and drives it to its end.
pub(crate) fn run(context: &Context, args: &RollbackArgs) -> Outcome {
    let repository = context.repository()?;
    let store = context.open_store()?;
    let wish = Wish {
        environment: args.environment.clone(),
        to: args.to.clone(),
        units: args.unit.clone(),
        reason: args.reason.clone(),
        restart: args.restart,
        actor: None,
    };
    let planned = rollback::plan(&repository, &store, &wish).map_err(Failure::from)?;
    super::run::warn(context, std::slice::from_ref(&planned));
    let options = BeginOptions { runner: "auto".to_owned(), allow_downgrade: true, ..BeginOptions::default() };
    let begun = begin(&store, &repository, &planned, &options)?;
    drop(store);
    let manner = Manner { holder: "tagline rollback", json: args.drive.json, ask: true };
    let exit = live::block_on(live::drive(context, &[begun.run], &manner))?;
    if !args.drive.json {
        say_what_came_of_it(context, begun.run)?;
    }
    Ok(exit)
}

/// One line for each unit: `already live: 1.2.2`, `1.2.2 serves 100 %`; of several also which did not come back.
fn say_what_came_of_it(context: &Context, run: RunId) -> Result<(), Failure> {
    let store = context.open_store()?;
    let state = ledger::state(&store, run)?;
    let ends: Vec<_> = state.reached.iter().filter(|reached| reached.milestone.name == DELIVERED).collect();
    for (id, job) in &state.plan.jobs {
        for (number, step) in (0u32..).zip(&job.job.steps) {
            let end = ends.iter().find(|end| end.key.job == *id && end.step == number);
            let name = step.name.as_ref().map_or("", |name| name.text.as_str());
            match end {
                Some(end) => context.output.line(plain(&end.milestone.text)),
                None if state.finished.is_some() && !ends.is_empty() => {
                    context.output.line(plain(&format!("not done: {name}")));
                }
                None => {}
            }
        }
    }
    Ok(())
}
