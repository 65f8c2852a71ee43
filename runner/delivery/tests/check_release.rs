//! Releases in the test cluster, looked at: smoke checks of every pod, the watch with and without a Prometheus.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::time::{Duration, Instant};

use common::{Link, Space, deployment, image, service, space, web};
use indexmap::IndexMap;
use jiff::Timestamp;
use serde_json::{Value, json};
use tagline_delivery::check::smoke::{SmokeFor, Where, run};
use tagline_delivery::check::watch::{Bake, Verdict, bake};
use tagline_delivery::check::{Subject, analyse, logs, measure, rules};
use tagline_delivery::inputs::{Action, DeployInputs, SmokeTestInputs};
use tagline_delivery::rollout::{Wait, wait_ready};
use tagline_delivery::{Object, Stop};

fn with(pairs: &[(&str, &str)]) -> IndexMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn deploy(pairs: &[(&str, &str)]) -> DeployInputs {
    let mut all = with(&[("manifests", "k8s"), ("watch", "3s"), ("interval", "500ms"), ("window", "10s")]);
    all.extend(with(&[("min-requests", "10"), ("no-data-timeout", "3s")]));
    all.extend(with(pairs));
    match Action::read("tagline/deploy@v1", &all) {
        Ok(Action::Deploy(inputs)) => *inputs,
        other => panic!("{other:?}"),
    }
}

fn smoke(pairs: &[(&str, &str)]) -> SmokeTestInputs {
    match Action::read("tagline/smoke-test@v1", &with(pairs)) {
        Ok(Action::SmokeTest(inputs)) => *inputs,
        other => panic!("{other:?}"),
    }
}

fn subject(name: &str, release: &str) -> Subject {
    Subject {
        unit: name.to_owned(),
        version: "1.2.3".to_owned(),
        release: release.to_owned(),
        pods: vec![[("tagline.dev/release".to_owned(), release.to_owned())].into()],
        workloads: vec![name.to_owned()],
        port: Some(8080),
    }
}

async fn ready(space: &Space, object: Value) -> Vec<Object> {
    let object = space.apply(object).await;
    wait_ready(&space.cluster, &[object], &Wait::default(), Link::new().as_ref()).await.unwrap()
}

/// A Deployment whose pods count `each` requests every 0.2 s by the machine's clock, however late they come to it, of which
/// so many in a hundred are errors.
fn counting(name: &str, release: &str, each: u32, errors: u32) -> Value {
    let script = format!(
        "mkdir -p /tmp/w; echo ok > /tmp/w/index.html; cd /tmp/w; \
         (while true; do read now rest < /proc/uptime; t=${{now%.*}}${{now#*.}}; n=$((t/20)); \
         i=$((1000+n*{each})); e=$((10+n*({each}*{errors}/100))); p=http_server_requests_seconds; \
         {{ echo \"# TYPE ${{p}} histogram\"; \
         echo \"${{p}}_count{{status=\\\"200\\\"}} $((i-e))\"; echo \"${{p}}_count{{status=\\\"500\\\"}} $e\"; \
         echo \"${{p}}_bucket{{le=\\\"0.1\\\"}} $i\"; echo \"${{p}}_bucket{{le=\\\"+Inf\\\"}} $i\"; \
         }} > m.tmp; mv m.tmp metrics; usleep 200000; done) & exec httpd -f -p 8080 -h /tmp/w"
    );
    let mut object = deployment(
        name,
        release,
        2,
        &json!({
            "name": "web", "image": image(), "command": ["sh", "-c", script],
            "ports": [{"containerPort": 8080}],
            "readinessProbe": {"httpGet": {"path": "/metrics", "port": 8080}, "periodSeconds": 1},
        }),
    );
    object["spec"]["template"]["metadata"]["annotations"] =
        json!({"prometheus.io/scrape": "true", "prometheus.io/port": "8080"});
    object
}

fn watched<'a>(inputs: &'a DeployInputs, subject: &'a Subject, since: Timestamp) -> Bake<'a> {
    Bake {
        rules: &inputs.rollback_when,
        measure: &inputs.measure,
        health: inputs.health.as_deref(),
        subject,
        watch: *inputs.watch,
        switched_at: since,
        traffic_since: since,
        baseline: None,
        note: "watching",
    }
}

