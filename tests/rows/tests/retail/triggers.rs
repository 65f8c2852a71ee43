//! What ends a release after the switch, each just under its limit and just over.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tagline_rows::retail::{BACKEND, PRODUCTION, Retail, finish};
use tagline_rows::village::in_order;
use tagline_rows::{Ground, Load, LoadReport, Row, Seen, Watcher};
use tagline_tests::{Outcome, gate, until};

/// Production as it was found, with nothing around it that takes time.
#[track_caller]
fn production(ground: &Ground) -> Retail {
    let retail = Retail::found(ground);
    retail.without_staging();
    retail
}

/// What is done to the new version's pods once it has all traffic, and how its release ends.
#[track_caller]
fn released(retail: &Retail, version: &str, disturb: impl FnOnce()) -> (u64, Outcome) {
    let (run, engine) = retail.start(version);
    retail.reached(run, "verified");
    disturb();
    (run, finish(engine))
}

/// Waits until so much time has passed: of faults, which have no event of their own.
fn pass(seconds: i64) {
    let end = Timestamp::now() + SignedDuration::from_secs(seconds);
    until("the time of a fault", || (Timestamp::now() >= end).then_some(()));
}

/// Asserts that a release came back by itself, and that nobody was sent to it any more soon after its rule was broken.
#[track_caller]
fn came_back(retail: &Retail, run: u64, said: &Outcome, rule: &str, seen: &Seen, report: &LoadReport) {
    said.code(1).stderr_has(rule);
    in_order(&retail.milestones(run, "production"), &["switched", "verified", "going-back", "rolled-back"]);
    let broken = retail.reached(run, "going-back");
    let (back, _) = seen.never_empty().one_release_at_a_time().selectors.last().expect("it looked");
    let late = back.duration_since(broken);
    assert!(late < SignedDuration::from_secs(2), "traffic was back {late} after the rule was broken");
    // A kept connection ends within a second, and a slow request of it takes one more.
    let last = report.last_seen["1.0.2"].duration_since(*back);
    assert!(last < SignedDuration::from_secs(3), "1.0.2 answered for {last} after it");
}

/// Asserts that a release's log has this warning.
#[track_caller]
fn warned(retail: &Retail, run: u64, rule: &str) {
    retail.tagline.run(["logs", &run.to_string(), "production"]).success().stdout_has(rule);
}

#[track_caller]
fn watch(retail: &Retail) -> Watcher {
    Watcher::start(&retail.kubectl(PRODUCTION), BACKEND)
}

#[test]
fn ra6_five_percent_of_errors_end_a_release_and_a_little_less_only_warns() {
    let Some(ground) = Ground::require() else { return };
    let mut row = Row::new(
        "RA6",
        "release.yml: production: rollback-when: error-rate > 5%, p95 > 500ms, health fails, payments-failed > 0",
    );
    let retail = production(&ground);
    let (load, watcher) = (retail.load("/"), watch(&retail));
    // Probes and scrapes are requests too, and answered well: a little more is asked for than is meant.
    let (run, said) = released(&retail, "1.0.1", || retail.fault("1.0.1", &json!({"error_rate": 0.048})));
    said.success();
    warned(&retail, run, "error-rate > 1%");
    in_order(&retail.milestones(run, "production"), &["switched", "watched"]);
    retail.fault("1.0.1", &json!({"error_rate": 0.0}));
    let (run, said) = released(&retail, "1.0.2", || retail.fault("1.0.2", &json!({"error_rate": 0.06})));
    let (report, seen) = (load.end(), watcher.end());
    came_back(&retail, run, &said, "error-rate > 5%", &seen, &report);
    assert!(report.failed > 0 && report.sent >= 20_000, "{} of {}", report.failed, report.sent);
    // Those that failed are those that the fault has failed.
    row.load(&LoadReport { failed: 0, ..report }).holds();
}

#[test]
fn ra6_slow_answers_end_a_release_when_they_last() {
    if !gate::all() {
        return;
    }
    let Some(ground) = Ground::require() else { return };
    let retail = production(&ground);
    retail.set(&[("WINDOW", "3s")]);
    let (load, watcher) = (retail.load("/"), watch(&retail));
    let (_, said) = released(&retail, "1.0.1", || {
        retail.fault("1.0.1", &json!({"latency_ms": 600}));
        pass(3);
        retail.fault("1.0.1", &json!({"latency_ms": 0}));
    });
    said.success();
    let (run, said) = released(&retail, "1.0.2", || retail.fault("1.0.2", &json!({"latency_ms": 600})));
    let (report, seen) = (load.end(), watcher.end());
    came_back(&retail, run, &said, "p95 > 500ms", &seen, &report);
    report.none_failed(10_000);
}

#[test]
fn ra6_health_that_fails_in_a_row_ends_a_release_and_a_blip_does_not() {
    if !gate::all() {
        return;
    }
    let Some(ground) = Ground::require() else { return };
    let retail = production(&ground);
    let (load, watcher) = (retail.load("/"), watch(&retail));
    let (_, said) = released(&retail, "1.0.1", || {
        for _ in 0..2 {
            retail.fault("1.0.1", &json!({"never_ready": true}));
            pass(4);
            retail.fault("1.0.1", &json!({"never_ready": false}));
            pass(2);
        }
    });
    said.success();
    let (run, said) = released(&retail, "1.0.2", || retail.fault("1.0.2", &json!({"never_ready": true})));
    let (report, seen) = (load.end(), watcher.end());
    came_back(&retail, run, &said, "health fails", &seen, &report);
    report.none_failed(10_000);
}

