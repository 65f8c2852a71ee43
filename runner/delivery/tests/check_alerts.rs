//! The alert rules made of rollback rules, by Prometheus' own tool: they are valid, and fire just over the limit.

use std::collections::BTreeMap;
use std::process::Command;

use indexmap::IndexMap;
use tagline_delivery::check::alerts::{AlertsFor, alerts};
use tagline_delivery::check::measure::{Metrics, Requests};
use tagline_delivery::inputs::Action;

const TESTS: &str = r#"
rule_files: [rules.yaml]
evaluation_interval: 30s
tests:
  - interval: 30s
    name: 5.1 % for 5 minutes fires, and warns
    input_series:
      - {series: 'http_server_requests_seconds_count{namespace="prod",pod="shop-1-a",status="200"}', values: '0+949x60'}
      - {series: 'http_server_requests_seconds_count{namespace="prod",pod="shop-1-a",status="500"}', values: '0+51x60'}
      - {series: 'payment_failures_total{namespace="prod",pod="shop-1-a"}', values: '0x60'}
      - {series: 'up{namespace="prod",pod="shop-1-a"}', values: '1x60'}
    alert_rule_test:
      - {eval_time: 4m, alertname: ReleaseErrorRate, exp_alerts: []}
      - eval_time: 12m
        alertname: ReleaseErrorRate
        exp_alerts:
          - exp_labels: {severity: critical, unit: shop, environment: production}
            exp_annotations: {summary: 'shop in production: error-rate > 5% for 5m', rule: 'error-rate > 5% for 5m'}
          - exp_labels: {severity: warning, unit: shop, environment: production}
            exp_annotations: {summary: 'shop in production: error-rate > 1% for 5m then warn', rule: 'error-rate > 1% for 5m then warn'}
      - {eval_time: 12m, alertname: ReleasePaymentsFailed, exp_alerts: []}
      - {eval_time: 12m, alertname: ReleaseHealth, exp_alerts: []}
      - {eval_time: 12m, alertname: ReleaseHasNoData, exp_alerts: []}
  - interval: 30s
    name: 4.9 % only warns, other units are not counted
    input_series:
      - {series: 'http_server_requests_seconds_count{namespace="prod",pod="shop-1-a",status="200"}', values: '0+951x60'}
      - {series: 'http_server_requests_seconds_count{namespace="prod",pod="shop-1-a",status="500"}', values: '0+49x60'}
      - {series: 'http_server_requests_seconds_count{namespace="prod",pod="other-1-a",status="500"}', values: '0+900x60'}
    alert_rule_test:
      - eval_time: 12m
        alertname: ReleaseErrorRate
        exp_alerts:
          - exp_labels: {severity: warning, unit: shop, environment: production}
            exp_annotations: {summary: 'shop in production: error-rate > 1% for 5m then warn', rule: 'error-rate > 1% for 5m then warn'}
  - interval: 30s
    name: the first count of a series that was not there is seen, and an old one is not counted again
    input_series:
      - {series: 'payment_failures_total{namespace="prod",pod="shop-1-a"}', values: '_x20 1x40'}
      - {series: 'payment_failures_total{namespace="prod",pod="shop-1-b"}', values: '7x60'}
    promql_expr_test:
      - {expr: 'count(ALERTS{alertname="ReleasePaymentsFailed"}) or vector(0)', eval_time: 9m, exp_samples: [{labels: '{}', value: 0}]}
      - {expr: 'count(ALERTS{alertname="ReleasePaymentsFailed"}) or vector(0)', eval_time: 12m, exp_samples: [{labels: '{}', value: 1}]}
      - {expr: 'count(ALERTS{alertname="ReleasePaymentsFailed"}) or vector(0)', eval_time: 20m, exp_samples: [{labels: '{}', value: 0}]}
  - interval: 30s
    name: everything gone is said
    input_series:
      - {series: 'up{namespace="prod",pod="other-1-a"}', values: '1x60'}
    alert_rule_test:
      - eval_time: 12m
        alertname: ReleaseHealth
        exp_alerts:
          - exp_labels: {severity: critical, unit: shop, environment: production}
            exp_annotations: {summary: 'shop in production: health fails 3m', rule: 'health fails 3m'}
"#;

#[test]
fn the_alerts_fire_just_over_the_limit_and_not_just_under() {
    if Command::new("promtool").arg("--version").output().is_err() {
        return tagline_tests::gate::skip("promtool", "promtool is not on PATH; `cargo xtask cluster build` makes it");
    }
    let lines = "error-rate > 5% for 5m\nerror-rate > 1% for 5m then warn\np99 > 2s for 5m\nhealth fails 3m\n\
                 payments-failed > 0\nmemory-slope > 1MiB/min for 10m\nrestarts > 2\nthroughput < 1 for 5m";
    let pairs =
        [("manifests", "k8s"), ("rollback-when", lines), ("signals", "payments-failed = payment_failures_total")];
    let with: IndexMap<String, String> =
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let Ok(Action::Deploy(inputs)) = Action::read("tagline/deploy@v1", &with) else { panic!("{with:?}") };
    let (metric, status) = ("http_server_requests_seconds_count".to_owned(), "status".to_owned());
    let about = AlertsFor {
        unit: "shop".to_owned(),
        environment: "production".to_owned(),
        namespace: "prod".to_owned(),
        workloads: vec!["shop".to_owned()],
        metrics: Metrics {
            requests: Some(Requests { metric, status }),
            latency: Some("http_server_requests_seconds_bucket".to_owned()),
            memory: Some("process_resident_memory_bytes".to_owned()),
            waiting: BTreeMap::new(),
        },
    };
    let made = alerts(&about, &inputs.rollback_when, &inputs.measure);
    assert_eq!(made.left_out, Vec::<String>::new());
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rules.yaml"), &made.yaml).unwrap();
    std::fs::write(folder.path().join("tests.yaml"), TESTS).unwrap();
    for arguments in [["check", "rules", "rules.yaml"], ["test", "rules", "tests.yaml"]] {
        let ran = Command::new("promtool").args(arguments).current_dir(folder.path()).output().unwrap();
        let said = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{arguments:?}: {said}\n{}", made.yaml);
    }
}
