//! The way back: used when a release fails or is cancelled, when a rule is broken, and by `tagline/rollback`.
//!
//! It returns to a [`Snapshot`]: a release by its objects, never "the one before". Order: what is to get traffic is scaled up
//! and waited for, then the traffic is moved, then the pods that had it drain, and only then anything is removed. Every step
//! looks whether it is done, so the way back may be begun again from its start, and done twice it writes nothing. Evidence
//! never holds the traffic up, and what somebody else points elsewhere is left to them.

mod beside;
mod in_place;
mod remove;
mod steady;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::hands::HAND;
use super::{Delivery, Snapshot, evidence, traffic, waits};
use crate::action::{DeployPlan, Outcome, Shape};
use crate::cluster::Cluster;
use crate::inputs::deploy::{EvidenceHook, OnFailure};
use crate::inputs::{Replicas, Strategy};
use crate::progress::recorded;
use crate::{DeliveryError, Failure, Milestone, Progress, Stop};

pub(crate) use steady::Steady;

/// An API server that is away while a release goes back is waited for so long.
pub(crate) const PATIENCE: Duration = Duration::from_hours(24);

/// A way back.
pub(crate) struct Back<'a> {
    /// The release that goes.
    pub(crate) leaving: &'a DeployPlan,
    /// What is returned to.
    pub(crate) to: &'a Snapshot,
    /// The environment's name, for what people may do.
    pub(crate) environment: &'a str,
    /// The connection.
    pub(crate) cluster: Cluster,
    /// Not ended by a cancel.
    pub(crate) progress: &'a dyn Progress,
    /// Pods that each old workload gets.
    pub(crate) replicas: Replicas,
    /// Between the switch and the first pod that ends.
    pub(crate) drain: Duration,
    /// For the old pods to get ready.
    pub(crate) timeout: Duration,
    /// Asked of pods before they are removed.
    pub(crate) evidence: &'a [EvidenceHook],
    /// The old pods are restarted before they get traffic.
    pub(crate) restart: bool,
    /// A person asks for it: what somebody else has changed meanwhile comes back, too. Otherwise that is left as it is, what the
    /// release has not written yet and Services that point elsewhere: the release failed over it, or before it came so far.
    pub(crate) by_hand: bool,
}

/// Goes back. Gives how things stand: `serves 100 %`, and what was left to somebody else.
pub(crate) async fn go_back(back: &Back<'_>) -> Result<String, DeliveryError> {
    let left = match back.leaving.shape()? {
        Shape::Rolling(shape) => in_place::go(back, &shape).await.map(|()| Vec::new()),
        Shape::BlueGreen(shape) => beside::go(back, &shape).await,
    };
    let version = back.to.version();
    Ok(match left?.as_slice() {
        [] => format!("{version} serves 100 %"),
        left => format!("{version} is back; left as it is: {}", left.join("; ")),
    })
}

/// How long a way back takes at most while the cluster answers: the sum of its waits.
pub(crate) fn longest(leaving: &DeployPlan, timeout: Duration, drain: Duration) -> Duration {
    let each = |count: usize, time: Duration| time.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX));
    match leaving.shape() {
        // The old pods get ready, and once more where they are restarted; those of the release end.
        Ok(Shape::BlueGreen(shape)) => {
            let switch = each(shape.services.len(), traffic::FOLLOWING);
            timeout.saturating_mul(3).saturating_add(switch).saturating_add(drain.max(evidence::LIMIT))
        }
        Ok(Shape::Rolling(shape)) => {
            let ends = each(shape.objects.len(), waits::ENDING);
            timeout.saturating_add(ends).saturating_add(evidence::LIMIT)
        }
        Err(_) => timeout,
    }
}

/// Why a release goes back: the data of the milestone `going-back`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Going {
    /// The failure; None where it was cancelled.
    failure: Option<Failure>,
    /// Why it was cancelled.
    cancelled: Option<String>,
    /// The old pods are restarted.
    #[serde(default)]
    restart: bool,
}

