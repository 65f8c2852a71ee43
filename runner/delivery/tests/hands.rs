//! Somebody else's hand on what a release is to change, on a real cluster: people with kubectl, operations in force, and a
//! Service that another strategy has moved.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::release::{App, BLUE_GREEN, answer, deliver, plan, roll_back, site, step, tree, until_ready, whole};
use common::{Link, Space, space};
use serde_json::json;
use tagline_delivery::cluster::Patch;
use tagline_delivery::{DeliveryError, Failure, Object, ObjectId, Stop, action};

fn failure(error: DeliveryError) -> Failure {
    match error {
        DeliveryError::Failed(failure) => *failure,
        DeliveryError::Stopped(stop) => panic!("{stop}"),
    }
}

/// What stands against a release.
async fn refused(space: &Space, app: &App, with: &[(&str, &str)]) -> Failure {
    failure(plan(space, app, with).await.map(|_| ()).unwrap_err())
}

fn deployment(space: &Space, name: &str) -> ObjectId {
    ObjectId::new("apps/v1", "Deployment", space.namespace(), name)
}

/// Sets the version that a Deployment's pods answer, as `kubectl edit` would.
async fn by_hand(space: &Space, name: &str, manager: &str) {
    let id = deployment(space, name);
    let live: Object = space.cluster.get(&id).await.unwrap().unwrap();
    let mut containers = live.0["spec"]["template"]["spec"]["containers"].clone();
    containers[0]["env"][0]["value"] = json!("9");
    let patch = Patch::Merge(json!({"spec": {"template": {"spec": {"containers": containers}}}}));
    space.cluster.patch(&id, manager, &patch).await.unwrap();
}

/// Somebody's change is refused before, and seen while a release goes out.
#[tokio::test(flavor = "multi_thread")]
async fn somebody_else_s_hand() {
    let Some(space) = space("roll-hand").await else { return };
    deliver(&space, &App::new("1.2.2").await, &[]).await;
    by_hand(&space, "shop", "kubectl-set").await;
    until_ready(&space, "shop").await;
    let refused = refused(&space, &App::new("1.2.3").await, &[]).await;
    assert!(
        refused.why.starts_with("drift: Deployment/shop spec.template.spec.containers[name=\"web\"].env[name=\"VERSION\"].value changed by kubectl-set: 9 (the release has "),
        "{refused:#?}"
    );
    let (_, _, _) = deliver(&space, &App::new("1.2.3").await, &[("drift", "overwrite")]).await;
    assert!(answer(&space).await.starts_with("1.2.3"));

    // In the middle of a rollout.
    let link = Link::new();
    let release = plan(&space, &App::new("1.2.4").await, &[]).await.unwrap();
    let hand = async {
        link.until_reached("created").await;
        by_hand(&space, "shop", "kubectl-edit").await;
    };
    let (result, ()) = tokio::join!(release.apply(&space, &link), hand);
    let failed = failure(result.unwrap_err());
    assert!(failed.why.contains("env[name=\"VERSION\"].value was changed by kubectl-edit"), "{failed:#?}");
    assert_eq!(failed.effect, "everything was left as that change made it");
}

/// Changed after the plan was made: none of the objects is written, those before it in the order included.
#[tokio::test(flavor = "multi_thread")]
async fn a_hand_after_the_plan_leaves_nothing_half_delivered() {
    let Some(space) = space("hand-late").await else { return };
    deliver(&space, &App::new("1.2.2").await.with("critical"), &[]).await;
    // Its ConfigMap and `shop` are applied before `critical`.
    let release = plan(&space, &App::new("1.2.3").await.with("critical"), &[]).await.unwrap();
    by_hand(&space, "critical", "kubectl-edit").await;
    until_ready(&space, "critical").await;
    let was = content(&space).await;
    let link = Link::new();
    let failed = failure(release.apply(&space, &link).await.unwrap_err());
    assert!(failed.why.starts_with("drift: Deployment/critical "), "{failed:#?}");
    assert_eq!(failed.effect, "nothing was changed");
    assert_eq!(link.reached(), [""; 0], "{:#?}", link.said());
    assert_eq!(content(&space).await, was);
}

