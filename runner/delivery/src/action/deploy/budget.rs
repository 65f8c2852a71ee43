//! Whether a way back with a fixed number of pods leaves disruption budgets anything to give.

use crate::Object;
use crate::inputs::{DeployInputs, Replicas, Strategy};
use crate::object::selects;
use crate::unit::{Role, role};

/// Budgets whose `minAvailable` is above what the workloads that they count are brought back with: no pod of them could ever
/// be moved. Shares are of whatever runs.
pub(super) fn below_budget(rendered: &[Object], inputs: &DeployInputs) -> Vec<String> {
    let Strategy::BlueGreen(knobs) = &inputs.strategy else { return Vec::new() };
    let Replicas::Count(count) = knobs.rollback_replicas else { return Vec::new() };
    let mut lines = Vec::new();
    for budget in rendered.iter().filter(|object| role(object) == Role::Budget) {
        let Some(least) = budget.number("/spec/minAvailable") else { continue };
        let selector = budget.texts("/spec/selector/matchLabels");
        let counted = rendered.iter().filter(|object| role(object) == Role::Workload);
        let counted = counted.filter(|each| selects(&selector, &each.pod_labels())).count();
        let pods = i64::from(count) * i64::try_from(counted).unwrap_or(i64::MAX);
        if counted > 0 && pods < least {
            let name = budget.id();
            lines.push(format!("rollback-replicas {count} is below the PDB's minAvailable {least} ({name}); previous"));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use indexmap::IndexMap;
    use serde_json::{Value, json};

    use super::*;
    use crate::inputs::Action;

    #[test]
    fn a_way_back_below_a_budget_is_told() {
        let said = |replicas: &str, least: Value, workloads: &[&str]| {
            let pairs = [("manifests", "k8s"), ("strategy", "blue-green"), ("rollback-replicas", replicas)];
            let with: IndexMap<String, String> =
                pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            let Ok(Action::Deploy(inputs)) = Action::read("tagline/deploy@v1", &with) else { panic!("{with:?}") };
            let workload = |name: &&str| {
                Object(json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
                    "spec": {"template": {"metadata": {"labels": {"app": "shop"}}}}}))
            };
            let mut rendered: Vec<Object> = workloads.iter().map(workload).collect();
            let spec = json!({"minAvailable": least, "selector": {"matchLabels": {"app": "shop"}}});
            rendered.push(Object(json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
                "metadata": {"name": "shop"}, "spec": spec})));
            below_budget(&rendered, &inputs)
        };
        let line = "rollback-replicas 2 is below the PDB's minAvailable 3 (PodDisruptionBudget/shop); previous";
        assert_eq!(said("2", json!(3), &["a"]), [line]);
        let none = [""; 0];
        assert_eq!(said("3", json!(3), &["a"]), none);
        assert_eq!(said("2", json!(3), &["a", "b"]), none, "both are counted");
        assert_eq!(said("2", json!("60%"), &["a"]), none);
        assert_eq!(said("previous", json!(3), &["a"]), none);
        assert_eq!(said("2", json!(3), &[]), none, "it counts none of them");
    }
}