impl Going {
    /// As the step's error.
    pub(crate) fn error(&self) -> DeliveryError {
        match (&self.failure, &self.cancelled) {
            (Some(failure), _) => failure.clone().into(),
            (None, Some(why)) => Stop::Cancelled(why.clone()).into(),
            (None, None) => Failure::new("the release goes back", "").into(),
        }
    }
}

/// The way back that an engine before this one began.
fn under_way(progress: &dyn Progress) -> Option<Going> {
    serde_json::from_value(recorded(progress, "going-back")?.data).ok()
}

/// How an engine before this one ended the delivery: by a way back that it began, or by a failure that waits for a person.
/// Nothing goes forward then.
pub(super) fn halted(progress: &dyn Progress) -> Option<DeliveryError> {
    let paused = || serde_json::from_value::<Failure>(recorded(progress, "paused")?.data).ok();
    under_way(progress).map(|going| going.error()).or_else(|| paused().map(Into::into))
}

/// Says of a failure that the old pods are to be restarted on the way back (`then restart`).
pub(super) const RESTART: &str = "the old pods are restarted";

/// Says of a failure that traffic stays where it is (`then stop`).
pub(super) const STAY: &str = "traffic stays where it is";

/// Ends a delivery: what succeeded is given back, what failed goes back first, as the step says.
pub(super) async fn settle(
    delivery: &Delivery<'_>,
    before: &Snapshot,
    result: Result<Outcome, DeliveryError>,
) -> Result<Outcome, DeliveryError> {
    let error = match result {
        Err(error) if !matches!(error, DeliveryError::Stopped(Stop::EngineEnds)) => error,
        other => return other,
    };
    let going = match under_way(delivery.progress) {
        Some(going) => going,
        None => decide(delivery, before, error).await?,
    };
    if delivery.reached("rolled-back") {
        return Err(going.error());
    }
    let steady = Steady(delivery.progress);
    let inputs = &delivery.plan.inputs;
    let (drain, replicas) = match &inputs.strategy {
        Strategy::BlueGreen(knobs) => (*knobs.drain, knobs.rollback_replicas),
        Strategy::Rolling(_) => (Duration::ZERO, Replicas::Previous),
    };
    let back = Back {
        leaving: delivery.plan,
        to: before,
        environment: &delivery.site.environment,
        cluster: delivery.cluster.with_patience(PATIENCE),
        progress: &steady,
        replicas,
        drain,
        timeout: *inputs.timeout,
        evidence: &inputs.evidence,
        restart: going.restart,
        by_hand: false,
    };
    finish(&back, going).await
}

async fn finish(back: &Back<'_>, going: Going) -> Result<Outcome, DeliveryError> {
    match go_back(back).await {
        Ok(stands) => {
            let text = format!("{} has gone back; {stands}", back.leaving.version);
            back.progress.record(Milestone { name: "rolled-back".to_owned(), text, data: json!(null) }).await?;
            Err(going.error())
        }
        Err(DeliveryError::Stopped(stop)) => Err(stop.into()),
        Err(DeliveryError::Failed(why)) => {
            let mut failure =
                going.failure.unwrap_or_else(|| Failure::new("cancelled", going.cancelled.unwrap_or_default()));
            failure.effect = format!("the way back stopped half-way: {why}");
            failure.next = match command(back.environment, back.to) {
                Some(command) => format!("once its cause is gone: {command}"),
                None => "once its cause is gone: run the release again".to_owned(),
            };
            failure.evidence.extend(why.evidence);
            Err(failure.into())
        }
    }
}

/// What brings back what was live: by its version, for the journal may know another one as the newest by then.
fn command(environment: &str, before: &Snapshot) -> Option<String> {
    before.live.as_ref().map(|live| format!("tagline rollback {environment} --to {}", live.version))
}