#[tokio::test]
async fn every_pod_is_tested_and_the_one_of_another_version_is_found() {
    let Some(space) = space("smoke").await else { return };
    let mut pods = ready(&space, web("shop", "r1", "{\"version\":\"1.2.3\"}", 2)).await;
    ready(&space, web("odd", "r2", "{\"version\":\"1.2.2\"}", 1)).await;
    space.apply(service("preview", &json!({"app": "shop"}))).await;
    let checks = [("checks", "/index.html version"), ("preview-service", "preview")];
    let inputs = smoke(&[&checks[..], &[("attempts", "2"), ("every", "100ms")]].concat()).smoke;
    let release = SmokeFor { version: "1.2.3".to_owned(), port: None };
    let link = Link::new();
    let report = run(&inputs, &release, &Where::Pods(&pods), &space.cluster, link.as_ref()).await.unwrap();
    assert_eq!(report.summary(), "2 checks on 2 places, all good");
    let preview = Where::Preview { service: "preview".to_owned(), port: "80".to_owned() };
    let report = run(&inputs, &release, &preview, &space.cluster, link.as_ref()).await.unwrap();
    assert_eq!(report.rows[0].place, "Service/preview");

    pods.extend(space.cluster.pods(&[("app".to_owned(), "odd".to_owned())].into()).await.unwrap());
    let error = run(&inputs, &release, &Where::Pods(&pods), &space.cluster, link.as_ref()).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("Pod/odd-") && text.ends_with("version is 1.2.2, expected 1.2.3"), "{text}");
}

