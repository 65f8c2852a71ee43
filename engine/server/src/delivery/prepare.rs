//! Planning the deliveries of a stage before its gate opens. An approval binds the digests of these plans, and what runs is
//! these plans.

use std::time::Duration;

use tagline_delivery::{DeliveryError, Failure};
use tagline_plan::{DeliveryStep, PlannedDelivery, delivery_steps};
use tagline_run::{Gate, JobKey};

use super::kept::Kept;
use super::past::past;
use super::site::{site, tree};
use crate::attend::Context;

/// Planning a stage takes no longer: a cluster that does not answer by then is told as such.
const PATIENCE: Duration = Duration::from_mins(10);

/// Actions that change nothing by themselves, or bring back what was there: they may be planned when their turn comes.
const FREE: [&str; 3] = ["tagline/smoke-test", "tagline/analyse", "tagline/rollback"];

/// Whether nobody needs to have approved what a step does.
pub(crate) fn is_free(uses: &str) -> bool {
    uses.split_once('@').is_some_and(|(name, _)| FREE.iter().any(|free| free.eq_ignore_ascii_case(name)))
}

fn is_rollback(uses: &str) -> bool {
    uses.split_once('@').is_some_and(|(name, _)| name.eq_ignore_ascii_case("tagline/rollback"))
}

/// Plans every delivery of a gate's stage, as far as its inputs are known; the plans are in the content store then.
///
/// # Errors
/// Everything that keeps a step from being planned, in one text.
pub(crate) async fn prepare(context: &Context, gate: &Gate) -> Result<Vec<PlannedDelivery>, String> {
    match tokio::time::timeout(PATIENCE, plan_all(context, gate)).await {
        Ok(planned) => planned,
        Err(_) => Err(format!("planning its deliveries took longer than {} minutes", PATIENCE.as_secs() / 60)),
    }
}

async fn plan_all(context: &Context, gate: &Gate) -> Result<Vec<PlannedDelivery>, String> {
    let state = &context.state;
    let facts = state.facts();
    let (mut planned, mut problems) = (Vec::new(), Vec::new());
    for key in &gate.jobs {
        let (Some(job), Some(leg)) = (state.plan.jobs.get(&key.job), state.known_leg(key)) else { continue };
        let ready = state.jobs.get(&key.job).and_then(|job| job.ready.as_ref()).map(|ready| ready.legs.len());
        let total = ready.or(job.legs.as_ref().map(Vec::len)).unwrap_or(1);
        let steps = delivery_steps(&state.plan, job, leg, total, &facts).map_err(|error| error.to_string())?;
        for step in steps {
            match one(context, gate, key, &step).await {
                Ok(found) => planned.extend(found),
                Err(why) => problems.push(format!("{key}, step {} ({}): {why}", step.step + 1, step.name)),
            }
        }
    }
    if problems.is_empty() { Ok(planned) } else { Err(problems.join("; ")) }
}

/// A failure with everything that it found, not only the first.
fn all_of(failure: &Failure) -> String {
    match failure.evidence.as_slice() {
        [_, _, ..] => Failure { why: failure.evidence.join("; "), ..failure.clone() }.to_string(),
        _ => failure.to_string(),
    }
}

/// The plan of one step; none where it is planned when its turn comes.
async fn one(
    context: &Context,
    gate: &Gate,
    key: &JobKey,
    step: &DeliveryStep,
) -> Result<Option<PlannedDelivery>, String> {
    let state = &context.state;
    let site = site(state, &gate.environment, key, state.attempt, step.step, tree(context).await?)?;
    // Where a way back leads is known when it is needed: after the steps before it.
    if is_rollback(&step.uses) {
        return Ok(None);
    }
    let with = match &step.with {
        Ok(with) => with,
        Err(_) if !site.protected || is_free(&step.uses) => return Ok(None),
        Err(unknown) => {
            let unknown = unknown.join("; ");
            return Err(format!(
                "{unknown}; {} asks for an approval, and nobody can approve what is not known",
                site.environment
            ));
        }
    };
    let past = past(context, &site.environment).await?;
    let prepared = match context.config.deliverer.plan(&site, &step.uses, with, &past).await {
        Ok(prepared) => prepared,
        Err(DeliveryError::Failed(failure)) => return Err(all_of(&failure)),
        Err(DeliveryError::Stopped(stop)) => return Err(stop.to_string()),
    };
    let kept = Kept { uses: step.uses.clone(), with: with.clone(), plan: prepared.plan };
    Ok(Some(PlannedDelivery {
        job: key.job.clone(),
        leg: key.leg,
        step: step.step,
        uses: step.uses.clone(),
        digest: kept.put(&context.store).await?,
        summary: prepared.summary,
    }))
}
