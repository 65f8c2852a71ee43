//! Waiting for real rollouts: those that end well, those that cannot, and one during which the API server goes away.

mod common;

use std::time::Duration;

use common::proxy::Proxy;
use common::{Link, Space, deployment, image, space, web};
use serde_json::{Value, json};
use tagline_delivery::cluster::MANAGER;
use tagline_delivery::rollout::{Wait, WaitError, wait_ready};
use tagline_delivery::{Object, Stop};

fn wait(seconds: u64) -> Wait {
    Wait { timeout: Duration::from_secs(seconds), ..Wait::default() }
}

/// Applies it and waits; the failure's line and whether its time was over.
async fn fails(space: &Space, manifest: Value, wait: &Wait) -> (String, bool, Vec<Object>) {
    let object = space.apply(manifest).await;
    match wait_ready(&space.cluster, &[object], wait, &*Link::new()).await {
        Err(WaitError::NotReady { why, late, pods, .. }) => (why, late, pods),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn several_workloads_are_waited_for_as_one_and_must_stay_ready() {
    let Some(space) = space("unit").await else { return };
    let objects = [
        space.apply(web("workers", "r1", "1", 2)).await,
        space.apply(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}})).await,
        space.apply(web("workers-critical", "r1", "1", 1)).await,
    ];
    let link = Link::new();
    let start = std::time::Instant::now();
    let wait = Wait { min_ready: Duration::from_secs(2), ..wait(60) };
    let pods = wait_ready(&space.cluster, &objects, &wait, &*link).await.unwrap();
    assert!(start.elapsed() >= Duration::from_secs(2));
    assert_eq!(pods.len(), 3);
    assert_eq!(link.said().last().unwrap(), "workers 2/2, workers-critical 1/1");
    // A second wait for the same finds it done, and says the same.
    assert_eq!(wait_ready(&space.cluster, &objects, &Wait::default(), &*Link::new()).await.unwrap().len(), 3);
}

#[tokio::test]
async fn an_update_is_ready_only_with_new_pods() {
    let Some(space) = space("update").await else { return };
    let old = space.apply(web("w", "r1", "1", 2)).await;
    wait_ready(&space.cluster, &[old], &wait(60), &*Link::new()).await.unwrap();
    let new = space.apply(web("w", "r2", "2", 2)).await;
    let pods = wait_ready(&space.cluster, &[new], &wait(60), &*Link::new()).await.unwrap();
    let releases: Vec<_> = pods.iter().map(|pod| pod.labels()["tagline.dev/release"].clone()).collect();
    assert_eq!(releases, ["r2", "r2"]);
}

#[tokio::test]
async fn an_image_that_is_not_there_ends_the_wait_early() {
    let Some(space) = space("image").await else { return };
    let missing = image().replace("tagline-test/busybox:latest", "tagline-test/none:1");
    let manifest = deployment("w", "r1", 1, &json!({"name": "a", "image": missing}));
    let start = std::time::Instant::now();
    let (why, late, pods) = fails(&space, manifest, &wait(120)).await;
    assert!(!late && why.contains("ImagePull") && start.elapsed() < Duration::from_mins(1), "{why}");
    assert_eq!(pods.len(), 1);
    let invalid = deployment("v", "r1", 1, &json!({"name": "a", "image": "UPPER//x"}));
    let (why, ..) = fails(&space, invalid, &wait(60)).await;
    assert!(why.contains("InvalidImageName"), "{why}");
}

#[tokio::test]
async fn a_container_that_ends_again_and_again_ends_the_wait_early() {
    let Some(space) = space("crash").await else { return };
    let crash = json!({"name": "a", "image": image(), "command": ["sh", "-c", "exit 3"]});
    let (why, late, _) = fails(&space, deployment("w", "r1", 1, &crash), &Wait { restarts: 1, ..wait(120) }).await;
    assert!(!late && why.contains("CrashLoopBackOff: exit code 3 (1 restarts)"), "{why}");
    let config = json!({"name": "a", "image": image(), "envFrom": [{"configMapRef": {"name": "none"}}]});
    let (why, late, _) = fails(&space, deployment("v", "r1", 1, &config), &wait(60)).await;
    assert!(!late && why.contains("CreateContainerConfigError: configmap \"none\" not found"), "{why}");
}

#[tokio::test]
async fn a_quota_ends_the_wait_at_once_and_zero_replicas_are_never_ready() {
    let Some(space) = space("quota").await else { return };
    space.apply(json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "small"}, "spec": {"hard": {"pods": "1"}}})).await;
    let start = std::time::Instant::now();
    let (why, late, _) = fails(&space, web("w", "r1", "1", 2), &wait(60)).await;
    assert!(!late && why.contains("exceeded quota: small") && start.elapsed() < Duration::from_secs(10), "{why}");
    let (why, ..) = fails(&space, web("zero", "r1", "1", 0), &wait(60)).await;
    assert_eq!(why, "Deployment/zero wants 0 pods: nothing would run");
}

