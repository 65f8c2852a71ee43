//! What a watch knows from the engine before it, and what outlives a run: against a server that follows a script.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::time::Duration;

use common::Link;
use common::quick::{Quick, START};
use common::script::{Act, Server, ok, step};
use indexmap::IndexMap;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tagline_delivery::Milestone;
use tagline_delivery::check::rules::Watchman;
use tagline_delivery::check::watch::{Bake, Verdict, bake};
use tagline_delivery::check::{Baseline, Look, Reading, Subject, analyse};
use tagline_delivery::inputs::{Action, DeployInputs};

/// A namespace with one ready pod; its page of metrics is that of so many times asked.
async fn one_pod(mut page: impl FnMut(u32) -> String + Send + 'static) -> Server {
    let pod = json!({
        "metadata": {"name": "shop-1", "namespace": "shop", "uid": "u1", "labels": {"app": "shop"}},
        "spec": {"containers": [{"name": "app", "ports": [{"containerPort": 8080}]}]},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    });
    let mut asked = 0;
    Server::answering(move |line| {
        if line.contains("/proxy/") {
            asked += 1;
            return Act::Answer(200, "Content-Type: text/plain\r\n", page(asked));
        }
        if line.contains("watch=") {
            return Act::Hold(Vec::new());
        }
        ok(&json!({"metadata": {"resourceVersion": "5"}, "items": [pod]}))
    })
    .await
}

/// A page of so many requests, and of errors among them.
fn requests(good: u32, errors: u32) -> String {
    let count = "http_server_requests_seconds_count";
    format!("{count}{{status=\"200\"}} {good}\n{count}{{status=\"500\"}} {errors}\n")
}

fn subject() -> Subject {
    Subject {
        unit: "shop".to_owned(),
        version: "1.2.3".to_owned(),
        release: "r1".to_owned(),
        pods: vec![[("app".to_owned(), "shop".to_owned())].into()],
        workloads: vec!["shop".to_owned()],
        port: Some(8080),
    }
}

fn watched<'a>(inputs: &'a DeployInputs, subject: &'a Subject, switched_at: Timestamp) -> Bake<'a> {
    Bake {
        rules: &inputs.rollback_when,
        measure: &inputs.measure,
        health: None,
        subject,
        watch: *inputs.watch,
        switched_at,
        traffic_since: switched_at,
        baseline: None,
        note: "looked",
    }
}

/// The verdict over a pod with these pages, of a release that got its traffic so long ago.
async fn verdict(pairs: &[(&str, &str)], since: i64, page: impl FnMut(u32) -> String + Send + 'static) -> Verdict {
    let server = one_pod(page).await;
    let folder = tempfile::tempdir().unwrap();
    let (cluster, _site) = step(&server.url, folder.path()).await;
    let (inputs, subject, link) = (deploy(pairs), subject(), Quick::new());
    let switched_at = START - SignedDuration::from_secs(since);
    bake(&watched(&inputs, &subject, switched_at), &cluster, &link).await.unwrap()
}

