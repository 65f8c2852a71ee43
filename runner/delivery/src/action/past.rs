//! What was delivered before.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ActionPlan, DeployPlan, Kind, RollbackPlan, Way};
use crate::inputs::{Period, Strategy};
use crate::strategy::Snapshot;

/// A delivery of this environment that changed what is there, as its run remembers it. One that has gone back by itself is
/// none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Past {
    /// What was carried out.
    pub plan: ActionPlan,
    /// The data of its `begun` milestone: what was live before it. Null where it has none.
    #[serde(default)]
    pub begun: Value,
    /// It has begun and did not come to its end: it stayed as it stood, or its way back stopped half-way.
    #[serde(default)]
    pub open: bool,
}

impl Past {
    /// The release that it delivered, where it was one of this unit: also an old one that a rollback delivered again.
    pub(crate) fn deploy(&self, unit: &str) -> Option<&DeployPlan> {
        let plan = match &self.plan.kind {
            Kind::Deploy(plan) => plan,
            Kind::Rollback(plan) => match &plan.way {
                Way::Again(plan) => plan,
                Way::Already | Way::Undo { .. } => return None,
            },
            _ => return None,
        };
        (plan.unit == unit).then_some(plan)
    }

    /// The rollback that it was, where it was one of this unit.
    pub(crate) fn rollback(&self, unit: &str) -> Option<&RollbackPlan> {
        match &self.plan.kind {
            Kind::Rollback(plan) if plan.unit == unit => Some(plan),
            _ => None,
        }
    }

    /// How long what was live before it is kept for the way back, where it says so.
    pub(crate) fn window(&self) -> Option<Period> {
        match &self.plan.kind {
            Kind::Deploy(plan) => match &plan.inputs.strategy {
                Strategy::BlueGreen(knobs) => Some(knobs.keep_old),
                Strategy::Rolling(_) => None,
            },
            _ => None,
        }
    }

    /// What was live before it.
    pub(crate) fn snapshot(&self) -> Option<Snapshot> {
        serde_json::from_value(self.begun.clone()).ok()
    }
}

/// The version that was live before a delivery, from the data of its milestone `begun`.
pub fn version_before(begun: &Value) -> Option<String> {
    Some(serde_json::from_value::<Snapshot>(begun.clone()).ok()?.live?.version)
}
