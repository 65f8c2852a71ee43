//! How a unit gets live, and how it gets back.
//!
//! Each strategy is read top to bottom as the list of its steps: [`rolling`], [`blue_green`], [`back`]. Invariants:
//! - A step that was done is seen (in the cluster, or as a recorded milestone) and passed over: everything may be begun
//!   again from its start.
//! - Before the first change the milestone `begun` holds what was there ([`Snapshot`]).
//! - Whatever fails, ends in one of two states: all new, or all old.

mod already;
mod back;
mod begin;
mod blue_green;
mod checks;
mod evidence;
mod hands;
mod leftovers;
mod narrow;
mod proof;
mod put;
mod retire;
mod rolling;
mod snapshot;
mod subjects;
mod survey;
mod traffic;
mod waits;

use jiff::Timestamp;
use serde_json::Value;

use crate::action::{DeployPlan, Outcome};
use crate::cluster::Cluster;
use crate::inputs::Strategy;
use crate::progress::recorded;
use crate::{DeliveryError, Milestone, Progress, Site, Stop};

pub(crate) use back::{Back, PATIENCE, Steady, go_back, longest};
pub(crate) use begin::{live_workloads, workloads_of};
pub(crate) use hands::{Drifted, drift};
pub(crate) use narrow::{Narrowing, narrowing};
pub(crate) use proof::proved;
pub(crate) use put::{Moved, Rules, forces, prepared};
pub(crate) use retire::retire;
pub use snapshot::{Kept, Snapshot};
pub use survey::LiveRelease;
pub(crate) use survey::{Survey, id_in, is_of, live_in_place, release_of, settled};

/// One delivery under way.
pub(crate) struct Delivery<'a> {
    pub(crate) plan: &'a DeployPlan,
    pub(crate) site: &'a Site,
    pub(crate) cluster: Cluster,
    pub(crate) progress: &'a dyn Progress,
}

impl<'a> Delivery<'a> {
    /// `cluster` waits for an API server that is away as long as the step may take.
    pub(crate) fn new(plan: &'a DeployPlan, site: &'a Site, cluster: &Cluster, progress: &'a dyn Progress) -> Self {
        let cluster = cluster.with_patience(*plan.inputs.timeout);
        Self { plan, site, cluster, progress }
    }

    /// A milestone was reached, by this engine or by one before.
    pub(crate) fn reached(&self, name: &str) -> bool {
        recorded(self.progress, name).is_some()
    }

    /// Records a milestone, once.
    pub(crate) async fn record(&self, name: &str, text: String, data: Value) -> Result<(), Stop> {
        if self.reached(name) {
            return Ok(());
        }
        self.progress.record(Milestone { name: name.to_owned(), text, data }).await
    }

    /// When the traffic was moved; now, where it was not.
    pub(crate) fn switched_at(&self) -> Timestamp {
        let at = recorded(self.progress, "switched").and_then(|milestone| milestone.data["at"].as_str()?.parse().ok());
        at.unwrap_or_else(|| self.progress.now())
    }

    pub(crate) fn say(&self, line: impl Into<String>) {
        self.progress.say(line.into());
    }

    /// What the step allows to be taken from others.
    pub(crate) fn rules(&self) -> Rules {
        let inputs = &self.plan.inputs;
        Rules {
            adopt: inputs.adopt,
            drift: inputs.drift,
            force: inputs.force_conflicts,
            run: Some(self.site.run),
            as_it_was: false,
        }
    }

    /// Sleeps, or ends because the action is to end.
    pub(crate) async fn pause(&self, time: std::time::Duration) -> Result<(), Stop> {
        tokio::select! {
            biased;
            stop = self.progress.stopped() => Err(stop),
            () = self.progress.sleep(time) => Ok(()),
        }
    }

    /// Ends where the action is to end.
    pub(crate) fn go_on(&self) -> Result<(), Stop> {
        use futures_util::FutureExt;
        self.progress.stopped().now_or_never().map_or(Ok(()), Err)
    }
}

/// Delivers a unit as its plan says.
pub(crate) async fn deliver(delivery: &Delivery<'_>) -> Result<Outcome, DeliveryError> {
    if let Some(outcome) = already::live(delivery).await? {
        return Ok(outcome);
    }
    if !delivery.reached("begun") {
        delivery.plan.warnings.iter().for_each(|line| delivery.progress.warn(line.clone()));
    }
    match &delivery.plan.inputs.strategy {
        Strategy::Rolling(_) => rolling::deliver(delivery).await,
        Strategy::BlueGreen(knobs) => blue_green::deliver(delivery, knobs).await,
    }
}