#[tokio::test]
async fn a_time_that_is_over_says_what_was_missing_and_a_stop_ends_at_once() {
    let Some(space) = space("late").await else { return };
    let mut slow = web("w", "r1", "1", 1);
    slow["spec"]["template"]["spec"]["containers"][0]["readinessProbe"]["httpGet"]["path"] = json!("/none");
    let (why, late, pods) = fails(&space, slow.clone(), &wait(3)).await;
    assert!(late && why.starts_with("not ready within 3s: w 0/1: 0 of 1 pods are available"), "{why}");
    assert_eq!(pods.len(), 1);
    let link = Link::new();
    link.end(Stop::EngineEnds);
    let stopped = wait_ready(&space.cluster, &[Object(slow)], &wait(60), &*link).await;
    assert!(matches!(stopped, Err(WaitError::Stopped(Stop::EngineEnds))));
}

#[tokio::test]
async fn jobs_are_waited_for_to_their_end_and_a_failed_one_is_seen() {
    let Some(space) = space("jobs").await else { return };
    let job = |name: &str, script: &str| {
        json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {"backoffLimit": 0, "template": {"spec": {
            "restartPolicy": "Never", "containers": [{"name": "a", "image": image(), "command": ["sh", "-c", script]}]}}}})
    };
    let good = space.apply(job("good", "exit 0")).await;
    assert_eq!(wait_ready(&space.cluster, &[good], &wait(60), &*Link::new()).await.unwrap(), []);
    let (why, late, _) = fails(&space, job("bad", "exit 4"), &wait(60)).await;
    assert!(!late && why.contains("BackoffLimitExceeded"), "{why}");
}

#[tokio::test]
async fn daemon_sets_and_stateful_sets_are_waited_for() {
    let Some(space) = space("sets").await else { return };
    let template = |name: &str| web(name, "r1", "1", 1)["spec"]["template"].clone();
    let stateful = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db"}, "spec": {
        "replicas": 2, "serviceName": "db", "selector": {"matchLabels": {"app": "db"}}, "template": template("db")}});
    let daemon = json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "agent"}, "spec": {
        "selector": {"matchLabels": {"app": "agent"}}, "template": template("agent")}});
    let objects = [space.apply(stateful.clone()).await, space.apply(daemon).await];
    assert_eq!(wait_ready(&space.cluster, &objects, &wait(90), &*Link::new()).await.unwrap().len(), 3);
    let mut next = stateful;
    next["spec"]["template"]["metadata"]["labels"]["tagline.dev/release"] = json!("r2");
    let next = space.apply(next).await;
    let pods = wait_ready(&space.cluster, &[next], &wait(90), &*Link::new()).await.unwrap();
    assert!(pods.len() == 2 && pods.iter().all(|pod| pod.labels()["tagline.dev/release"] == "r2"));
}

#[tokio::test]
async fn an_api_server_that_goes_away_holds_a_wait_up_and_changes_nothing() {
    let Some(space) = space("away").await else { return };
    let folder = tempfile::tempdir().unwrap();
    let (mut proxy, through) = Proxy::start(&space.kubeconfig, folder.path()).await;
    let link = Link::new();
    let cluster = space.connect(through, &space.cluster.target().context).await.telling(link.clone());
    let mut slow = web("w", "r1", "1", 1);
    slow["spec"]["template"]["spec"]["containers"][0]["readinessProbe"]["initialDelaySeconds"] = json!(4);
    let object = cluster.apply(&Object(slow), tagline_delivery::cluster::Apply::by(MANAGER)).await.unwrap();
    let waiting = {
        let (cluster, link) = (cluster.clone(), link.clone());
        tokio::spawn(async move { wait_ready(&cluster, &[object], &wait(60), &*link).await })
    };
    link.until("w 0/1").await;
    proxy.cut().await;
    link.until("warning: API server of context").await;
    // Nothing could be seen: it is not ready, whatever became of it meanwhile.
    assert!(!waiting.is_finished());
    proxy.mend().await;
    assert_eq!(waiting.await.unwrap().unwrap().len(), 1);
    let said = link.said();
    assert!(
        said.iter()
            .any(|line| line.contains("is out of reach since") && line.ends_with("nothing is changed meanwhile")),
        "{said:?}"
    );
    assert!(said.iter().any(|line| line.contains("answers again after")), "{said:?}");
    assert_eq!(said.iter().filter(|line| line.contains("out of reach")).count(), 1);
}
