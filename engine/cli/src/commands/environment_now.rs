//! What the cluster says of an environment now, for `environments ENV`: one screen instead of ten commands.

use serde_json::{Value, json};
use tagline_delivery::Target;
use tagline_delivery::cluster::Cluster;
use tagline_delivery::status::{self, EnvironmentStatus, Health, WorkloadStatus};
use tagline_syntax::environments::Cluster as Place;

use crate::context::Context;
use crate::live;
use crate::output::{Facts, Mark, Style};
use crate::words::plain;

/// A view waits so long for a cluster; a release waits longer.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);

/// What was found, or one sentence why not.
pub(super) fn read(place: &Place) -> Result<EnvironmentStatus, String> {
    let target = Target { context: place.context.clone(), namespace: place.namespace.clone() };
    let asked = live::block_on(async {
        let cluster = match Cluster::connect(&target, &[]).await {
            Ok(cluster) => cluster.with_patience(PATIENCE),
            Err(error) => return Ok(Err(error)),
        };
        Ok(status::read(&cluster).await)
    });
    match asked {
        Ok(found) => found.map_err(|error| format!("{error}; {}", error.next())),
        Err(_) => Err("the cluster cannot be asked".to_owned()),
    }
}

/// As JSON: the status, or `{"error": …}`.
pub(super) fn as_json(found: &Result<EnvironmentStatus, String>) -> Value {
    match found {
        Ok(status) => json!(status),
        Err(why) => json!({ "error": why }),
    }
}

/// The lines of the view.
pub(super) fn lines(context: &Context, found: &Result<EnvironmentStatus, String>) -> Vec<String> {
    let facts = &context.output.out;
    let label = |name: &str, text: String| format!("  {} {text}", facts.paint(Style::Strong, format!("{name:<10}")));
    let status = match found {
        Ok(status) => status,
        Err(why) => return vec![label("Cluster", facts.state(Mark::Unknown, &plain(why)))],
    };
    let mut lines = vec![label(
        "Cluster",
        format!("{}  {}", facts.state(mark(status.health), status.health.word()), plain(&status.target.to_string())),
    )];
    for service in &status.services {
        let selected = if service.workloads.is_empty() { "nothing".to_owned() } else { service.workloads.join(", ") };
        let count = |number: Option<usize>| number.map_or("?".to_owned(), |number| number.to_string());
        let ready = format!("{} ready, {} not", count(service.ready), count(service.not_ready));
        lines.push(label("Service", plain(&format!("{} → {selected}  {ready}", service.name))));
    }
    for workload in &status.workloads {
        lines.push(label(&workload.kind, of_workload(facts, workload)));
        for pod in &workload.pods {
            let usage = pod.usage.as_ref().map_or_else(String::new, |usage| {
                format!("  cpu {}, memory {}", usage.cpu.join(" + "), usage.memory.join(" + "))
            });
            let restarts = if pod.restarts == 0 { String::new() } else { format!("  {} restarts", pod.restarts) };
            let mark = if pod.ready { Mark::Success } else { Mark::Warning };
            let state = facts.state(mark, &plain(&format!("{} {}", pod.name, pod.state)));
            lines.push(label("", format!("  {state}{usage}{restarts}")));
            lines.extend(pod.log.iter().map(|line| label("", format!("    {}", plain(line)))));
        }
    }
    for one in &status.operations {
        let until = one.until.as_ref().map_or("until it is undone".to_owned(), |until| format!("until {until}"));
        let facts = one.facts.iter().map(|(name, value)| format!("  {name} {value}"));
        lines.push(label("Operation", plain(&format!("{}  {until}{}", one.what, facts.collect::<String>()))));
    }
    for one in &status.autoscalers {
        let note = if one.note.is_empty() { String::new() } else { format!("  {}", one.note) };
        let bounds = format!("{} to {}, now {}", one.minimum, one.maximum, one.current);
        lines.push(label("Autoscaler", plain(&format!("{} → {}  {bounds}{note}", one.name, one.workload))));
    }
    for one in &status.budgets {
        let text = format!("{}  {} pods count, {} may be evicted", one.name, one.pods, one.allowed);
        lines.push(label("Budget", plain(&text)));
    }
    for one in &status.unread {
        lines.push(label(
            "Unread",
            facts.state(Mark::Unknown, &plain(&format!("{}: {}; {}", one.kind, one.why, one.next))),
        ));
    }
    for event in &status.events {
        lines.push(label("Event", plain(&format!("{} {} {}: {}", event.at, event.about, event.reason, event.message))));
    }
    lines
}

fn of_workload(facts: &Facts, workload: &WorkloadStatus) -> String {
    let version = if workload.version.is_empty() { "-" } else { &workload.version };
    let role = if workload.live { "live" } else { "kept" };
    let note = if workload.note.is_empty() { String::new() } else { format!("  {}", workload.note) };
    let (ready, wanted) = (workload.ready, workload.wanted);
    let mark = match (workload.stuck, ready >= wanted) {
        (true, _) => Mark::Warning,
        (false, true) => Mark::Success,
        (false, false) => Mark::InProgress,
    };
    facts.state(mark, &plain(&format!("{}  {version}  {role}  {ready}/{wanted}{note}", workload.name)))
}

fn mark(health: Health) -> Mark {
    match health {
        Health::Healthy => Mark::Success,
        Health::Deploying => Mark::InProgress,
        Health::Degraded => Mark::Warning,
        Health::Unhealthy => Mark::Failure,
        Health::Unknown => Mark::Unknown,
        Health::Empty => Mark::Skipped,
    }
}
