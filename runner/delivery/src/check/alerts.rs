//! Alert rules of Prometheus, made from the rules of `rollback-when`: one list drives the gate, the way back and the alerts.
//!
//! What an alert cannot say is left out, and named: a comparison with the release before has no meaning a day later, and
//! `within` counts from a switch that Prometheus does not know. A rule whose metric nobody found is named, too: an alert on
//! another metric would never fire.

use serde_json::{Value, json};

use super::measure::{Metrics, Scope, growth, increase, is_counter, matchers, steepest, waiting};
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
    /// What built-in signals are read from: as the watch found it.
    pub metrics: Metrics,
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
    /// The series of whatever release is live: as the watch finds those of its own.
    fn scope(&self, knobs: &MeasureKnobs) -> Scope {
        Scope::of_any_release(&knobs.labels, &self.namespace, &self.workloads)
    }

    /// A metric that speaks wherever there are requests.
    fn of_requests(&self) -> Option<&str> {
        let requests = self.metrics.requests.as_ref().map(|requests| requests.metric.as_str());
        requests.or(self.metrics.latency.as_deref())
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
    if let Some(metric) = about.of_requests().filter(|_| rules.iter().any(looks_at_requests)) {
        let scope = about.scope(knobs).release;
        made.push(json!({
            "alert": "ReleaseHasNoData",
            "expr": format!("absent({metric}{{{scope}}})"),
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
            let scope = about.scope(knobs).release;
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
    let (scope, labels) = (about.scope(knobs), &comparison.signal.labels);
    // Prometheus spells durations the same way.
    let window = knobs.window.to_string();
    let builtin = match &comparison.signal.name {
        SignalName::Builtin(builtin) => *builtin,
        SignalName::Defined(name) => return defined(name, &scope.release, &window, knobs),
    };
    let (release, wide) = (matchers(&scope.release, labels), matchers(&scope.namespace, labels));
    let unknown = || format!("the watch did not find which metric {} is read from", builtin.name());
    let requests = || about.metrics.requests.as_ref().ok_or_else(unknown);
    let queue = || about.metrics.waiting.get(&builtin).map(|gauge| format!("{gauge}{{{wide}}}")).ok_or_else(unknown);
    Ok(match builtin {
        Builtin::ErrorRate => {
            let (metric, status) = (&requests()?.metric, &requests()?.status);
            format!(
                "sum(rate({metric}{{{release},{status}=~\"5..\"}}[{window}])) / sum(rate({metric}{{{release}}}[{window}]))"
            )
        }
        Builtin::P50 | Builtin::P95 | Builtin::P99 => {
            let latency = about.metrics.latency.as_ref().ok_or_else(unknown)?;
            let share = match builtin {
                Builtin::P50 => "0.5",
                Builtin::P95 => "0.95",
                _ => "0.99",
            };
            format!("histogram_quantile({share}, sum by (le) (rate({latency}{{{release}}}[{window}])))")
        }
        Builtin::Throughput => format!("sum(rate({}{{{release}}}[{window}]))", requests()?.metric),
        Builtin::Restarts => {
            // What the cluster says of pods: it has none of the labels that the step gives its own series.
            let pods = Scope::of_any_release(&[], &about.namespace, &about.workloads).release;
            let pods = matchers(&pods, labels);
            format!("sum(increase(kube_pod_container_status_restarts_total{{{pods}}}[{window}]))")
        }
        Builtin::MemorySlope => {
            let memory = about.metrics.memory.as_ref().ok_or_else(unknown)?;
            steepest(memory, &release, &window)
        }
        Builtin::QueueDepth | Builtin::Lag => waiting(&queue()?),
        // A minute, as the signal is.
        Builtin::DlqGrowth => format!("{} * 60", growth(&queue()?, &window)),
    })
}

fn defined(name: &str, scope: &str, window: &str, knobs: &MeasureKnobs) -> Result<String, String> {
    let definition = knobs.signals.iter().find(|signal| signal.name == name);
    let definition = definition.ok_or_else(|| format!("{name} is not defined"))?;
    let query = &definition.query;
    Ok(match definition.is_metric() {
        false => format!("({})", definition.within(scope)),
        true if is_counter(definition) => format!("sum({})", increase(&format!("{query}{{{scope}}}"), window)),
        true => format!("sum({query}{{{scope}}})"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::measure::Requests;
    use crate::check::testing::knobs;

    fn about(metrics: Metrics) -> AlertsFor {
        AlertsFor {
            unit: "shop".to_owned(),
            environment: "production".to_owned(),
            namespace: "prod".to_owned(),
            workloads: vec!["shop".to_owned()],
            metrics,
        }
    }

    fn requests(metric: &str, status: &str) -> Requests {
        Requests { metric: metric.to_owned(), status: status.to_owned() }
    }

    /// The expressions of these rules, and what is left out.
    fn expressions(metrics: Metrics, lines: &[&str], given: &[&str]) -> (Vec<String>, Vec<String>) {
        let knobs = knobs(given);
        let rules: Vec<_> = lines.iter().map(|line| RollbackRule::parse(line, &knobs.signals).unwrap()).collect();
        let made = alerts(&about(metrics), &rules, &knobs);
        let file: Value = serde_yaml::from_str(&made.yaml).unwrap();
        let rules = file["groups"][0]["rules"].as_array().unwrap();
        (rules.iter().map(|rule| rule["expr"].as_str().unwrap().to_owned()).collect(), made.left_out)
    }

    #[test]
    fn alerts_read_what_the_watch_read() {
        let metrics = Metrics {
            requests: Some(requests("http_requests_total", "code")),
            latency: None,
            memory: Some("jvm_memory_used_bytes".to_owned()),
            waiting: [(Builtin::QueueDepth, "jobs_queue_depth".to_owned())].into(),
        };
        let lines = ["error-rate > 5%", "p99 > 2s", "memory-slope > 1MiB/min", "queue-depth > 9", "lag > 9"];
        let given = ["source: http://127.0.0.1:9", "metric-labels: namespace=x; service=shop; kubernetes_pod={pods}"];
        let (made, left_out) = expressions(metrics, &lines, &given);
        let wide = r#"namespace="x",service="shop""#;
        let own = format!("{wide},kubernetes_pod=~\"(?:shop)-.+\"");
        let rate = |more: &str| format!("sum(rate(http_requests_total{{{own}{more}}}[5m]))");
        assert_eq!(made[0], format!("{} / {} > 0.05", rate(",code=~\"5..\""), rate("")));
        let memory = format!("max(sum by (pod, instance) (deriv(jvm_memory_used_bytes{{{own}}}[5m])))");
        assert!(made[1].starts_with(&memory), "{}", made[1]);
        assert!(made[2].starts_with("sum(max by (queue,") && made[2].contains(&format!("jobs_queue_depth{{{wide}}}")));
        assert_eq!(made[3], format!("absent(http_requests_total{{{own}}})"));
        let named =
            |signal: &str, rule: &str| format!("{rule}: the watch did not find which metric {signal} is read from");
        assert_eq!(left_out, [named("p99", "p99 > 2s"), named("lag", "lag > 9")]);
    }

    #[test]
    fn each_rule_is_an_alert_or_is_named() {
        let metrics =
            Metrics { requests: Some(requests("http_server_requests_seconds_count", "status")), ..Metrics::default() };
        let about = about(metrics);
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