fn deploy(pairs: &[(&str, &str)]) -> DeployInputs {
    let all = [("manifests", "k8s")].iter().chain(pairs);
    let all: IndexMap<String, String> = all.map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    match Action::read("tagline/deploy@v1", &all) {
        Ok(Action::Deploy(inputs)) => *inputs,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_rule_that_was_broken_before_the_engine_ended_is_the_verdict() {
    let server = Server::start(Vec::new()).await;
    let folder = tempfile::tempdir().unwrap();
    let (cluster, _site) = step(&server.url, folder.path()).await;
    let inputs = deploy(&[("rollback-when", "error-rate > 5%\nerror-rate > 1% then warn")]);
    let (switched_at, subject) = (Timestamp::now(), subject());
    let watched = watched(&inputs, &subject, switched_at);
    // The engine before noted what it saw, and was killed before the way back began.
    let look = Look { at: switched_at, readings: [("error-rate".to_owned(), Reading::Value(0.08))].into() };
    let mut watchman = Watchman::new(watched.rules, switched_at, watched.watch, None, Duration::from_secs(90));
    let broken = watchman.take(&look).swap_remove(0);
    let data = json!({"looks": [look], "rules": watchman.states(), "broken": broken});
    let link = Link::new();
    let note = Milestone { name: "looked".to_owned(), text: String::new(), data };
    link.milestones.lock().unwrap().push(note);
    let verdict = bake(&watched, &cluster, link.as_ref()).await.unwrap();
    let Verdict::Bad { broken, report } = &verdict else { panic!("{verdict:?}") };
    assert_eq!((broken.rule.as_str(), report.rows[0].last.as_str()), ("error-rate > 5%", "8%"));
    assert!(server.asked().is_empty(), "nothing is looked at first: {:?}", server.asked());
}

#[tokio::test]
async fn too_few_requests_after_a_restart_are_waited_for() {
    // 20 requests a second, seen from an hour after the switch on.
    let pairs = [("rollback-when", "error-rate > 5%"), ("watch", "3620s"), ("interval", "1s"), ("window", "10s")];
    let pairs = [&pairs[..], &[("no-data-timeout", "2s")]].concat();
    let verdict = verdict(&pairs, 3600, |asked| requests(20 * asked, 0)).await;
    let Verdict::Good(report) = &verdict else { panic!("{verdict:?}") };
    assert_eq!(report.rows[0].last, "0%");
    let metrics = report.metrics.requests.as_ref().unwrap();
    assert_eq!((metrics.metric.as_str(), metrics.status.as_str()), ("http_server_requests_seconds_count", "status"));
}

#[tokio::test]
async fn a_rule_whose_time_ends_between_two_looks_is_judged() {
    let pairs = [("rollback-when", "error-rate > 5% within 10s"), ("watch", "5m"), ("interval", "10s")];
    let verdict = verdict(&pairs, 5, |asked| requests(500 * asked, 500 * asked)).await;
    let Verdict::Bad { broken, .. } = &verdict else { panic!("{verdict:?}") };
    assert_eq!(broken.value, "50%");
}

#[tokio::test]
async fn where_no_data_may_pass_a_watch_without_data_ends() {
    let rule = "error-rate > 5% for 5m";
    let pairs = [("rollback-when", rule), ("watch", "6m"), ("interval", "1s"), ("window", "10s"), ("no-data", "pass")];
    // It fails for some seconds, and then nobody asks it any more.
    let verdict = verdict(&pairs, 350, |asked| requests(500 * asked.min(5), 500 * asked.min(5))).await;
    assert!(matches!(verdict, Verdict::Good(_)), "{verdict:?}");
}

#[tokio::test]
async fn what_a_delivery_measures_leaves_what_was_recorded() {
    let stored = ok(&json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "tagline-baseline-shop"}}));
    let server = Server::answering(move |_| stored.clone()).await;
    let folder = tempfile::tempdir().unwrap();
    let (cluster, _site) = step(&server.url, folder.path()).await;
    let baseline = Baseline {
        version: "1.2.2".to_owned(),
        release: "r0".to_owned(),
        at: Timestamp::UNIX_EPOCH,
        window_s: 60.0,
        values: [("p99".to_owned(), 0.3)].into(),
        missing: [].into(),
    };
    for key in [analyse::STORED, "v1-2-3-0", "v1-2-4-0"] {
        analyse::save(&cluster, "shop", key, &baseline).await.unwrap();
    }
    let asked = server.asked();
    let managers: Vec<&str> = asked
        .iter()
        .filter_map(|line| line.split_once("fieldManager=").map(|(_, rest)| rest.split('&').next().unwrap_or_default()))
        .collect();
    // An apply removes the keys of its manager that it does not send.
    assert_eq!(managers, ["tagline-baseline-stored", "tagline-baseline-before", "tagline-baseline-before"]);
}