/// Whether it goes back: recorded before the first step of it. An error where it does not.
async fn decide(delivery: &Delivery<'_>, before: &Snapshot, error: DeliveryError) -> Result<Going, DeliveryError> {
    let switched = delivery.reached("switched");
    let in_place = matches!(delivery.plan.inputs.strategy, Strategy::Rolling(_));
    let (mut failure, cancelled) = match error {
        DeliveryError::Failed(failure) => (Some(*failure), None),
        DeliveryError::Stopped(Stop::Cancelled(why)) => (None, Some(why)),
        DeliveryError::Stopped(stop) => return Err(stop.into()),
    };
    // Where nothing was live before it, there is nothing that could take the traffic of a release that has it.
    let nowhere = before.live.is_none() && switched;
    if let Some(why) = cancelled.as_ref().filter(|_| nowhere) {
        delivery.progress.warn(format!("{} stays: nothing was live before it", delivery.plan.version));
        return Err(Stop::Cancelled(why.clone()).into());
    }
    if let Some(failure) = &mut failure {
        let foreign = failure.what == HAND && (switched || in_place);
        let stay = failure.effect == STAY || delivery.plan.inputs.on_failure == OnFailure::Stop;
        if foreign || nowhere || stay {
            failure.effect = match (foreign, nowhere) {
                (true, _) => "everything was left as that change made it".to_owned(),
                (_, true) => format!("{} stays: nothing was live before it", delivery.plan.version),
                _ if switched => format!("{} has all traffic and stays", delivery.plan.version),
                _ => "everything was left as it is".to_owned(),
            };
            if let Some(command) = command(&delivery.site.environment, before) {
                let next = [failure.next.as_str(), &format!("to go back: {command}")];
                failure.next = next.into_iter().filter(|each| !each.is_empty()).collect::<Vec<_>>().join("; ");
            }
            return Err(failure.clone().into());
        }
        if delivery.plan.inputs.on_failure == OnFailure::Pause {
            // Recorded as it is: an engine that takes over waits on, and decides over the same failure.
            let data = serde_json::to_value(&*failure).unwrap_or_default();
            delivery.record("paused", format!("a person is to decide: {failure}"), data).await?;
            delivery
                .progress
                .warn(format!("{failure}; on-failure: pause: everything stays as it is until the job is cancelled"));
            if let stop @ Stop::EngineEnds = delivery.progress.stopped().await {
                return Err(stop.into());
            }
        }
    }
    let restart = failure.as_ref().is_some_and(|failure| failure.effect == RESTART);
    let live = before.version();
    let effect = match (switched, in_place) {
        (false, false) => format!("no traffic moved; {live} serves 100 %"),
        _ => format!("{live} serves 100 % again"),
    };
    if let Some(failure) = &mut failure {
        failure.effect.clone_from(&effect);
    }
    let why = failure.as_ref().map_or("cancelled".to_owned(), |failure| failure.what.clone());
    let going = Going { failure, cancelled, restart };
    let text = format!("back to {live}: {why}");
    delivery.progress.warn(text.clone());
    let data = serde_json::to_value(&going).unwrap_or_default();
    delivery.progress.record(Milestone { name: "going-back".to_owned(), text, data }).await?;
    Ok(going)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Link;

    fn milestone(name: &str, data: serde_json::Value) -> Milestone {
        Milestone { name: name.to_owned(), text: String::new(), data }
    }

    #[test]
    fn a_failure_that_waits_for_a_person_waits_with_the_next_engine() {
        let failure = Failure::new("a rule is broken", "p99").effect(RESTART);
        let begun = milestone("begun", json!(null));
        assert!(halted(&Link::knowing(vec![begun.clone()])).is_none());
        let paused = milestone("paused", json!(failure));
        match halted(&Link::knowing(vec![begun.clone(), paused.clone()])) {
            Some(DeliveryError::Failed(found)) => assert_eq!(*found, failure),
            other => panic!("{other:?}"),
        }
        // The person has decided.
        let going = Going { failure: None, cancelled: Some("by ops".to_owned()), restart: false };
        let going = milestone("going-back", json!(going));
        let decided = halted(&Link::knowing(vec![begun, paused, going]));
        assert!(matches!(decided, Some(DeliveryError::Stopped(Stop::Cancelled(_)))), "{decided:?}");
    }
}
