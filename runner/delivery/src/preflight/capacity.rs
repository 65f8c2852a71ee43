//! Room by the namespace's rules: quotas and limit ranges, for the pods that a plan has at its peak beyond today's.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Problem;
use super::quantity::Quantity;
use crate::Object;

/// Pods that run at the peak of a plan beyond those that run now.
#[derive(Debug, Clone, PartialEq)]
pub struct Extra {
    /// The workload, for messages.
    pub name: String,
    /// `spec` of its pod template.
    pub spec: Value,
    /// How many more pods.
    pub pods: i64,
}

impl Extra {
    /// Of a workload.
    pub fn of(workload: &Object, pods: i64) -> Self {
        let place = format!("{}/spec", workload.template_pointer().unwrap_or("/none"));
        let spec = workload.0.pointer(&place).cloned().unwrap_or_default();
        Self { name: workload.name().to_owned(), spec, pods }
    }
}

/// Amounts by resource: `cpu`, `memory`.
type Amounts = BTreeMap<String, Quantity>;

/// What limit ranges of a namespace give to containers that ask for nothing, and what they refuse.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    default: Amounts,
    default_request: Amounts,
    /// By the limit range's name: least and most for one container.
    bounds: Vec<(String, Amounts, Amounts)>,
}

fn amounts(value: Option<&Value>) -> Amounts {
    let map = value.and_then(Value::as_object).into_iter().flatten();
    let read = |value: &Value| match value {
        Value::String(text) => Quantity::parse(text),
        Value::Number(number) => Quantity::parse(&number.to_string()),
        _ => None,
    };
    map.filter_map(|(key, value)| Some((key.clone(), read(value)?))).collect()
}

impl Limits {
    /// Of LimitRange objects. Where several give a default, which one wins is the server's choice; here the last.
    pub fn read(ranges: &[Object]) -> Self {
        let mut limits = Self::default();
        for range in ranges {
            for item in range.list("/spec/limits").iter().filter(|item| item["type"] == "Container") {
                limits.default.extend(amounts(item.get("default")));
                limits.default_request.extend(amounts(item.get("defaultRequest")));
                let bounds = (range.name().to_owned(), amounts(item.get("min")), amounts(item.get("max")));
                limits.bounds.push(bounds);
            }
        }
        limits
    }

    /// What a container asks for and is limited to once the server has filled in the defaults.
    fn container(&self, container: &Value) -> (Amounts, Amounts) {
        let mut limits = amounts(container.pointer("/resources/limits"));
        let mut requests = amounts(container.pointer("/resources/requests"));
        for (resource, limit) in &limits {
            requests.entry(resource.clone()).or_insert(*limit);
        }
        for (own, defaults) in [(&mut limits, &self.default), (&mut requests, &self.default_request)] {
            for (resource, amount) in defaults {
                own.entry(resource.clone()).or_insert(*amount);
            }
        }
        (requests, limits)
    }

    /// What one pod asks for and is limited to: its containers together, or the largest of those that run before them.
    pub(super) fn pod(&self, spec: &Value) -> (Amounts, Amounts) {
        let containers = |key: &str| spec[key].as_array().cloned().unwrap_or_default();
        let (mut requests, mut limits) = (Amounts::new(), Amounts::new());
        let add = |sum: &mut Amounts, more: Amounts| {
            for (resource, amount) in more {
                let place = sum.entry(resource).or_default();
                *place = *place + amount;
            }
        };
        let raise = |sum: &mut Amounts, least: Amounts| {
            for (resource, amount) in least {
                let place = sum.entry(resource).or_default();
                *place = (*place).max(amount);
            }
        };
        // A sidecar (an init container that goes on) counts with the containers.
        let (sidecars, first): (Vec<_>, Vec<_>) =
            containers("initContainers").into_iter().partition(|each| each["restartPolicy"] == "Always");
        for container in containers("containers").iter().chain(&sidecars) {
            let (request, limit) = self.container(container);
            add(&mut requests, request);
            add(&mut limits, limit);
        }
        for container in &first {
            let (request, limit) = self.container(container);
            raise(&mut requests, request);
            raise(&mut limits, limit);
        }
        add(&mut requests, amounts(spec.get("overhead")));
        (requests, limits)
    }

