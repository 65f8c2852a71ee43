//! Limits on logs, over a watch whose time is the test's own and a cluster that answers by what it is asked.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::quick::{Quick, START};
use common::script::{Act, Server, ok, step};
use indexmap::IndexMap;
use serde_json::json;
use tagline_delivery::Progress;
use tagline_delivery::check::Subject;
use tagline_delivery::check::watch::{Bake, Verdict, bake};
use tagline_delivery::inputs::{Action, DeployInputs};

fn inputs() -> DeployInputs {
    let with = [("manifests", "k8s"), ("watch", "2m"), ("log-limits", "ERROR at most 2")];
    let with: IndexMap<String, String> = with.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    match Action::read("tagline/deploy@v1", &with) {
        Ok(Action::Deploy(inputs)) => *inputs,
        other => panic!("{other:?}"),
    }
}

/// A cluster that has this pod, if any, with this log.
async fn cluster_of(pod: Option<&'static str>, log: &'static str) -> Server {
    let pods: Vec<_> = pod
        .into_iter()
        .map(|name| {
            json!({"metadata": {"name": name, "uid": name, "labels": {"release": "r1"}}, "status": {"phase": "Running",
                "containerStatuses": [{"name": "app", "restartCount": 0}]}})
        })
        .collect();
    Server::answering(move |asked| {
        if asked.contains("/log?") {
            Act::Answer(200, "Content-Type: text/plain\r\n", log.to_owned())
        } else if asked.contains("watch=true") {
            Act::Hold(Vec::new())
        } else {
            ok(&json!({"kind": "PodList", "metadata": {"resourceVersion": "1"}, "items": pods}))
        }
    })
    .await
}

async fn watched(server: &Server, engine: &Quick) -> Verdict {
    let folder = tempfile::tempdir().unwrap();
    let (cluster, _) = step(&server.url, folder.path()).await;
    let subject = Subject {
        unit: "shop".to_owned(),
        version: "1.2.3".to_owned(),
        release: "r1".to_owned(),
        pods: vec![[("release".to_owned(), "r1".to_owned())].into()],
        workloads: vec!["shop".to_owned()],
        port: None,
    };
    let inputs = inputs();
    let watch = Bake {
        rules: &inputs.rollback_when,
        measure: &inputs.measure,
        health: None,
        subject: &subject,
        watch: *inputs.watch,
        switched_at: START,
        traffic_since: START,
        baseline: None,
        note: "looked",
    };
    bake(&watch, &cluster, engine).await.unwrap()
}

const TWO: &str = "2026-01-02T03:00:05.1Z ok\n2026-01-02T03:00:05.2Z ERROR one\n2026-01-02T03:00:07.5Z ERROR two\n";
const THIRD: &str = "2026-01-02T03:01:30.1Z ERROR three\n";

#[tokio::test]
async fn lines_are_read_once_and_those_of_a_pod_that_is_gone_count_for_the_engine_that_takes_over() {
    let server = cluster_of(Some("a"), TWO).await;
    let engine = Quick::new();
    let verdict = watched(&server, &engine).await;
    let Verdict::Good(report) = &verdict else { panic!("{verdict:?}") };
    assert_eq!(report.logs.as_ref().unwrap().rows[0].found, 2, "however often the log was asked for");
    let asked = server.asked();
    let logs: Vec<_> = asked.iter().filter(|asked| asked.contains("/log?")).collect();
    assert!(logs.len() > 1 && logs[1].contains("sinceTime=2026-01-02T03%3A00%3A07Z"), "{logs:#?}");

    let server = cluster_of(Some("b"), THIRD).await;
    let engine = Quick::knowing(engine.milestones());
    let verdict = watched(&server, &engine).await;
    let Verdict::Bad { broken, .. } = &verdict else { panic!("{verdict:?}") };
    assert_eq!(
        (broken.rule.as_str(), broken.value.as_str()),
        ("log-limits ERROR at most 2", "3 lines: a app: ERROR one")
    );
}

#[tokio::test]
async fn logs_of_no_pod_say_nothing_good() {
    let server = cluster_of(None, "").await;
    let verdict = watched(&server, &Quick::new()).await;
    let Verdict::Inconclusive { why, .. } = &verdict else { panic!("{verdict:?}") };
    assert_eq!(why, "there is no pod whose log could be read");
}
