//! The way back of a rotation: everything reads the old values again, which were never touched; the new Secret goes.
//!
//! Invariants:
//! - That it goes back is recorded before anything is done about it: another engine goes on with it, not with the rotation.
//! - The new Secret is first taken out of force, so that no release and no later rotation builds on it, whatever becomes of
//!   the rest.
//! - A cancel does not end it, the end of the engine does.

use serde_json::{Value, json};

use super::apply::Run;
use super::{ROTATED, readers_of, refer};
use crate::cluster::{MANAGER, Patch, Precondition, Propagation};
use crate::operate::{Note, settle};
use crate::progress::recorded;
use crate::strategy::Steady;
use crate::{DeliveryError, Failure, Object, Progress, Stop};

/// The milestone.
const GOING: &str = "going-back";

/// Why an earlier engine was on its way back.
pub(super) fn reason(progress: &dyn Progress) -> Option<DeliveryError> {
    let milestone = recorded(progress, GOING)?;
    let failure: Option<Failure> = serde_json::from_value(milestone.data).ok().flatten();
    Some(failure.map_or_else(|| Stop::Cancelled(milestone.text).into(), DeliveryError::from))
}

/// Goes back, unless the rotation had come to its end; the error says how things stand then.
pub(super) async fn go(run: &Run<'_>, error: DeliveryError) -> DeliveryError {
    if recorded(run.progress, "rotated").is_some() {
        return error;
    }
    let steady = Steady(run.progress);
    let effect = match back(run, &error, &steady).await {
        Ok(effect) => effect,
        Err(stopped @ DeliveryError::Stopped(_)) => return stopped,
        Err(wrong) => format!("and it could not be put back everywhere: {wrong}"),
    };
    run.progress.say(effect.clone());
    match error {
        DeliveryError::Failed(failure) => failure.effect(effect).into(),
        stopped @ DeliveryError::Stopped(_) => stopped,
    }
}

async fn back(run: &Run<'_>, error: &DeliveryError, steady: &dyn Progress) -> Result<String, DeliveryError> {
    let (text, data) = match error {
        DeliveryError::Failed(failure) => (failure.to_string(), json!(failure)),
        DeliveryError::Stopped(stop) => (stop.to_string(), Value::Null),
    };
    run.reached(GOING, &text, data).await?;
    let old = &run.plan.live.0.name;
    let made = run.made().await?;
    out_of_force(run, &made).await?;
    let names: Vec<String> = made.iter().map(|secret| secret.name().to_owned()).collect();
    let mut sent = Vec::new();
    // Those that read the old one too: an earlier engine may have sent them back and not waited for them.
    let both: Vec<String> = names.iter().chain([old]).cloned().collect();
    for reader in readers_of(run.cluster, &both).await? {
        sent.push(refer(run.cluster, &reader, &names, old).await?);
    }
    run.reached("rolled-back", &format!("everything reads {old} again"), Value::Null).await?;
    // A pod that is still on its way with the new values would not start without them: while that may be, they stay.
    match settle(run.cluster, &sent, *run.plan.inputs.timeout, steady).await {
        Ok(()) => {}
        Err(stopped @ DeliveryError::Stopped(_)) => return Err(stopped),
        Err(wrong) => {
            return Ok(format!("everything refers to {old} as before; {} stays for now: {wrong}", names.join(", ")));
        }
    }
    for secret in &made {
        run.cluster.delete(&secret.id(), &Precondition::same(secret), Propagation::Background).await?;
    }
    Ok(format!("everything reads {old} as before, and it works"))
}

/// No release and no rotation takes what was made for the one that counts, and nothing is done about the old one later.
async fn out_of_force(run: &Run<'_>, made: &[Object]) -> Result<(), DeliveryError> {
    for secret in made {
        let patch = json!({"metadata": {"uid": secret.uid(), "annotations": {ROTATED: null}}});
        run.cluster.patch(&secret.id(), MANAGER, &Patch::Merge(patch)).await?;
    }
    let ours = |note: &Note| made.iter().any(|secret| note.successor.as_deref() == Some(secret.name()));
    if let Some((_, there)) = Note::get(run.cluster, &Note::name_of(&run.what())).await?.filter(|(note, _)| ours(note))
    {
        Note::forget(run.cluster, &there).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Milestone;
    use crate::testing::Link;

    #[test]
    fn the_next_engine_knows_why_it_goes_back() {
        let known = |name: &str, data| {
            Link::knowing(vec![Milestone { name: name.to_owned(), text: "asked to".to_owned(), data }])
        };
        let failure = Failure::new("the new values do not work", "403");
        let said = reason(&known(GOING, json!(failure)));
        assert!(matches!(said, Some(DeliveryError::Failed(said)) if *said == failure));
        let said = reason(&known(GOING, Value::Null));
        assert!(matches!(said, Some(DeliveryError::Stopped(Stop::Cancelled(why))) if why == "asked to"));
        assert!(reason(&known("switched", Value::Null)).is_none());
    }
}