/// Without what controllers count.
async fn content(space: &Space) -> Vec<Object> {
    let mut objects: Vec<Object> = whole(space).await.into_iter().map(Object).collect();
    for object in &mut objects {
        object.remove("/metadata/annotations/deployment.kubernetes.io~1revision");
    }
    objects
}

/// A way back that delivers a release again arrives, and says what it overwrites.
#[tokio::test(flavor = "multi_thread")]
async fn a_release_delivered_again_overwrites_and_says_so() {
    let Some(space) = space("hand-again").await else { return };
    let mut past = Vec::new();
    for version in ["1.2.2", "1.2.3", "1.2.4"] {
        let (release, link, _) = deliver(&space, &App::new(version).await, &[]).await;
        past.insert(0, release.past(&link));
    }
    by_hand(&space, "shop", "kubectl-edit").await;
    let (link, outcome) = roll_back(&space, &past, &[("to", "1.2.2")]).await;
    assert_eq!(outcome.outputs["changed"], "true");
    assert!(answer(&space).await.starts_with("1.2.2 mode-1.2.2"), "{:#?}", link.said());
    let said = link.said();
    let line = said.iter().find(|line| line.starts_with("warning: drift: Deployment/shop ")).unwrap();
    assert!(line.ends_with("; it is overwritten"), "{line}");
}

/// What blue-green has moved is no Service for a release in place, and no advice leads there.
#[tokio::test(flavor = "multi_thread")]
async fn rolling_over_a_blue_green_release_is_refused_before_anything_is_changed() {
    let Some(space) = space("hand-apart").await else { return };
    deliver(&space, &App::new("1.2.2").await, &BLUE_GREEN).await;
    let failed = refused(&space, &App::new("1.2.3").await, &[]).await;
    let all = failed.evidence.join("\n");
    assert!(all.contains("Service/shop sends its traffic to the blue-green release v1-2-2-"), "{all}");
    assert!(!all.contains("force-conflicts"), "{all}");
    let failed = refused(&space, &App::new("1.2.3").await, &[("force-conflicts", "true")]).await;
    assert!(failed.evidence.join("\n").contains("strategy: blue-green"), "{failed:#?}");
    deliver(&space, &App::new("1.2.3").await, &BLUE_GREEN).await;
}

/// A conflict of server-side apply is found when planning, by the same force as it is applied with.
#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_is_found_by_the_plan() {
    let Some(space) = space("hand-conflict").await else { return };
    let (first, link, _) = deliver(&space, &App::new("1.2.2").await, &[]).await;
    // The value is the release's own: no drift, but another owner, and the next release has another value.
    let id = ObjectId::new("v1", "Service", space.namespace(), "shop");
    let same =
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "shop"}, "spec": {"type": "NodePort"}});
    let owner = tagline_delivery::cluster::Apply::by("kubectl").force(true);
    space.cluster.apply(&Object(same), owner).await.unwrap();
    let app = App::new("1.2.3").await;
    let mut objects = app.manifests();
    objects[1]["spec"]["type"] = json!("ClusterIP");
    let (tree, past) = (tree(&objects), [first.past(&link)]);
    let site = site(&space, &app.version, &app.image, tree.path());
    let refused = action::plan(&site, &step("tagline/deploy@v1", &[]), &past, &space.cluster).await;
    let all = failure(refused.map(|_| ()).unwrap_err()).evidence.join("\n");
    assert!(all.contains(".spec.type by kubectl") && all.contains("force-conflicts"), "{all}");
    assert_eq!(space.cluster.get(&id).await.unwrap().unwrap().text("/spec/type"), "NodePort");
}

