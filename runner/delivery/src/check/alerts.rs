//! Alert rules of Prometheus, made from the rules of `rollback-when`: one list drives the gate, the way back and the alerts.
//!
//! What an alert cannot say is left out, and named: a comparison with the release before has no meaning a day later, and
//! `within` counts from a switch that Prometheus does not know.

use serde_json::{Value, json};

use super::prometheus::{escaped, quoted};
use crate::inputs::rule::{Comparison, Condition, Then};
use crate::inputs::signal::{Builtin, SignalName};
use crate::inputs::{MeasureKnobs, RollbackRule};

/// For whom alerts are made, and what its metrics are called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertsFor {
    /// The unit.
    pub unit: String,
    /// The environment.
    pub environment: String,
    /// Its namespace.
    pub namespace: String,
    /// The workloads' names in the manifests: pods of every release begin with them.
    pub workloads: Vec<String>,
    /// The counter of requests.
    pub requests: String,
    /// Its label for the status.
    pub status: String,
    /// The histogram of latencies: `…_bucket`.
    pub latency: String,
    /// The gauge of memory.
    pub memory: String,
}

/// Alert rules as a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Alerts {
    /// YAML as `rule_files` takes it.
    pub yaml: String,
    /// Rules without an alert, and why.
    pub left_out: Vec<String>,
}

impl AlertsFor {
    /// With the names that Micrometer gives its metrics.
    pub fn new(unit: &str, environment: &str, namespace: &str, workloads: Vec<String>) -> Self {
        Self {
            unit: unit.to_owned(),
            environment: environment.to_owned(),
            namespace: namespace.to_owned(),
            workloads,
            requests: "http_server_requests_seconds_count".to_owned(),
            status: "status".to_owned(),
            latency: "http_server_requests_seconds_bucket".to_owned(),
            memory: "process_resident_memory_bytes".to_owned(),
        }
    }

    fn scope(&self, knobs: &MeasureKnobs, labels: &[(String, String)]) -> String {
        let plain = knobs.labels.iter().filter(|(_, value)| !value.contains('{'));
        let given = plain.chain(labels).map(|(name, value)| format!(",{name}={}", quoted(value)));
        let given: String = given.collect();
        let names: Vec<String> = self.workloads.iter().map(|name| escaped(name)).collect();
        let pods = quoted(&format!("(?:{})-.+", names.join("|")));
        format!("namespace={},pod=~{pods}{given}", quoted(&self.namespace))
    }
}

/// The alert rules of a unit. Rules that end a release are `critical`, those that warn `warning`; one more says that there
/// is no data, because all others are silent then.
pub fn alerts(about: &AlertsFor, rules: &[RollbackRule], knobs: &MeasureKnobs) -> Alerts {
    let mut left_out = Vec::new();
    let mut made = Vec::new();
    for rule in rules {
        match expression(about, rule, knobs) {
            Ok(expression) => made.push(alert(about, rule, &expression)),
            Err(why) => left_out.push(format!("{}: {why}", rule.text)),
        }
    }
    if rules.iter().any(looks_at_requests) {
        let scope = about.scope(knobs, &[]);
        made.push(json!({
            "alert": "ReleaseHasNoData",
            "expr": format!("absent({}{{{scope}}})", about.requests),
            "for": "10m",
            "labels": labels(about, "warning"),
            "annotations": {"summary": format!("{} in {} gives no metrics: its other alerts are silent", about.unit, about.environment)},
        }));
    }
    let file = json!({"groups": [{"name": format!("tagline-{}-{}", about.environment, about.unit), "rules": made}]});
    // JSON values of texts and lists only: always YAML.
    let yaml = serde_yaml::to_string(&file).unwrap_or_default();
    Alerts { yaml, left_out }
}

fn labels(about: &AlertsFor, severity: &str) -> Value {
    json!({"severity": severity, "unit": about.unit, "environment": about.environment})
}

fn alert(about: &AlertsFor, rule: &RollbackRule, expression: &str) -> Value {
    let severity = if rule.then == Then::Warn { "warning" } else { "critical" };
    let mut alert = json!({
        "alert": name(rule),
        "expr": expression,
        "labels": labels(about, severity),
        "annotations": {
            "summary": format!("{} in {}: {}", about.unit, about.environment, rule.text),
            "rule": rule.text,
        },
    });
    if let Some(hold) = rule.hold {
        alert["for"] = json!(hold.to_string());
    }
    alert
}