#[test]
fn ra6_one_failed_payment_ends_a_release_at_once() {
    let Some(ground) = Ground::require() else { return };
    let retail = production(&ground);
    let (load, watcher) = (retail.load("/"), watch(&retail));
    let orders = |count: u32| {
        let url = format!("{}api/v1/orders", retail.url(PRODUCTION, "retail-backend"));
        for _ in 0..count {
            std::process::Command::new(&ground.demo).args(["check", "get", "order", &url, ""]).output().expect("demo");
        }
    };
    let mut failed = Timestamp::now();
    let (run, said) = released(&retail, "1.0.2", || {
        retail.fault("1.0.2", &json!({"error_rate": 1.0, "only_path": "/api/v1/orders"}));
        failed = Timestamp::now();
        orders(3);
    });
    let (report, seen) = (load.end(), watcher.end());
    came_back(&retail, run, &said, "payments-failed > 0", &seen, &report);
    let late = retail.reached(run, "going-back").duration_since(failed);
    assert!(late < SignedDuration::from_secs(8), "{late} from the first failed payment to the way back");
    report.none_failed(10_000);
}

#[test]
fn ra15_pools_processors_memory_and_orders_have_two_levels() {
    let Some(ground) = Ground::require() else { return };
    let mut row = Row::new(
        "RA15",
        "release.yml: production: rollback-when: … and … then warn, signals: connections, cpu, memory, orders",
    );
    let retail = production(&ground);
    // The payments' own rule would come first.
    retail.edit(".github/workflows/release.yml", |text| text.replace("            payments-failed > 0\n", ""));
    let load = retail.load("/");
    let cases = [
        ("1.0.1", [("POOL", "'1'"), ("CPU_LIMIT", "'1000'"), ("MEMORY_LIMIT", "'67108864'")], "connections > 0.95"),
        ("1.0.2", [("POOL", "'500'"), ("CPU_LIMIT", "'0.0001'"), ("MEMORY_LIMIT", "'67108864'")], "cpu > 0.90"),
        ("1.0.3", [("POOL", "'500'"), ("CPU_LIMIT", "'1000'"), ("MEMORY_LIMIT", "'1'")], "memory > 0.90"),
    ];
    for (version, variables, rule) in cases {
        retail.set(&variables);
        let (run, said) = released(&retail, version, || ());
        said.code(1).stderr_has(rule);
        in_order(&retail.milestones(run, "production"), &["switched", "going-back", "rolled-back"]);
    }
    retail.set(&[("MEMORY_LIMIT", "'67108864'")]);
    let (run, said) = released(&retail, "1.0.4", || retail.fault("1.0.4", &json!({"latency_ms": 400})));
    said.success();
    warned(&retail, run, "p95 > 300ms");
    in_order(&retail.milestones(run, "production"), &["switched", "watched"]);
    retail.fault("1.0.4", &json!({"latency_ms": 0}));
    let orders = Load::of(&ground, &format!("{}api/v1/orders", retail.url(PRODUCTION, BACKEND)), 10, "2%");
    let failing = |share: f64| json!({"error_rate": share, "only_path": "/api/v1/orders"});
    let (run, said) = released(&retail, "1.0.5", || retail.fault("1.0.5", &failing(0.18)));
    said.success();
    warned(&retail, run, "orders-completed < 0.90");
    retail.fault("1.0.5", &failing(0.0));
    let (_, said) = released(&retail, "1.0.6", || retail.fault("1.0.6", &failing(1.0)));
    said.code(1).stderr_has("orders-completed < 0.80");
    orders.end();
    let report = load.end();
    report.none_failed(10_000);
    row.load(&report).holds();
}

#[test]
fn ra21_only_the_new_pods_logs_are_looked_through() {
    let Some(ground) = Ground::require() else { return };
    let mut row = Row::new("RA21", "release.yml: production: log-limits: ERROR at most …");
    let retail = production(&ground);
    retail.set(&[("LOG_ERRORS", "'5'")]);
    let load = retail.load("/");
    let errors = |version: &str| {
        retail.fault(version, &json!({"error_rate": 1.0, "only_path": "/admin/login"}));
        let url = format!("{}admin/login", retail.url(PRODUCTION, "retail-backend"));
        for _ in 0..20 {
            std::process::Command::new(&ground.demo).args(["check", "get", "page", &url, ""]).output().expect("demo");
        }
    };
    errors("1.0.0");
    let (_, said) = released(&retail, "1.0.1", || ());
    said.success();
    let (run, said) = released(&retail, "1.0.2", || errors("1.0.2"));
    said.code(1).stderr_has("ERROR");
    in_order(&retail.milestones(run, "production"), &["switched", "going-back", "rolled-back"]);
    let report = load.end();
    report.none_failed(10_000);
    row.load(&report).holds();
}