/// An operation in force is known to the plan, which says until when, and what can be done.
#[tokio::test(flavor = "multi_thread")]
async fn an_operation_in_force_is_named_by_the_plan() {
    let Some(space) = space("hand-operation").await else { return };
    deliver(&space, &App::new("1.2.2").await, &BLUE_GREEN).await;
    let operate = async |with: &[(&str, &str)]| {
        let tree = tree(&[]);
        let site = site(&space, "0.0.0-0000000", "", tree.path());
        let with = [&[("do", "scale"), ("workloads", "shop"), ("replicas", "3"), ("hpa", "suspend")], with].concat();
        let plan = action::plan(&site, &step("tagline/operate@v1", &with), &[], &space.cluster).await.unwrap();
        action::apply(&plan, &site, &space.cluster, &*Link::new()).await.unwrap();
    };
    operate(&[("for", "1h")]).await;
    let app = App::new("1.2.3").await;
    let failed = refused(&space, &app, &BLUE_GREEN).await;
    let line =
        failed.evidence.iter().find(|line| line.contains("HorizontalPodAutoscaler/shop spec.maxReplicas")).unwrap();
    assert!(line.contains(": 3 (the release has 4); scale Deployment/shop-v1-2-2-"), "{line}");
    assert!(line.contains(" is in force until 20"), "{line}");
    assert!(line.ends_with("; undo it (its step with undo: true), or drift: overwrite or keep"), "{line}");

    // Kept, it stays in force over the release; undone, nothing stands against the next one.
    let keep = [&BLUE_GREEN[..], &[("drift", "keep")]].concat();
    deliver(&space, &app, &keep).await;
    let hpa = ObjectId::new("autoscaling/v2", "HorizontalPodAutoscaler", space.namespace(), "shop");
    let most = async || space.cluster.get(&hpa).await.unwrap().unwrap().number("/spec/maxReplicas");
    assert_eq!(most().await, Some(3));
    let overwrite = [&BLUE_GREEN[..], &[("drift", "overwrite")]].concat();
    deliver(&space, &App::new("1.2.4").await, &overwrite).await;
    assert_eq!(most().await, Some(4));
    deliver(&space, &App::new("1.2.5").await, &BLUE_GREEN).await;
}

/// A release that waits for a person waits on with the next engine, and moves nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_paused_release_stays_paused_for_the_next_engine() {
    let Some(space) = space("hand-pause").await else { return };
    deliver(&space, &App::new("1.2.2").await, &BLUE_GREEN).await;
    let with =
        [&BLUE_GREEN[..], &[("on-failure", "pause"), ("smoke", "/ text \"never\""), ("smoke-attempts", "1")]].concat();
    let release = plan(&space, &App::new("1.2.3").await, &with).await.unwrap();
    let mut known = Vec::new();
    for engine in 0..2 {
        let link = Link::new();
        known.clone_into(&mut link.milestones.lock().unwrap());
        let ends = async {
            link.until_holds(|link| link.said().iter().any(|line| line.contains("on-failure: pause"))).await;
            link.end(Stop::EngineEnds);
        };
        let (result, ()) = tokio::join!(release.apply(&space, &link), ends);
        assert!(matches!(result, Err(DeliveryError::Stopped(Stop::EngineEnds))), "{result:?}");
        known = link.milestones.lock().unwrap().clone();
        assert_eq!(link.reached(), ["begun", "created", "ready", "paused"]);
        assert!(engine == 0 || link.said().len() == 1, "it does nothing else: {:#?}", link.said());
    }
    let link = Link::new();
    *link.milestones.lock().unwrap() = known;
    link.end(Stop::Cancelled("a person has decided".to_owned()));
    let failed = failure(release.apply(&space, &link).await.unwrap_err());
    assert!(failed.effect.starts_with("no traffic moved; 1.2.2"), "{failed:#?}");
    assert_eq!(link.reached().last().map(String::as_str), Some("rolled-back"));
    assert!(answer(&space).await.starts_with("1.2.2"));
}