/// `ReleaseErrorRate` of `error-rate`.
fn name(rule: &RollbackRule) -> String {
    let signal = match &rule.condition {
        Condition::HealthFails => "health",
        Condition::Signal(comparison) => match &comparison.signal.name {
            SignalName::Builtin(builtin) => builtin.name(),
            SignalName::Defined(name) => name,
        },
    };
    let words = signal.split('-').map(|word| {
        let mut letters = word.chars();
        let first = letters.next().map(|letter| letter.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    });
    format!("Release{}", words.collect::<String>())
}

fn looks_at_requests(rule: &RollbackRule) -> bool {
    let Condition::Signal(comparison) = &rule.condition else { return false };
    let SignalName::Builtin(builtin) = comparison.signal.name else { return false };
    [Builtin::ErrorRate, Builtin::P50, Builtin::P95, Builtin::P99, Builtin::Throughput].contains(&builtin)
}

fn expression(about: &AlertsFor, rule: &RollbackRule, knobs: &MeasureKnobs) -> Result<String, String> {
    let comparison = match &rule.condition {
        Condition::Signal(comparison) => comparison,
        // A target that is gone has no `up` at all.
        Condition::HealthFails => {
            let scope = about.scope(knobs, &[]);
            return Ok(format!("(min(up{{{scope}}}) or vector(0)) == 0"));
        }
    };
    if comparison.limit.needs_baseline() {
        return Err("it compares with the release before".to_owned());
    }
    let value = value(about, comparison, knobs)?;
    Ok(format!("{value} {} {}", comparison.op, comparison.limit.value()))
}

fn value(about: &AlertsFor, comparison: &Comparison, knobs: &MeasureKnobs) -> Result<String, String> {
    let scope = about.scope(knobs, &comparison.signal.labels);
    // Prometheus spells durations the same way.
    let window = knobs.window.to_string();
    let builtin = match &comparison.signal.name {
        SignalName::Builtin(builtin) => *builtin,
        SignalName::Defined(name) => return defined(name, &scope, &window, knobs),
    };
    let (requests, latency, memory) = (&about.requests, &about.latency, &about.memory);
    let quantile =
        |share: &str| format!("histogram_quantile({share}, sum by (le) (rate({latency}{{{scope}}}[{window}])))");
    Ok(match builtin {
        Builtin::ErrorRate => format!(
            "sum(rate({requests}{{{scope},{}=~\"5..\"}}[{window}])) / sum(rate({requests}{{{scope}}}[{window}]))",
            about.status
        ),
        Builtin::P50 => quantile("0.5"),
        Builtin::P95 => quantile("0.95"),
        Builtin::P99 => quantile("0.99"),
        Builtin::Throughput => format!("sum(rate({requests}{{{scope}}}[{window}]))"),
        Builtin::Restarts => format!("sum(increase(kube_pod_container_status_restarts_total{{{scope}}}[{window}]))"),
        Builtin::MemorySlope => format!("max(deriv({memory}{{{scope}}}[{window}]))"),
        Builtin::QueueDepth | Builtin::DlqGrowth | Builtin::Lag => {
            return Err(format!(
                "which metric {} is read from is found on the way: define it in signals",
                builtin.name()
            ));
        }
    })
}

fn defined(name: &str, scope: &str, window: &str, knobs: &MeasureKnobs) -> Result<String, String> {
    let definition = knobs.signals.iter().find(|signal| signal.name == name);
    let definition = definition.ok_or_else(|| format!("{name} is not defined"))?;
    let query = &definition.query;
    Ok(match definition.is_metric() {
        false => format!("({})", definition.within(scope)),
        true if query.ends_with("_total") || query.ends_with("_count") => {
            format!("sum(increase({query}{{{scope}}}[{window}]))")
        }
        true => format!("sum({query}{{{scope}}})"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::knobs;

    #[test]
    fn each_rule_is_an_alert_or_is_named() {
        let about = AlertsFor::new("shop", "production", "prod", vec!["shop".to_owned()]);
        let lines = [
            "error-rate > 5% for 5m",
            "error-rate > 1% for 5m then warn",
            "p99 > 2x baseline within 30m",
            "health fails 3m",
            "payments-failed > 0",
            "orders-paid < 0.8",
        ];
        let knobs = knobs(&[
            "source: http://127.0.0.1:9",
            "signals: payments-failed = payment_failures_total\norders-paid = min(orders_completed_ratio{release})",
        ]);
        let rules: Vec<_> = lines.iter().map(|line| RollbackRule::parse(line, &knobs.signals).unwrap()).collect();
        let made = alerts(&about, &rules, &knobs);
        assert_eq!(made.left_out, ["p99 > 2x baseline within 30m: it compares with the release before"]);
        let file: Value = serde_yaml::from_str(&made.yaml).unwrap();
        let rules = file["groups"][0]["rules"].as_array().unwrap();
        let names: Vec<&str> = rules.iter().filter_map(|rule| rule["alert"].as_str()).collect();
        let expected = [
            "ReleaseErrorRate",
            "ReleaseErrorRate",
            "ReleaseHealth",
            "ReleasePaymentsFailed",
            "ReleaseOrdersPaid",
            "ReleaseHasNoData",
        ];
        assert_eq!(names, expected);
        assert_eq!(rules[0]["for"], "5m");
        assert_eq!(
            (&rules[0]["labels"]["severity"], &rules[1]["labels"]["severity"]),
            (&json!("critical"), &json!("warning"))
        );
        assert!(rules[3].get("for").is_none());
        let scope = r#"namespace="prod",pod=~"(?:shop)-.+""#;
        assert_eq!(rules[4]["expr"], format!("(min(orders_completed_ratio{{{scope}}})) < 0.8"));
        assert_eq!(
            rules[0]["expr"],
            format!(
                "sum(rate(http_server_requests_seconds_count{{{scope},status=~\"5..\"}}[5m])) / \
                 sum(rate(http_server_requests_seconds_count{{{scope}}}[5m])) > 0.05"
            )
        );
    }
}