    /// Containers that a limit range refuses.
    fn refused(&self, extra: &Extra) -> Vec<Problem> {
        let mut problems = Vec::new();
        for container in extra.spec["containers"].as_array().into_iter().flatten() {
            let (requests, limits) = self.container(container);
            let who = format!("container {} of {}", container["name"].as_str().unwrap_or("?"), extra.name);
            for (range, least, most) in &self.bounds {
                for (resource, most) in most {
                    if limits.get(resource).is_some_and(|limit| limit > most) {
                        let (limit, most) = (limits[resource].text(resource), most.text(resource));
                        let message =
                            format!("{who} has a {resource} limit of {limit}, limit range {range} allows {most}");
                        problems.push(Problem::new(message, "lower its resources.limits"));
                    }
                }
                for (resource, least) in least {
                    if requests.get(resource).is_some_and(|request| request < least) {
                        let (request, least) = (requests[resource].text(resource), least.text(resource));
                        let message = format!("{who} asks for {request} {resource}, limit range {range} wants {least}");
                        problems.push(Problem::new(message, "raise its resources.requests"));
                    }
                }
            }
        }
        problems
    }
}

/// Which of a quota's names a pod counts against, and how much.
fn charges(requests: &Amounts, limits: &Amounts) -> Amounts {
    let mut charges =
        Amounts::from([("pods".to_owned(), Quantity::whole(1)), ("count/pods".to_owned(), Quantity::whole(1))]);
    for (resource, amount) in requests {
        charges.insert(format!("requests.{resource}"), *amount);
        if matches!(resource.as_str(), "cpu" | "memory" | "ephemeral-storage") {
            charges.insert(resource.clone(), *amount);
        }
    }
    charges.extend(limits.iter().map(|(resource, amount)| (format!("limits.{resource}"), *amount)));
    charges
}

/// What keeps the extra pods from being made, by quotas (`status` as the server counts it) and limit ranges. Quotas that
/// count only some pods (`BestEffort`, `Terminating`, by priority), and limits for whole pods, are left to the server.
pub fn quota_problems(extra: &[Extra], quotas: &[Object], limits: &Limits, namespace: &str) -> Vec<Problem> {
    let extra: Vec<_> = extra.iter().filter(|each| each.pods > 0).collect();
    let mut problems: Vec<_> = extra.iter().flat_map(|each| limits.refused(each)).collect();
    let charged: Vec<_> = extra.iter().map(|each| (each, charges_of(each, limits))).collect();
    for quota in quotas.iter().filter(|quota| counts_all(quota)) {
        let hard = amounts(quota.0.pointer("/status/hard").or(quota.0.pointer("/spec/hard")));
        let used = amounts(quota.0.pointer("/status/used"));
        for (resource, hard) in &hard {
            if let Some(who) =
                charged.iter().find(|(_, charges)| is_demanded(resource) && !charges.contains_key(resource))
            {
                let message = format!("{} states no {resource}, which quota {} counts", who.0.name, quota.name());
                let message = format!("{message} (namespace {namespace})");
                problems.push(Problem::new(message, "state resources.requests and limits of all its containers"));
                continue;
            }
            let each = charged
                .iter()
                .map(|(each, charges)| charges.get(resource).copied().unwrap_or_default().times(each.pods));
            let needs: Quantity = each.sum();
            let left = (*hard - used.get(resource).copied().unwrap_or_default()).max(Quantity::default());
            if needs > left {
                let (needs, left) = (needs.text(resource), left.text(resource));
                let what = resource.trim_start_matches("count/");
                let message =
                    format!("needs {needs} {what}, quota {} leaves {left} (namespace {namespace})", quota.name());
                problems.push(Problem::new(
                    message,
                    format!("raise quota {}, or deliver with fewer pods at once", quota.name()),
                ));
            }
        }
    }
    problems
}

