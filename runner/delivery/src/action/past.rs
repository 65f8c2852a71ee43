//! What was delivered before.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ActionPlan, DeployPlan, Kind};
use crate::inputs::{Period, Strategy};
use crate::strategy::Snapshot;

/// A delivery of this environment that ended well, as its run remembers it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Past {
    /// What was carried out.
    pub plan: ActionPlan,
    /// The data of its `begun` milestone: what was live before it. Null where it has none.
    #[serde(default)]
    pub begun: Value,
}

impl Past {
    /// The deploy that it was, where it was one of this unit.
    pub(crate) fn deploy(&self, unit: &str) -> Option<&DeployPlan> {
        match &self.plan.kind {
            Kind::Deploy(plan) if plan.unit == unit => Some(plan),
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
