//! Carrying out one delivery for a job's step.
//!
//! Invariants: which plan is followed is stored before anything is done about it, and an approved one is followed or none;
//! what came of it is stored, with what is to be removed later, before the step hears of it; a delivery that is begun
//! again by another engine goes on from its milestones.

use std::sync::{Arc, Mutex};

use indexmap::IndexMap;
use serde_json::{Value, json};
use tagline_delivery::{DeliveryError, Milestone, Progress, Site, UNCHANGED};
use tagline_run::{GateStatus, Sender};
use tokio::sync::{mpsc, watch};

use super::deliverer::Delivered;
use super::desk::{Desk, Said};
use super::kept::{DELIVERED, Kept, PLANNED};
use super::past::past;
use super::prepare::is_free;
use super::site::{site, tree};
use super::together;
use crate::attend::Context;

/// One delivery that a step asks for.
pub(crate) struct Delivery {
    pub(crate) context: Context,
    pub(crate) from: Sender,
    /// The request.
    pub(crate) id: u64,
    pub(crate) step: u32,
    /// The action with its inputs; none to end what an earlier engine had begun for a step whose agent is gone.
    pub(crate) asked: Option<(String, IndexMap<String, String>)>,
    pub(crate) says: mpsc::UnboundedSender<Said>,
    pub(crate) stop: watch::Receiver<Option<String>>,
}

/// Carries it out, or goes on with it. Returns the step's outputs.
///
/// # Errors
/// Why the step fails, one sentence.
pub(crate) async fn carry_out(delivery: Delivery) -> Result<IndexMap<String, String>, String> {
    let Delivery { context, from, id, step, asked, says, stop } = delivery;
    let state = context.state.clone();
    let known: Vec<Milestone> =
        state.milestones(&from.key, from.attempt, step).map(|one| of_run(&one.milestone)).collect();
    if let Some(end) = known.iter().rev().find(|milestone| milestone.name == DELIVERED) {
        return Ok(outputs(end));
    }
    let environment = state.leg(&from.key).and_then(|leg| leg.ready.leg.environment.clone());
    let environment = environment.ok_or("a delivery step needs `environment:` at its job: it says where to deliver")?;
    let site = site(&state, &environment, &from.key, from.attempt, step, tree(&context).await?)?;
    let own = |milestone: &&Milestone| milestone.name != PLANNED && milestone.name != DELIVERED;
    let milestones = Mutex::new(known.iter().filter(own).cloned().collect());
    let desk = Desk {
        environment: site.environment.clone(),
        context: context.clone(),
        from,
        step,
        id,
        says,
        stop,
        milestones,
    };
    let desk = Arc::new(desk);
    let kept = choose(&context, &desk, &site, &known, asked.as_ref()).await?;
    let delivered = match context.config.deliverer.apply(&kept.plan, &site, desk.clone()).await {
        Ok(delivered) => delivered,
        Err(DeliveryError::Failed(failure)) => {
            failure.evidence.iter().for_each(|line| desk.say(line.clone()));
            return Err(failure.to_string());
        }
        Err(DeliveryError::Stopped(_)) => return Err(last_words(&desk)),
    };
    let text = if delivered.text.is_empty() { format!("{} is done", kept.uses) } else { delivered.text.clone() };
    let data = serde_json::to_value(&delivered).map_err(|error| error.to_string())?;
    desk.store(&Milestone { name: DELIVERED.to_owned(), text, data }).await;
    Ok(delivered.outputs)
}

/// The plan to follow: the one that was begun with, else the approved one, else one that is made now.
async fn choose(
    context: &Context,
    desk: &Desk,
    site: &Site,
    known: &[Milestone],
    asked: Option<&(String, IndexMap<String, String>)>,
) -> Result<Kept, String> {
    let begun = known.iter().rev().find(|milestone| milestone.name == PLANNED);
    if let Some(digest) = begun.and_then(|milestone| milestone.data.get("plan")).and_then(Value::as_str) {
        let kept = Kept::get(&context.store, digest).await?;
        return same(kept, asked);
    }
    let Some((uses, with)) = asked else { return Err("it had not begun".to_owned()) };
    let (digest, kept) = match approved(context, desk) {
        Some(digest) => {
            let kept = same(Kept::get(&context.store, &digest).await?, asked)?;
            (digest, kept)
        }
        None if site.protected && !is_free(uses) => {
            return Err(format!("{} asks for an approval, and this step was not part of it", site.environment));
        }
        None => {
            together::plan(context, desk, site).await?;
            let past = past(context, &site.environment).await?;
            let planned = context.config.deliverer.plan(site, uses, with, &past).await;
            let prepared = planned.map_err(|error| error.to_string())?;
            prepared.summary.iter().for_each(|line| desk.say(line.clone()));
            let kept = Kept { uses: uses.clone(), with: with.clone(), plan: prepared.plan };
            (kept.put(&context.store).await?, kept)
        }
    };
    let text = format!("{uses} follows the plan {}", tagline_plan::digest::short(&digest));
    let unit = with.get("name").unwrap_or(&site.repository);
    let data = json!({ "uses": uses, "plan": digest, "environment": site.environment, "unit": unit });
    desk.store(&Milestone { name: PLANNED.to_owned(), text, data }).await;
    Ok(kept)
}

/// The digest of the plan that the approved gate of the step's leg binds.
fn approved(context: &Context, desk: &Desk) -> Option<String> {
    let (_, gate) = context.state.gate_of(&desk.from.key)?;
    let opened = gate.opened.as_ref().filter(|_| matches!(gate.status, GateStatus::Approved { .. }))?;
    let key = &desk.from.key;
    let of_step =
        |one: &&tagline_plan::PlannedDelivery| one.job == key.job && one.leg == key.leg && one.step == desk.step;
    opened.plan.deliveries.iter().find(of_step).map(|one| one.digest.clone())
}

/// The plan, unless something else is asked for now.
fn same(kept: Kept, asked: Option<&(String, IndexMap<String, String>)>) -> Result<Kept, String> {
    match asked.and_then(|(uses, with)| kept.difference(uses, with)) {
        None => Ok(kept),
        Some(what) => Err(format!("the step is not what was planned, so nothing is done: {what}")),
    }
}

/// How things stand after a delivery that was told to end.
fn last_words(desk: &Desk) -> String {
    desk.milestones().last().map_or_else(|| UNCHANGED.to_owned(), |milestone| milestone.text.clone())
}

fn outputs(end: &Milestone) -> IndexMap<String, String> {
    serde_json::from_value::<Delivered>(end.data.clone()).map(|delivered| delivered.outputs).unwrap_or_default()
}

fn of_run(milestone: &tagline_run::Milestone) -> Milestone {
    Milestone { name: milestone.name.clone(), text: milestone.text.clone(), data: milestone.data.clone() }
}
