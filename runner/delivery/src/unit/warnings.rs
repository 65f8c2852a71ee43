//! What is worth a warning in a plan: what the manifests say that costs requests or stands in the way of going back.

use std::time::Duration;

use serde_json::Value;

use super::{Role, Unit};
use crate::Object;
use crate::inputs::{BlueGreenKnobs, DeployInputs, Strategy};

/// Lines for people, in the order of the manifests.
pub fn warnings(unit: &Unit, inputs: &DeployInputs) -> Vec<String> {
    let mut lines = inputs.notes.clone();
    lines.extend(started_anew(unit, inputs));
    for workload in unit.of(Role::Workload) {
        let served = unit
            .of(Role::Service)
            .any(|service| crate::object::selects(&service.texts("/spec/selector"), &workload.pod_labels()));
        if served {
            lines.extend(endings(workload, inputs));
            lines.extend(probes(workload));
        }
        if workload.number("/spec/revisionHistoryLimit") == Some(0) {
            lines.push(format!(
                "{}: revisionHistoryLimit 0 leaves `kubectl rollout undo` nothing; tagline rollback works",
                workload.id()
            ));
        }
    }
    lines
}

/// What a way back waits for where the old release keeps no pods: what its manifests say a pod takes at least.
fn started_anew(unit: &Unit, inputs: &DeployInputs) -> Option<String> {
    let Strategy::BlueGreen(BlueGreenKnobs { scale_old: 0, .. }) = &inputs.strategy else { return None };
    let delay = |container: &Value| {
        let of = |probe: &str| container[probe]["initialDelaySeconds"].as_u64().unwrap_or(0);
        of("startupProbe") + of("readinessProbe")
    };
    let containers = |workload: &Object| workload.list("/spec/template/spec/containers").iter().map(delay).max();
    let slowest = unit.of(Role::Workload).filter_map(containers).max().unwrap_or(0);
    let seconds = inputs.min_ready.as_secs() + slowest;
    Some(format!("scale-old 0: rollback will need about {}s to start pods", seconds.max(1)))
}

/// How pods end while requests are under way.
fn endings(workload: &Object, inputs: &DeployInputs) -> Vec<String> {
    let mut lines = Vec::new();
    let containers = workload.list("/spec/template/spec/containers");
    let id = workload.id();
    let grace = workload.number("/spec/template/spec/terminationGracePeriodSeconds").unwrap_or(30);
    let serving = containers.iter().filter(|each| each["ports"].as_array().is_some_and(|ports| !ports.is_empty()));
    for container in serving {
        let name = container["name"].as_str().unwrap_or_default();
        let pre_stop = &container["lifecycle"]["preStop"];
        if pre_stop.is_null() {
            lines.push(format!(
                "{id}: container {name} has no preStop: requests that arrive while the endpoints forget a pod fail; \
                 lifecycle.preStop.sleep.seconds: 5"
            ));
        }
        let sleep = pre_stop["sleep"]["seconds"].as_i64().unwrap_or(0);
        if sleep >= grace {
            lines.push(format!(
                "{id}: container {name} sleeps {sleep} s before it ends, and is killed after {grace} s: \
                 terminationGracePeriodSeconds must hold the sleep and the slowest request"
            ));
        }
    }
    if let Strategy::BlueGreen(knobs) = &inputs.strategy
        && *knobs.drain < Duration::from_secs(5)
    {
        lines.push(format!("drain {} is short: endpoints need a moment to forget the old pods; 15s", knobs.drain));
    }
    lines
}

/// Probes that a shared dependency takes down everywhere at once.
fn probes(workload: &Object) -> Vec<String> {
    let mut lines = Vec::new();
    let id = workload.id();
    for container in workload.list("/spec/template/spec/containers") {
        let name = container["name"].as_str().unwrap_or_default();
        let asks = |probe: &str| container[probe]["httpGet"]["path"].as_str();
        let serves = container["ports"].as_array().is_some_and(|ports| !ports.is_empty());
        if serves && container["readinessProbe"].is_null() {
            lines.push(format!("{id}: container {name} has no readinessProbe: it gets traffic before it can answer"));
        }
        if let (Some(ready), Some(live)) = (asks("readinessProbe"), asks("livenessProbe"))
            && ready == live
        {
            lines.push(format!(
                "{id}: container {name} is asked {ready} for readiness and for liveness: a dependency that is away restarts \
                 every pod, the way back included"
            ));
        }
        if reaches_out(&container["readinessProbe"]) {
            lines.push(format!(
                "{id}: the readinessProbe of container {name} asks something outside its pod: when that is away, all pods \
                 are unready at once"
            ));
        }
    }
    lines
}

/// A probe of another host, or a command with an address in it.
fn reaches_out(probe: &Value) -> bool {
    let host = probe["httpGet"]["host"].as_str().or_else(|| probe["tcpSocket"]["host"].as_str());
    let outside = |host: &str| !matches!(host, "" | "localhost" | "127.0.0.1" | "::1");
    let command = probe["exec"]["command"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let clients = ["pg_isready", "psql", "mysqladmin", "redis-cli", "mongosh", "nc ", "curl ", "wget "];
    host.is_some_and(outside)
        || command.into_iter().any(|word| {
            let local = word.contains("localhost") || word.contains("127.0.0.1");
            !local && clients.iter().any(|client| format!("{word} ").contains(client))
        })
}

#[cfg(test)]
mod tests {
    use indexmap::IndexMap;
    use serde_json::json;

    use super::*;
    use crate::inputs::Action;

    #[test]
    fn a_way_back_without_pods_says_how_long_it_takes() {
        let said = |scale: &str| {
            let pairs = [("manifests", "k8s"), ("strategy", "blue-green"), ("scale-old", scale), ("min-ready", "20s")];
            let with: IndexMap<String, String> =
                pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            let Ok(Action::Deploy(inputs)) = Action::read("tagline/deploy@v1", &with) else { panic!("{with:?}") };
            let shop = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "shop"}, "spec": {
                "template": {"spec": {"containers": [{"name": "c", "readinessProbe": {"initialDelaySeconds": 5}}]}}}});
            warnings(&Unit::new("shop", "1.2.3", vec![Object(shop)]), &inputs)
        };
        assert_eq!(said("0"), ["scale-old 0: rollback will need about 25s to start pods"]);
        assert_eq!(said("1"), [""; 0]);
    }
}
