//! How long users are served by a bad release once its rule is broken: from the end of the rule's own time until the old
//! version answers again, over many breaks. In the slow tier: each break is a release of its own.

mod common;

use std::time::{Duration, Instant};

use common::release::{App, BLUE_GREEN, answer, deployments, plan_objects};
use common::{Link, Space, space};
use serde_json::{Value, json};
use tagline_delivery::cluster::ExecLimits;

/// So many breaks.
const BREAKS: usize = 20;
/// The rule's own time.
const WINDOW: Duration = Duration::from_secs(2);
/// Beyond it, at the 95th percentile.
const LIMIT: Duration = Duration::from_secs(2);

/// Healthy at first: a file that is taken away later says so.
fn manifests(app: &App) -> Vec<Value> {
    let mut objects = app.manifests();
    objects.retain(|object| matches!(object["kind"].as_str(), Some("ConfigMap" | "Service" | "Deployment")));
    let serve = "mkdir -p /tmp/w && echo \"$VERSION $MODE\" | tee /tmp/w/well > /tmp/w/index.html && \
                 exec httpd -f -p 8080 -h /tmp/w";
    for object in objects.iter_mut().filter(|object| object["kind"] == "Deployment") {
        let pod = &mut object["spec"]["template"]["spec"];
        pod["terminationGracePeriodSeconds"] = json!(1);
        pod["containers"][0]["command"] = json!(["sh", "-c", serve]);
        pod["containers"][0]["lifecycle"] = Value::Null;
    }
    objects
}

/// The pods of a version say from now on that they are not well.
async fn breaks(space: &Space, app: &App) {
    let version = app.version.as_str();
    let pods = space.cluster.pods(&[("app".to_owned(), "shop".to_owned())].into()).await.expect("the cluster answers");
    let own =
        pods.iter().filter(|pod| pod.annotations().get("tagline.dev/version").is_some_and(|each| each == version));
    let limits = ExecLimits { timeout: Duration::from_secs(10), bytes: 1000 };
    let argv = ["rm", "/tmp/w/well"].map(str::to_owned);
    let done = own.map(|pod| space.cluster.exec(pod.name(), Some("web"), &argv, None, limits));
    let done = futures_util::future::join_all(done).await;
    assert_eq!(done.len(), 2, "{version}");
    for answer in done {
        assert_eq!(answer.expect("it is carried out").code, 0);
    }
}

/// One bad release: how long after its rule's own time the old version answered again.
async fn one(space: &Space, round: usize) -> Duration {
    let app = App::new(&format!("2.0.{round}")).await;
    let rule = format!("health fails {}s", WINDOW.as_secs());
    let with = [
        &BLUE_GREEN[..],
        &[("drain", "0s"), ("watch", "1m"), ("rollback-when", &rule), ("health", "/well"), ("interval", "250ms")],
    ]
    .concat();
    let release = plan_objects(space, &app, &manifests(&app), &with).await.expect("it can be planned");
    let link = Link::new();
    let measured = async {
        link.until(&format!("{} is watched for", app.version)).await;
        // At another moment between two looks each time.
        tokio::time::sleep(Duration::from_millis(500 + u64::try_from(round).expect("a count") * 37)).await;
        breaks(space, &app).await;
        let broken = Instant::now();
        link.until("Service/shop sends all traffic to 1.0.0").await;
        while !answer(space).await.starts_with("1.0.0") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        broken.elapsed()
    };
    let (result, took) = tokio::join!(release.apply(space, &link), measured);
    let error = result.expect_err("it is bad").to_string();
    assert!(error.contains("a rule is broken"), "{error}");
    assert!(took >= WINDOW, "before the rule's time was over: {took:?}\n{:#?}", link.said());
    took.saturating_sub(WINDOW)
}

#[tokio::test(flavor = "multi_thread")]
async fn traffic_is_back_two_seconds_after_a_rule_is_broken() {
    if !tagline_tests::gate::all() {
        return;
    }
    let Some(space) = space("back-time").await else { return };
    let first = App::new("1.0.0").await;
    let first = plan_objects(&space, &first, &manifests(&first), &BLUE_GREEN).await.expect("it can be planned");
    first.apply(&space, &Link::new()).await.expect("it is good");
    let mut took = Vec::new();
    for round in 0..BREAKS {
        took.push(Box::pin(one(&space, round)).await);
    }
    assert_eq!(deployments(&space).await.len(), 1, "each bad release is gone");
    took.sort();
    let rank = |share: usize| took[(took.len() * share).div_ceil(100) - 1];
    let (half, most) = (rank(50), rank(95));
    tagline_tests::gate::say(&format!(
        "rule broken to traffic back, beyond the rule's own time: p50 {half:?}, p95 {most:?} over {} breaks",
        took.len()
    ));
    assert!(most <= LIMIT, "{took:?}");
}
