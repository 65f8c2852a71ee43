//! The alert rules that a release leaves behind, judged by Prometheus' own tool.

use std::process::Command;

use tagline_rows::retail::Retail;
use tagline_rows::{Ground, Row};
use tagline_tests::gate;

/// 6 % of errors fire the critical alert after its time, 2 % only the one that warns, and none below.
const TESTS: &str = r#"
rule_files: [ rules.yaml ]
evaluation_interval: 1s
tests:
  - interval: 1s
    input_series:
      - series: 'http_server_requests_seconds_count{namespace="NAMESPACE",pod="retail-backend-blue-1-a",status="200"}'
        values: '0+94x120'
      - series: 'http_server_requests_seconds_count{namespace="NAMESPACE",pod="retail-backend-blue-1-a",status="500"}'
        values: '0+6x120'
    alert_rule_test:
      - eval_time: 3s
        alertname: ReleaseErrorRate
        exp_alerts: []
    promql_expr_test:
      - expr: count(ALERTS{alertname="ReleaseErrorRate",alertstate="firing",severity="critical"})
        eval_time: 60s
        exp_samples: [ { labels: '{}', value: 1 } ]
  - interval: 1s
    input_series:
      - series: 'http_server_requests_seconds_count{namespace="NAMESPACE",pod="retail-backend-blue-1-a",status="200"}'
        values: '0+98x120'
      - series: 'http_server_requests_seconds_count{namespace="NAMESPACE",pod="retail-backend-blue-1-a",status="500"}'
        values: '0+2x120'
    promql_expr_test:
      - expr: count(ALERTS{alertname="ReleaseErrorRate",alertstate="firing"}) by (severity)
        eval_time: 60s
        exp_samples: [ { labels: '{severity="warning"}', value: 1 } ]
"#;

#[test]
fn ra18_a_release_leaves_alert_rules_made_of_its_triggers() {
    let Some(ground) = Ground::require() else { return };
    if Command::new("promtool").arg("--version").output().is_err() {
        gate::skip("promtool", "it is part of Prometheus");
        return;
    }
    let mut row = Row::new("RA18", "release.yml: production: rollback-when → artifact alerts.yaml");
    let retail = Retail::found(&ground);
    retail.without_staging();
    let load = retail.load("/");
    let run = retail.deliver("1.0.1").to_string();
    let report = load.end();
    let all = retail.tagline.run(["artifacts", "ls", &run, "--json"]).success().json();
    let names: Vec<&str> = all.as_array().into_iter().flatten().filter_map(|one| one["name"].as_str()).collect();
    let name =
        names.iter().find(|name| name.ends_with("alerts.yaml")).unwrap_or_else(|| panic!("no alerts in {names:?}"));
    let folder = retail.scratch.join("alerts");
    retail.tagline.run(["artifacts", "get", &run, name, "--output", &folder.to_string_lossy()]).success();
    let file = walk(&folder).expect("the file of that artifact");
    let rules = std::fs::read_to_string(file).expect("text");
    for alert in ["ReleaseErrorRate", "ReleaseP95", "ReleaseHealth", "ReleasePaymentsFailed", "ReleaseMemory"] {
        assert!(rules.contains(alert), "{alert} is missing:\n{rules}");
    }
    retail.scratch.write("promtool/rules.yaml", &rules);
    let namespace = retail.namespace(tagline_rows::retail::PRODUCTION);
    retail.scratch.write("promtool/tests.yaml", TESTS.replace("NAMESPACE", &namespace));
    for words in [["check", "rules", "rules.yaml"], ["test", "rules", "tests.yaml"]] {
        let out = Command::new("promtool").args(words).current_dir(retail.scratch.join("promtool")).output();
        let out = out.expect("promtool was found");
        let said = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "{words:?}: {said}\n{rules}");
    }
    row.load(&report).holds();
}

/// The one file of an artifact, wherever it lies in its folder.
fn walk(folder: &std::path::Path) -> Option<std::path::PathBuf> {
    if folder.is_file() {
        return Some(folder.to_path_buf());
    }
    std::fs::read_dir(folder).ok()?.flatten().find_map(|entry| walk(&entry.path()))
}
