//! What can be wrong with signals before a release begins: found before anything is changed.

use jiff::{SignedDuration, Timestamp};

use super::meter::{Meter, Pods, is_counter};
use crate::check::prometheus::{Prometheus, PrometheusError};
use crate::check::promql::Query;
use crate::check::subject::Subject;
use crate::cluster::Cluster;
use crate::inputs::MeasureKnobs;
use crate::inputs::signal::{Builtin, Signal, SignalDefinition, SignalName};
use crate::{Failure, UNCHANGED};

/// Asks for every metric that these signals need, and looks at the step's own queries. Gives what is read from where.
/// Built-in signals are looked for at the live release's pods; without one nothing can be said of them yet.
///
/// # Errors
/// A server that is away, a query that is none (with its column), a metric nobody has, a function that does not fit its
/// metric: all of them at once.
pub async fn preflight(
    knobs: &MeasureKnobs,
    signals: &[&Signal],
    live: Option<&Subject>,
    cluster: &Cluster,
    now: Timestamp,
) -> Result<Vec<String>, Failure> {
    let mut problems = Vec::new();
    if let Some(address) = &knobs.prometheus {
        match Prometheus::new(address) {
            Ok(server) => {
                for signal in used(knobs, signals) {
                    match of_definition(&server, signal, now).await {
                        // One is enough: they would all say the same.
                        Err(error @ PrometheusError::Away { .. }) => {
                            let failure = Failure::new("signals cannot be measured", error.to_string());
                            return Err(failure.next("see whether it runs, or correct its address"));
                        }
                        Err(error) => problems.push(format!("{}: {error}", signal.name)),
                        Ok(found) => problems.extend(found.into_iter().map(|what| format!("{}: {what}", signal.name))),
                    }
                }
            }
            Err(error) => problems.push(error.to_string()),
        }
    }
    let notes = match live {
        Some(live) => builtins(knobs, signals, live, cluster, now, &mut problems).await,
        None => vec!["nothing is live yet: metrics are looked for when the release is there".to_owned()],
    };
    if problems.is_empty() {
        return Ok(notes);
    }
    problems.dedup();
    let more = problems.len() - 1;
    let first = problems[0].clone();
    let why = if more == 0 { first } else { format!("{first} (and {more} more)") };
    let failure = Failure { evidence: problems, ..Failure::new("signals cannot be measured", why) };
    Err(failure.effect(UNCHANGED).next("correct signals, metric-labels or the rules"))
}

/// The definitions that are used.
fn used<'k>(knobs: &'k MeasureKnobs, signals: &[&Signal]) -> Vec<&'k SignalDefinition> {
    let is_used = |definition: &&SignalDefinition| {
        signals.iter().any(|signal| signal.name == SignalName::Defined(definition.name.clone()))
    };
    knobs.signals.iter().filter(is_used).collect()
}

/// What is wrong with a definition. The server judges its syntax.
async fn of_definition(
    server: &Prometheus,
    definition: &SignalDefinition,
    now: Timestamp,
) -> Result<Vec<String>, PrometheusError> {
    let text = definition.within("");
    server.query(&text, now).await?;
    let Some(query) = Query::parse(&text) else { return Ok(Vec::new()) };
    let mut problems: Vec<String> = query.mistakes().into_iter().map(str::to_owned).collect();
    let from = now.checked_sub(SignedDuration::from_hours(1)).unwrap_or(now);
    for metric in query.metrics() {
        if server.names(&format!("__name__={}", crate::check::prometheus::quoted(&metric)), from).await?.is_empty() {
            problems.push(format!("metric {metric} not found at {}", server.address()));
        }
    }
    for (function, metric) in query.rates() {
        if server.kind(&metric).await?.as_deref() == Some("gauge") {
            problems.push(format!("{function}() of gauge {metric}; use delta or deriv"));
        }
    }
    if definition.is_metric()
        && is_counter(definition)
        && server.kind(&definition.query).await?.as_deref() == Some("gauge")
    {
        problems.push(format!("{} ends like a counter, and its targets say it is a gauge", definition.query));
    }
    Ok(problems)
}

/// One look at the live release: what has no metric now will have none later.
async fn builtins(
    knobs: &MeasureKnobs,
    signals: &[&Signal],
    live: &Subject,
    cluster: &Cluster,
    now: Timestamp,
    problems: &mut Vec<String>,
) -> Vec<String> {
    let pods = match live.list(cluster).await {
        Ok(pods) => pods,
        Err(error) => {
            problems.push(error.to_string());
            return Vec::new();
        }
    };
    if pods.is_empty() {
        return vec!["nothing is live yet: metrics are looked for when the release is there".to_owned()];
    }
    let mut meter = Meter::new(knobs, signals.to_vec(), live, live.port, cluster);
    let from = now.checked_sub(SignedDuration::try_from(*knobs.window).unwrap_or_default()).unwrap_or(now);
    let readings = meter.look(Pods::Now(&pods), from, now).await;
    let found = meter.metrics();
    let mut notes = Vec::new();
    for signal in signals {
        let builtin = match &signal.name {
            SignalName::Builtin(builtin) => *builtin,
            SignalName::Defined(name) if meter.scrapes() => {
                problems.extend(on_pages(&meter, knobs, name));
                continue;
            }
            SignalName::Defined(_) => continue,
        };
        let metric = match builtin {
            Builtin::ErrorRate | Builtin::Throughput => {
                found.requests.as_ref().map(|requests| format!("{} by {}", requests.metric, requests.status))
            }
            Builtin::P50 | Builtin::P95 | Builtin::P99 => found.latency.clone(),
            Builtin::MemorySlope => found.memory.clone(),
            Builtin::Restarts => Some("the pods' states".to_owned()),
            Builtin::QueueDepth | Builtin::DlqGrowth | Builtin::Lag => found.waiting.get(&builtin).cloned(),
        };
        if let Some(metric) = metric {
            notes.push(format!("{signal} is read from {metric}"));
        } else {
            let why = readings.get(&signal.to_string()).map(|reading| reading.text(signal.unit()));
            problems.push(format!("{signal}: {}", why.unwrap_or_default()));
        }
    }
    notes
}

/// What is wrong with a signal that is a metric of the pods' own pages.
fn on_pages(meter: &Meter<'_>, knobs: &MeasureKnobs, name: &str) -> Option<String> {
    let definition = knobs.signals.iter().find(|signal| signal.name == name)?;
    let metric = &definition.query;
    match meter.kind_on_pages(metric) {
        None => Some(format!("{name}: metric {metric} not found at the pods")),
        Some(kind) if kind == "gauge" && is_counter(definition) => {
            Some(format!("{name}: {metric} ends like a counter, and the pods say it is a gauge"))
        }
        Some(_) => None,
    }
}
