//! The way back of several units: all of them are planned before the first one moves.
//!
//! Invariant: a unit that cannot go back is told before another one has gone; nothing is in between then.

use tagline_delivery::DeliveryError;
use tagline_plan::delivery_steps;

use super::desk::Desk;
use super::kept::PLANNED;
use super::past::past;
use super::site::{site, tree};
use crate::attend::Context;
use crate::rollback;

/// Plans every step of a built-in rollback, where none has begun yet. The plans are not kept: each step makes its own when
/// its turn comes.
///
/// # Errors
/// Everything that keeps a unit from going back, in one text.
pub(super) async fn plan(context: &Context, desk: &Desk, own: &tagline_delivery::Site) -> Result<(), String> {
    let (state, key, attempt) = (&context.state, &desk.from.key, desk.from.attempt);
    let begun =
        state.reached.iter().any(|one| one.key == *key && one.attempt == attempt && one.milestone.name == PLANNED);
    if state.plan.workflow.path != rollback::WORKFLOW || begun {
        return Ok(());
    }
    let (Some(job), Some(leg)) = (state.plan.jobs.get(&key.job), state.known_leg(key)) else { return Ok(()) };
    let steps = delivery_steps(&state.plan, job, leg, 1, &state.facts()).map_err(|error| error.to_string())?;
    if steps.len() < 2 {
        return Ok(());
    }
    let past = past(context, &own.environment).await?;
    let mut problems = Vec::new();
    for step in steps {
        let with = step.with.map_err(|unknown| unknown.join("; "))?;
        let site = site(state, &own.environment, key, attempt, step.step, tree(context).await?)?;
        match context.config.deliverer.plan(&site, &step.uses, &with, &past).await {
            Ok(_) => {}
            Err(DeliveryError::Failed(failure)) => problems.push(format!("{}: {failure}", step.name)),
            Err(DeliveryError::Stopped(stop)) => return Err(stop.to_string()),
        }
    }
    match problems.as_slice() {
        [] => Ok(()),
        problems => Err(format!(
            "no unit was moved: {} (next: leave a unit out: tagline rollback {} --unit NAME)",
            problems.join("; "),
            own.environment
        )),
    }
}
