//! A unit that is changed in place.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Role, Unit, role};
use crate::Object;
use crate::inputs::{Period, RollingKnobs};

/// What a rolling delivery applies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RollingShape {
    /// All objects, in the order in which they are applied.
    pub objects: Vec<Object>,
}

impl RollingShape {
    /// Sets the knobs into the manifests.
    ///
    /// # Errors
    /// One line for each workload that would leave users without pods.
    pub fn of(unit: &Unit, knobs: &RollingKnobs, min_ready: Period, deadline: Period) -> Result<Self, Vec<String>> {
        let mut objects = unit.objects.clone();
        let mut wrong = Vec::new();
        for object in objects.iter_mut().filter(|object| role(object) == Role::Workload) {
            pace(object, min_ready, deadline);
            match (object.kind(), object.text("/spec/strategy/type"), object.text("/spec/updateStrategy/type")) {
                ("Deployment", "Recreate", _) => wrong.push(format!(
                    "Deployment/{} has strategy Recreate: its pods end before new ones are ready; remove it",
                    object.name()
                )),
                ("Deployment", ..) => {
                    let pods = json!({"maxSurge": knobs.max_surge.to_value(), "maxUnavailable": knobs.max_unavailable.to_value()});
                    object.set("/spec/strategy", json!({"type": "RollingUpdate", "rollingUpdate": pods}));
                }
                (kind, _, "OnDelete") => wrong.push(format!(
                    "{kind}/{} has updateStrategy OnDelete: nothing would be rolled out; RollingUpdate",
                    object.name()
                )),
                _ => {}
            }
        }
        if wrong.is_empty() { Ok(Self { objects }) } else { Err(wrong) }
    }
}

/// How long a pod must be ready to count, and how long a rollout may stand still; what the manifest asks beyond that is kept.
pub(super) fn pace(workload: &mut Object, min_ready: Period, deadline: Period) {
    let seconds = |period: Period| i64::try_from(period.as_millis().div_ceil(1000)).unwrap_or(i64::MAX);
    let asked = workload.number("/spec/minReadySeconds").unwrap_or(0);
    let ready = asked.max(seconds(min_ready));
    if ready > 0 {
        workload.set("/spec/minReadySeconds", json!(ready));
    }
    if workload.kind() == "Deployment" {
        workload.set("/spec/progressDeadlineSeconds", json!(seconds(deadline).max(ready + 1)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inputs::Amount;

    #[test]
    fn knobs_are_set_and_recreate_is_refused() {
        let deployment = |strategy| {
            Object(json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"},
            "spec": {"strategy": strategy, "minReadySeconds": 30}}))
        };
        let knobs = RollingKnobs { max_surge: Amount::Percent(25), max_unavailable: Amount::Count(0) };
        let shape = |strategy| {
            let unit = Unit::new("u", "1.0.0", vec![deployment(strategy)]);
            RollingShape::of(&unit, &knobs, Period::from_secs(10), Period::from_secs(300))
        };
        let good = shape(json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 2}})).unwrap();
        assert_eq!(
            good.objects[0].0["spec"]["strategy"]["rollingUpdate"],
            json!({"maxSurge": "25%", "maxUnavailable": 0})
        );
        assert_eq!(good.objects[0].number("/spec/minReadySeconds"), Some(30));
        assert_eq!(good.objects[0].number("/spec/progressDeadlineSeconds"), Some(300));
        assert!(shape(json!({"type": "Recreate"})).unwrap_err()[0].starts_with("Deployment/a has strategy Recreate"));
    }
}