fn charges_of(extra: &Extra, limits: &Limits) -> Amounts {
    let (requests, limits) = limits.pod(&extra.spec);
    charges(&requests, &limits)
}

/// A pod without it is refused where a quota counts it.
fn is_demanded(resource: &str) -> bool {
    let resource = resource.trim_start_matches("requests.").trim_start_matches("limits.");
    matches!(resource, "cpu" | "memory")
}

fn counts_all(quota: &Object) -> bool {
    let scopes = quota.list("/spec/scopes").iter().filter_map(Value::as_str);
    let mut partial = scopes.filter(|scope| !matches!(*scope, "NotTerminating" | "NotBestEffort"));
    partial.next().is_none() && quota.0.pointer("/spec/scopeSelector").is_none()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn extra(pods: i64, resources: &Value) -> Extra {
        Extra { name: "workers".to_owned(), spec: json!({"containers": [{"name": "a", "resources": resources}]}), pods }
    }

    fn quota(hard: &Value, used: &Value) -> Object {
        Object(json!({"metadata": {"name": "q"}, "status": {"hard": hard, "used": used}}))
    }

    fn said(extra: &[Extra], quota: Object, limits: &Limits) -> Vec<String> {
        quota_problems(extra, &[quota], limits, "prod").into_iter().map(|problem| problem.message).collect()
    }

    #[test]
    fn a_quota_that_is_too_small_for_two_releases_is_told_in_numbers() {
        let quota =
            quota(&json!({"pods": "10", "requests.memory": "2Gi"}), &json!({"pods": "6", "requests.memory": "1Gi"}));
        let needs = [extra(6, &json!({"requests": {"memory": "256Mi"}}))];
        assert_eq!(
            said(&needs, quota, &Limits::default()),
            [
                "needs 6 pods, quota q leaves 4 (namespace prod)",
                "needs 1536Mi requests.memory, quota q leaves 1024Mi (namespace prod)"
            ]
        );
    }

    #[test]
    fn a_limit_range_fills_in_what_a_container_does_not_state() {
        let quota = || quota(&json!({"requests.cpu": "1"}), &json!({"requests.cpu": "500m"}));
        let none = extra(2, &json!({}));
        assert_eq!(
            said(std::slice::from_ref(&none), quota(), &Limits::default()),
            ["workers states no requests.cpu, which quota q counts (namespace prod)"]
        );
        let range = Object(json!({"metadata": {"name": "r"}, "spec": {"limits": [
            {"type": "Container", "defaultRequest": {"cpu": "300m"}, "max": {"cpu": "1"}}]}}));
        let limits = Limits::read(&[range]);
        assert_eq!(said(&[none], quota(), &limits), ["needs 600m requests.cpu, quota q leaves 500m (namespace prod)"]);
        let large = extra(1, &json!({"limits": {"cpu": "2"}}));
        let problems = said(&[large], quota(), &limits);
        assert_eq!(problems[0], "container a of workers has a cpu limit of 2, limit range r allows 1");
    }

    #[test]
    fn nothing_is_said_where_no_pod_is_added_or_the_quota_counts_others() {
        let full = quota(&json!({"pods": "1"}), &json!({"pods": "1"}));
        assert_eq!(said(&[extra(0, &json!({}))], full.clone(), &Limits::default()), Vec::<String>::new());
        let mut partial = full;
        partial.set("/spec/scopes", json!(["BestEffort"]));
        assert_eq!(said(&[extra(3, &json!({}))], partial, &Limits::default()), Vec::<String>::new());
    }

    #[test]
    fn init_containers_raise_and_sidecars_add() {
        let spec = json!({
            "initContainers": [
                {"name": "i", "resources": {"requests": {"cpu": "3"}}},
                {"name": "s", "restartPolicy": "Always", "resources": {"requests": {"cpu": "1"}}},
            ],
            "containers": [{"name": "a", "resources": {"requests": {"cpu": "500m"}}}],
        });
        assert_eq!(Limits::default().pod(&spec).0["cpu"], Quantity(3000));
    }
}
