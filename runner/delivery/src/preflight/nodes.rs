//! Room on nodes: what they can take minus what is asked for on them. Advice only: new nodes may come, and affinity is the
//! scheduler's business.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Problem;
use super::capacity::{Extra, Limits};
use super::quantity::Quantity;
use crate::Object;

/// What a node still has: `cpu`, `memory`, `pods` and whatever else it offers.
type Free = BTreeMap<String, Quantity>;

/// Which of the extra pods no node has room for, placed one after the other where the first has.
pub fn node_problems(extra: &[Extra], nodes: &[Object], pods: &[Object], limits: &Limits) -> Vec<Problem> {
    let mut free: Vec<(&Object, Free)> =
        nodes.iter().filter(|node| is_open(node)).map(|node| (node, free(node, pods))).collect();
    let mut problems = Vec::new();
    for each in extra {
        let wants = wants(&each.spec, limits);
        let placed = (0..each.pods).take_while(|_| place(&mut free, &each.spec, &wants)).count();
        let placed = i64::try_from(placed).unwrap_or(i64::MAX);
        if placed < each.pods {
            let shares = wants.iter().filter(|(resource, _)| *resource != "pods");
            let shares: Vec<_> =
                shares.map(|(resource, amount)| format!("{} {resource}", amount.text(resource))).collect();
            let size = if shares.is_empty() { String::new() } else { format!(" of {}", shares.join(", ")) };
            let message =
                format!("{} needs {} more pods{size}, the nodes have room for {placed}", each.name, each.pods);
            problems.push(Problem {
                advice: true,
                of_input: false,
                ..Problem::new(message, "add nodes, or deliver with fewer pods at once")
            });
        }
    }
    problems
}

fn wants(spec: &Value, limits: &Limits) -> Free {
    let mut wants = limits.pod(spec).0;
    wants.insert("pods".to_owned(), Quantity::whole(1));
    wants
}

fn is_open(node: &Object) -> bool {
    let ready = |each: &Value| each["type"] == "Ready" && each["status"] == "True";
    node.0.pointer("/spec/unschedulable") != Some(&Value::Bool(true))
        && node.list("/status/conditions").iter().any(ready)
}

fn free(node: &Object, pods: &[Object]) -> Free {
    let allocatable = node.texts("/status/allocatable");
    let mut free: Free =
        allocatable.iter().filter_map(|(key, text)| Some((key.clone(), Quantity::parse(text)?))).collect();
    let ended = |pod: &&Object| matches!(pod.text("/status/phase"), "Succeeded" | "Failed");
    for pod in pods.iter().filter(|pod| pod.text("/spec/nodeName") == node.name() && !ended(pod)) {
        take(&mut free, &wants(&pod.0["spec"], &Limits::default()));
    }
    free
}

fn take(free: &mut Free, wants: &Free) {
    for (resource, amount) in wants {
        let place = free.entry(resource.clone()).or_default();
        *place = *place - *amount;
    }
}

fn place(nodes: &mut [(&Object, Free)], spec: &Value, wants: &Free) -> bool {
    let has =
        |free: &Free| wants.iter().all(|(resource, amount)| free.get(resource).is_some_and(|free| free >= amount));
    let found = nodes.iter_mut().find(|(node, free)| has(free) && takes(node, spec));
    found.map(|(_, free)| take(free, wants)).is_some()
}

/// The node's labels fit the pod's `nodeSelector`, and the pod tolerates the node's taints.
fn takes(node: &Object, spec: &Value) -> bool {
    let labels = node.labels();
    let selector = spec["nodeSelector"].as_object().into_iter().flatten();
    let fits = selector.into_iter().all(|(key, value)| labels.get(key).map(String::as_str) == value.as_str());
    let tolerations = spec["tolerations"].as_array().map(Vec::as_slice).unwrap_or_default();
    let hard = node.list("/spec/taints").iter().filter(|taint| taint["effect"] != "PreferNoSchedule");
    fits && hard.into_iter().all(|taint| tolerations.iter().any(|toleration| tolerates(toleration, taint)))
}

/// As the scheduler decides: no key means all keys, no effect all effects, `Exists` all values.
fn tolerates(toleration: &Value, taint: &Value) -> bool {
    let same = |key: &str| toleration[key].as_str().unwrap_or_default() == taint[key].as_str().unwrap_or_default();
    let absent = |key: &str| toleration[key].as_str().unwrap_or_default().is_empty();
    let exists = toleration["operator"] == "Exists";
    (absent("effect") || same("effect")) && (same("key") || (absent("key") && exists)) && (exists || same("value"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(name: &str, cpu: &str, taints: &Value) -> Object {
        Object(json!({"metadata": {"name": name, "labels": {"disk": "fast"}}, "spec": {"taints": taints},
            "status": {"allocatable": {"cpu": cpu, "memory": "8Gi", "pods": "110"},
                "conditions": [{"type": "Ready", "status": "True"}]}}))
    }

    fn extra(pods: i64, more: &Value) -> Extra {
        let mut spec = json!({"containers": [{"name": "a", "resources": {"requests": {"cpu": "500m"}}}]});
        for (key, value) in more.as_object().unwrap() {
            spec[key] = value.clone();
        }
        Extra { name: "workers".to_owned(), spec, pods }
    }

    #[test]
    fn pods_that_run_and_taints_take_room_away() {
        let running =
            Object(json!({"spec": {"nodeName": "a", "containers": [{"resources": {"requests": {"cpu": "1"}}}]}}));
        let ended = Object(json!({"status": {"phase": "Succeeded"}, "spec": running.0["spec"]}));
        let tainted = json!([{"key": "gpu", "value": "yes", "effect": "NoSchedule"}]);
        let nodes = [node("a", "2", &json!([])), node("b", "9", &tainted)];
        let pods = [running, ended];
        let problems = node_problems(&[extra(3, &json!({}))], &nodes, &pods, &Limits::default());
        assert_eq!(problems[0].message, "workers needs 3 more pods of 500m cpu, the nodes have room for 2");
        assert!(problems[0].advice);
        let tolerating = json!({"tolerations": [{"key": "gpu", "operator": "Exists"}]});
        assert_eq!(node_problems(&[extra(3, &tolerating)], &nodes, &pods, &Limits::default()), []);
        let elsewhere = extra(1, &json!({"nodeSelector": {"disk": "slow"}}));
        assert_eq!(node_problems(&[elsewhere], &nodes, &pods, &Limits::default()).len(), 1);
    }
}