#[tokio::test]
async fn a_pod_that_does_not_answer_fails_in_its_time() {
    let Some(space) = space("smoke-slow").await else { return };
    let script = "mkdir -p /tmp/cgi-bin; printf '#!/bin/sh\\nsleep 60\\n' > /tmp/cgi-bin/slow; \
                  chmod +x /tmp/cgi-bin/slow; exec httpd -f -p 8080 -h /tmp";
    let container = json!({"name": "web", "image": image(), "command": ["sh", "-c", script],
        "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1}});
    let pods = ready(&space, deployment("slow", "r1", 1, &container)).await;
    let release = SmokeFor { version: "1.2.3".to_owned(), port: None };
    for (path, port, expected) in [("/cgi-bin/slow", "8080", "no answer"), ("/", "8082", "connection refused")] {
        let inputs = smoke(&[("checks", path), ("port", port), ("attempts", "1"), ("timeout", "500ms")]).smoke;
        let (start, at) = (Instant::now(), Where::Pods(&pods));
        let error = run(&inputs, &release, &at, &space.cluster, Link::new().as_ref()).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    }
}

#[tokio::test]
async fn errors_beyond_the_limit_break_the_rule_in_its_time() {
    let Some(space) = space("watch-bad").await else { return };
    ready(&space, counting("shop", "r1", 50, 8)).await;
    let subject = subject("shop", "r1");
    let inputs = deploy(&[("rollback-when", "error-rate > 5% for 2s\nerror-rate > 1% then warn\nrestarts > 2")]);
    let since = Timestamp::now();
    let link = Link::new();
    let verdict = bake(&watched(&inputs, &subject, since), &space.cluster, link.as_ref()).await.unwrap();
    let Verdict::Bad { broken, report } = &verdict else { panic!("{verdict:?}") };
    assert_eq!(broken.rule, "error-rate > 5% for 2s");
    assert_eq!(broken.value, "8%");
    // The rule holds from the second look on; the verdict comes when its time is over, not an interval later.
    let late = broken.at.duration_since(broken.since).as_secs_f64() - 2.0;
    assert!((0.0..0.5).contains(&late), "{late}");
    assert_eq!(report.warnings.len(), 1);
    assert!(link.said().iter().any(|line| line.starts_with("warning: error-rate > 1%")), "{:?}", link.said());
    assert!(link.reached().contains(&"watching".to_owned()));
}

#[tokio::test]
async fn a_good_release_passes_only_with_data() {
    let Some(space) = space("watch-good").await else { return };
    ready(&space, counting("shop", "r1", 50, 2)).await;
    ready(&space, counting("idle", "r2", 0, 0)).await;
    ready(&space, web("mute", "r3", "x", 1)).await;
    let inputs = deploy(&[("rollback-when", "error-rate > 5% for 1s\np99 > 2s\nhealth fails 1s")]);
    let good = subject("shop", "r1");
    let verdict = bake(&watched(&inputs, &good, Timestamp::now()), &space.cluster, Link::new().as_ref()).await.unwrap();
    let Verdict::Good(report) = &verdict else { panic!("{verdict:?}") };
    assert_eq!(report.rows[0].last, "2%");
    for (name, release, expected) in
        [("idle", "r2", "no requests in"), ("mute", "r3", "/metrics answered 404: no metrics")]
    {
        let subject = subject(name, release);
        let since = Timestamp::now();
        let verdict = bake(&watched(&inputs, &subject, since), &space.cluster, Link::new().as_ref()).await.unwrap();
        let Verdict::Inconclusive { why, .. } = &verdict else { panic!("{verdict:?}") };
        assert!(why.starts_with("error-rate > 5% for 1s: ") && why.contains(expected), "{why}");
    }
}

#[tokio::test]
async fn a_watch_that_is_to_end_ends_at_once_and_the_next_engine_goes_on() {
    let Some(space) = space("watch-stop").await else { return };
    ready(&space, counting("shop", "r1", 50, 8)).await;
    let subject = subject("shop", "r1");
    let inputs = deploy(&[("rollback-when", "error-rate > 5% for 3s"), ("watch", "1m")]);
    let since = Timestamp::now();
    let link = Link::new();
    let bakes = watched(&inputs, &subject, since);
    let first = bake(&bakes, &space.cluster, link.as_ref());
    let ends = async {
        link.until_holds(|link| !link.reached().is_empty()).await;
        link.end(Stop::EngineEnds);
    };
    let (ended, ()) = tokio::join!(first, ends);
    assert_eq!(ended, Err(Stop::EngineEnds));
    let next = Link::new();
    *next.milestones.lock().unwrap() = link.milestones.lock().unwrap().clone();
    let verdict = bake(&bakes, &space.cluster, next.as_ref()).await.unwrap();
    let Verdict::Bad { broken, .. } = &verdict else { panic!("{verdict:?}") };
    assert!(broken.at.duration_since(broken.since).as_secs_f64() >= 3.0);
    let noted = &link.milestones.lock().unwrap()[0].data["looks"][0]["at"];
    assert_eq!(json!(broken.since), *noted, "it holds since the first engine saw it");
}

#[tokio::test]
async fn health_that_fails_breaks_its_rule() {
    let Some(space) = space("watch-health").await else { return };
    ready(&space, web("shop", "r1", "x", 2)).await;
    let subject = subject("shop", "r1");
    for (health, bad) in [("/gone", true), ("/index.html", false)] {
        let inputs = deploy(&[("rollback-when", "health fails 1s"), ("health", health), ("interval", "200ms")]);
        let since = Timestamp::now();
        let verdict = bake(&watched(&inputs, &subject, since), &space.cluster, Link::new().as_ref()).await.unwrap();
        assert_eq!(matches!(verdict, Verdict::Bad { .. }), bad, "{health} {verdict:?}");
    }
}

#[tokio::test]
async fn a_prometheus_gives_the_same_verdict_and_its_absence_none() {
    let Some(space) = space("watch-prom").await else { return };
    let Ok(prometheus) = std::env::var("TAGLINE_TEST_PROMETHEUS") else {
        return tagline_tests::gate::skip("cluster", "TAGLINE_TEST_PROMETHEUS is not set");
    };
    ready(&space, counting("shop", "r1", 50, 8)).await;
    let subject = subject("shop", "r1");
    let rules = ("rollback-when", "error-rate > 5% for 2s\np99 > 2s");
    let inputs =
        deploy(&[rules, ("prometheus", &prometheus), ("watch", "30s"), ("interval", "1s"), ("no-data-timeout", "30s")]);
    let since = Timestamp::now();
    let verdict = bake(&watched(&inputs, &subject, since), &space.cluster, Link::new().as_ref()).await.unwrap();
    let Verdict::Bad { broken, .. } = &verdict else { panic!("{verdict:?}") };
    assert_eq!(broken.rule, "error-rate > 5% for 2s");

    let signals = rules::signals(&inputs.rollback_when);
    let now = Timestamp::now();
    let notes = measure::preflight(&inputs.measure, &signals, Some(&subject), &space.cluster, now).await.unwrap();
    assert_eq!(notes[0], "error-rate is read from http_server_requests_seconds_count by status");
    let before = measure::baseline(&inputs.measure, &signals, &subject, &space.cluster, Link::new().as_ref()).await;
    let before = before.unwrap();
    assert!((before.value(signals[0]).unwrap() - 0.08).abs() < 0.02, "{before:?}");

    let away = deploy(&[rules, ("prometheus", "http://127.0.0.1:1"), ("no-data-timeout", "1s")]);
    let since = Timestamp::now();
    let verdict = bake(&watched(&away, &subject, since), &space.cluster, Link::new().as_ref()).await.unwrap();
    let Verdict::Inconclusive { why, .. } = &verdict else { panic!("{verdict:?}") };
    assert!(why.contains("Prometheus at http://127.0.0.1:1 gives no answer: connection refused"), "{why}");
}

#[tokio::test]
async fn queries_that_would_lie_are_refused_before_the_release() {
    let Some(space) = space("preflight-prom").await else { return };
    let Ok(prometheus) = std::env::var("TAGLINE_TEST_PROMETHEUS") else {
        return tagline_tests::gate::skip("cluster", "TAGLINE_TEST_PROMETHEUS is not set");
    };
    ready(&space, counting("shop", "r1", 50, 8)).await;
    let live = subject("shop", "r1");
    let problems = async |query: &str, rule: &str| {
        let signals = format!("mine = {query}");
        let inputs = deploy(&[("signals", &signals), ("rollback-when", rule), ("prometheus", &prometheus)]);
        let signals = rules::signals(&inputs.rollback_when);
        let checked =
            measure::preflight(&inputs.measure, &signals, Some(&live), &space.cluster, Timestamp::now()).await;
        checked.err().map(|failure| failure.evidence.join("; ")).unwrap_or_default()
    };
    let rule = "mine > 1";
    assert_eq!(problems("sum(", rule).await, "mine: \"sum(\" column 5: unclosed left parenthesis");
    let none = problems("sum(rate(no_such_thing_total[1m]))", rule).await;
    assert_eq!(none, format!("mine: metric no_such_thing_total not found at {prometheus}"));
    let names = "rate(up[1m]) / rate(up[1m])";
    assert!(problems(names, rule).await.contains("ratio without sum on both sides"));
    let missing = problems("sum(up)", "queue-depth > 1").await;
    assert!(missing.starts_with("queue-depth: metric not found at "), "{missing}");
}

#[tokio::test]
async fn an_analysis_compares_with_what_was_before() {
    let Some(space) = space("analyse").await else { return };
    ready(&space, counting("old", "r1", 50, 0)).await;
    ready(&space, counting("same", "r2", 50, 0)).await;
    ready(&space, counting("less", "r3", 20, 0)).await;
    let all = with(&[
        ("checks", "error-rate < 1%\np99 < 2s\nthroughput change <= 20%"),
        ("interval", "2s"),
        ("window", "10s"),
        ("initial-delay", "0s"),
        ("min-requests", "10"),
    ]);
    let Ok(Action::Analyse(inputs)) = Action::read("tagline/analyse@v1", &all) else { panic!("{all:?}") };
    let (cluster, link, old) = (&space.cluster, Link::new(), subject("old", "r1"));
    let before = measure::baseline(&inputs.measure, &analyse::signals(&inputs), &old, cluster, link.as_ref()).await;
    let before = before.unwrap();
    assert!(before.missing.is_empty(), "{before:?}");
    // What was recorded and what a delivery measures live side by side, whichever comes last.
    for key in [analyse::STORED, "v1-2-3-0", analyse::STORED, "v1-2-4-0"] {
        analyse::save(cluster, "shop", key, &before).await.unwrap();
    }
    assert!(analyse::load(cluster, "shop", "v1-2-4-0").await.unwrap().is_some());
    let before = analyse::load(cluster, "shop", analyse::STORED).await.unwrap();
    assert!(before.is_some());
    for (name, release, outcome) in [("same", "r2", analyse::Outcome::Passed), ("less", "r3", analyse::Outcome::Failed)]
    {
        let subject = subject(name, release);
        let since = Timestamp::now();
        let report = analyse::run(&inputs, &subject, since, before.clone(), cluster, link.as_ref()).await.unwrap();
        assert_eq!(report.outcome, outcome, "{:#?}", report.table());
        assert_eq!(report.rows.len(), 3);
    }
}

#[tokio::test]
async fn log_lines_of_the_release_only_are_counted() {
    let Some(space) = space("logs").await else { return };
    let noisy = |text: &str| {
        let script = format!("echo ok; for i in 1 2 3; do echo 'ERROR {text}'; done; exec httpd -f -p 8080 -h /tmp");
        json!({"name": "web", "image": image(), "command": ["sh", "-c", script]})
    };
    ready(&space, deployment("shop", "r1", 2, &noisy("new"))).await;
    ready(&space, deployment("old", "r0", 1, &noisy("old"))).await;
    let inputs = smoke(&[("log-limits", "ERROR at most 5\nPANIC")]);
    let since = Timestamp::UNIX_EPOCH;
    let report = logs::scan(&subject("shop", "r1"), &inputs.log_limits, since, &space.cluster).await.unwrap();
    assert_eq!((report.rows[0].found, report.rows[1].found, report.pods), (6, 0, 2));
    assert!(report.first_failure().unwrap().samples.iter().all(|line| line.contains("ERROR new")));
}
