//! Blue-green on a real cluster.

mod common;

use common::release::{
    App, BLUE_GREEN, answer, deliver, deployments, kubectl_apply, node_port, plan, plan_objects, roll_back,
    until_ready, whole,
};
use common::users::Users;
use common::{Link, space};
use tagline_delivery::cluster::{Patch, Precondition};
use tagline_delivery::{DeliveryError, ObjectId, action};

/// The first release of an empty namespace, a second one beside it, and the same once more.
#[tokio::test(flavor = "multi_thread")]
async fn two_releases_and_the_second_once_more() {
    let Some(space) = space("bg-two").await else { return };
    let (_, link, outcome) = deliver(&space, &App::new("1.2.2").await.with("critical"), &BLUE_GREEN).await;
    assert_eq!(outcome.outputs["changed"], "true", "{:#?}", link.said());
    assert!(answer(&space).await.starts_with("1.2.2 mode-1.2.2"));

    let users = Users::start(&space).await;
    let app = App::new("1.2.3").await.with("critical");
    let (_, link, outcome) = deliver(&space, &app, &BLUE_GREEN).await;
    let seen = users.end().await;
    assert_eq!(seen.wrong, Vec::<String>::new(), "of {} requests\n{:#?}", seen.sent, link.said());
    assert_eq!(outcome.outputs["previous-version"], "1.2.2");
    assert!(answer(&space).await.starts_with("1.2.3 mode-1.2.3"));
    let counts = deployments(&space).await;
    assert_eq!(counts.iter().map(|(_, count)| *count).collect::<Vec<_>>(), [1, 1, 1, 2], "{counts:?}");
    assert_eq!(link.reached(), ["begun", "created", "ready", "smoked", "switched", "verified", "scaled-down", "kept"]);
    assert_eq!(outcome.retire.len(), 1);

    let before = space.cluster.requests();
    let (release, link, outcome) = deliver(&space, &app, &BLUE_GREEN).await;
    assert_eq!((outcome.outputs["changed"].as_str(), link.said()), ("false", vec!["already live: 1.2.3".to_owned()]));
    assert_eq!(release.plan.summary(), ["already live: 1.2.3"]);
    assert!(space.cluster.requests() - before < 60);
}

/// What `kubectl apply` made is taken over without a failed request, and a release that never gets ready leaves it as it was.
#[tokio::test(flavor = "multi_thread")]
async fn a_plain_deployment_is_adopted() {
    let Some(space) = space("bg-adopt").await else { return };
    let old = App::new("1.2.1").await;
    kubectl_apply(&space, &old.manifests()).await;
    until_ready(&space, "shop").await;

    let users = Users::start(&space).await;
    let broken = App::new("1.2.2").await.broken();
    let release = plan(&space, &broken, &BLUE_GREEN).await.unwrap();
    let live = whole(&space).await;
    let link = Link::new();
    let error = release.apply(&space, &link).await.unwrap_err();
    let DeliveryError::Failed(failure) = &error else { panic!("{error}") };
    assert!(failure.effect.starts_with("no traffic moved;"), "{failure:#?}");
    assert_eq!(whole(&space).await, live, "{:#?}", link.said());
    assert!(link.files.lock().unwrap().iter().any(|(name, _)| name == "evidence/state.json"));

    let (_, link, outcome) = deliver(&space, &App::new("1.2.3").await, &BLUE_GREEN).await;
    let seen = users.end().await;
    assert_eq!(seen.wrong, Vec::<String>::new(), "of {} requests\n{:#?}", seen.sent, link.said());
    assert!(answer(&space).await.starts_with("1.2.3 mode-1.2.3"));
    let counts = deployments(&space).await;
    assert_eq!(counts[0], ("shop".to_owned(), 1));
    assert_eq!(outcome.retire[0].objects.len(), 1);
}

/// Back by `tagline/rollback`, three times.
#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_moves_all_and_a_second_one_writes_nothing() {
    let Some(space) = space("bg-back").await else { return };
    let (first, link, _) = deliver(&space, &App::new("1.2.2").await.with("critical"), &BLUE_GREEN).await;
    let mut past = vec![first.past(&link)];
    let (second, link, _) = deliver(&space, &App::new("1.2.3").await.with("critical"), &BLUE_GREEN).await;
    past.insert(0, second.past(&link));
    let users = Users::start(&space).await;
    let (link, outcome) = roll_back(&space, &past, &[("drain", "2s"), ("reason", "a test")]).await;
    let seen = users.end().await;
    assert_eq!(seen.wrong, Vec::<String>::new(), "of {} requests\n{:#?}", seen.sent, link.said());
    assert_eq!((outcome.outputs["version"].as_str(), outcome.outputs["changed"].as_str()), ("1.2.2", "true"));
    assert!(answer(&space).await.starts_with("1.2.2 mode-1.2.2"));
    assert_eq!(deployments(&space).await.len(), 2);
    let hpa = ObjectId::new("autoscaling/v2", "HorizontalPodAutoscaler", space.namespace(), "shop");
    let hpa = space.cluster.get(&hpa).await.unwrap().unwrap();
    assert!(hpa.text("/spec/scaleTargetRef/name").starts_with("shop-v1-2-2-"));

    let was = whole(&space).await;
    for _ in 0..2 {
        let (link, outcome) = roll_back(&space, &past, &[]).await;
        assert_eq!(
            (link.said(), outcome.outputs["changed"].as_str()),
            (vec!["already live: 1.2.2".to_owned()], "false")
        );
    }
    assert_eq!(whole(&space).await, was);
    // And forward again, over what was gone back to.
    let (link, outcome) = roll_back(&space, &past, &[("to", "1.2.3")]).await;
    assert_eq!(outcome.outputs["version"], "1.2.3", "{:#?}", link.said());
    assert!(answer(&space).await.starts_with("1.2.3 mode-1.2.3"));
}

/// The old release goes when its time has come, unless it is live again.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_release_is_removed_once() {
    let Some(space) = space("bg-retire").await else { return };
    let (first, link, _) = deliver(&space, &App::new("1.2.2").await, &BLUE_GREEN).await;
    let mut past = vec![first.past(&link)];
    let (second, link, outcome) = deliver(&space, &App::new("1.2.3").await, &BLUE_GREEN).await;
    past.insert(0, second.past(&link));
    let retirement = &outcome.retire[0];
    assert_eq!((retirement.version.as_str(), retirement.objects.len()), ("1.2.2", 2), "{retirement:#?}");

    let (_, _) = roll_back(&space, &past, &[("drain", "1s")]).await;
    let kept = action::retire(retirement, &space.cluster, &*Link::new()).await.unwrap();
    assert!(kept.removed.is_empty() && kept.kept[0].contains("it is live"), "{kept:#?}");
    assert!(answer(&space).await.starts_with("1.2.2"));

    let (_, _, outcome) = deliver(&space, &App::new("1.2.4").await, &BLUE_GREEN).await;
    let gone = action::retire(&outcome.retire[0], &space.cluster, &*Link::new()).await.unwrap();
    assert_eq!((gone.removed.len(), gone.kept.len()), (2, 0), "{gone:#?}");
    let again = action::retire(&outcome.retire[0], &space.cluster, &*Link::new()).await.unwrap();
    assert_eq!((again.removed.len(), again.kept.len()), (0, 0));
    assert!(answer(&space).await.starts_with("1.2.4"));
}

/// A pair `shop-blue` and `shop-green` as people have them: the idle one is next, then the other.
#[tokio::test(flavor = "multi_thread")]
async fn a_pair_of_colours_takes_turns() {
    let Some(space) = space("bg-colours").await else { return };
    let app = App::new("1.2.1").await;
    let mut objects = Vec::new();
    for (colour, replicas) in [("blue", 2), ("green", 0)] {
        let mut deployment = app.deployment(&format!("shop-{colour}"), replicas);
        let labels = serde_json::json!({"app": "shop", "deployment": colour});
        deployment["spec"]["selector"]["matchLabels"] = labels.clone();
        deployment["spec"]["template"]["metadata"]["labels"] = labels;
        objects.push(deployment);
    }
    objects.extend(app.manifests().into_iter().take(2));
    objects[3]["spec"]["selector"] = serde_json::json!({"app": "shop", "deployment": "blue"});
    kubectl_apply(&space, &objects).await;
    until_ready(&space, "shop-blue").await;

    let with = [&BLUE_GREEN[..], &[("names", "colours")]].concat();
    let users = Users::start(&space).await;
    for (version, live, idle) in [("1.2.2", "shop-green", "shop-blue"), ("1.2.3", "shop-blue", "shop-green")] {
        let (_, link, _) = deliver(&space, &App::new(version).await, &with).await;
        assert!(answer(&space).await.starts_with(version), "{:#?}", link.said());
        let counts = deployments(&space).await;
        let expected = [(idle.to_owned(), 1), (live.to_owned(), 2)];
        assert!(counts.len() == 2 && expected.iter().all(|each| counts.contains(each)), "{counts:?}");
    }
    let seen = users.end().await;
    assert_eq!(seen.wrong, Vec::<String>::new(), "of {} requests", seen.sent);
}

/// A release that got all traffic, failed, and was left so: delivered once more it is tested, the old pods go down and the old
/// release is removed later. Only then it is live already.
#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_was_stopped_is_checked_when_it_is_delivered_again() {
    let Some(space) = space("bg-again").await else { return };
    deliver(&space, &App::new("1.2.2").await, &BLUE_GREEN).await;
    let app = App::new("1.2.3").await;
    let url = format!("http://127.0.0.1:{}", node_port(&space).await);
    let public = [("smoke", "public / text \"never said\""), ("public-url", url.as_str()), ("on-failure", "stop")];
    let stopped = plan(&space, &app, &[&BLUE_GREEN[..], &public].concat()).await.unwrap();
    let link = Link::new();
    let error = stopped.apply(&space, &link).await.unwrap_err();
    assert!(link.reached().contains(&"switched".to_owned()), "{error}\n{:#?}", link.said());
    assert_eq!(deployments(&space).await.iter().map(|(_, count)| *count).collect::<Vec<_>>(), [2, 2]);

    let (release, link, outcome) = deliver(&space, &app, &BLUE_GREEN).await;
    assert!(release.plan.summary()[0].contains("has not passed its checks"), "{:?}", release.plan.summary());
    assert_eq!(outcome.outputs["changed"], "true", "{:#?}", link.said());
    assert!(link.reached().contains(&"smoked".to_owned()), "{:#?}", link.reached());
    assert_eq!(deployments(&space).await.iter().map(|(_, count)| *count).collect::<Vec<_>>(), [1, 2]);
    assert_eq!((outcome.retire.len(), outcome.retire[0].version.as_str()), (1, "1.2.2"), "{:#?}", outcome.retire);
    let (_, link, outcome) = deliver(&space, &app, &BLUE_GREEN).await;
    assert_eq!((outcome.outputs["changed"].as_str(), link.said()), ("false", vec!["already live: 1.2.3".to_owned()]));
}

/// Workers without a Service: each release takes the place of the one before.
#[tokio::test(flavor = "multi_thread")]
async fn a_unit_without_services_sees_the_release_before() {
    let Some(space) = space("bg-worker").await else { return };
    let with = [&BLUE_GREEN[..], &[("smoke-port", "8080"), ("scale-old", "1")]].concat();
    let mut before = String::new();
    for version in ["1.2.2", "1.2.3", "1.2.4"] {
        let app = App::new(version).await;
        let objects = [app.manifests()[0].clone(), app.deployment("shop", 2)];
        let release = plan_objects(&space, &app, &objects, &with).await.unwrap_or_else(|error| panic!("{error:#?}"));
        let link = Link::new();
        let outcome = release.apply(&space, &link).await.unwrap_or_else(|error| panic!("{error:#?}"));
        assert_eq!(outcome.outputs["previous-version"], before, "{:#?}", link.said());
        let full: Vec<_> = deployments(&space).await.into_iter().filter(|(_, count)| *count == 2).collect();
        assert_eq!(full.len(), 1, "{full:?}");
        version.clone_into(&mut before);
    }
}

/// An adoption that was stopped half-way: the Service is narrowed by a template's hash. What is live is seen all the same.
#[tokio::test(flavor = "multi_thread")]
async fn an_adoption_that_was_stopped_is_gone_on_with() {
    let Some(space) = space("bg-stopped").await else { return };
    kubectl_apply(&space, &App::new("1.2.1").await.manifests()).await;
    until_ready(&space, "shop").await;
    let users = Users::start(&space).await;
    let with = [&BLUE_GREEN[..], &[("on-failure", "stop")]].concat();
    let broken = plan(&space, &App::new("1.2.2").await.broken(), &with).await.unwrap();
    broken.apply(&space, &Link::new()).await.unwrap_err();
    let service = ObjectId::new("v1", "Service", space.namespace(), "shop");
    let narrowed = space.cluster.get(&service).await.unwrap().unwrap();
    assert!(narrowed.texts("/spec/selector").contains_key("pod-template-hash"), "{narrowed:?}");

    let (_, link, outcome) = deliver(&space, &App::new("1.2.3").await, &BLUE_GREEN).await;
    let seen = users.end().await;
    assert_eq!(seen.wrong, Vec::<String>::new(), "of {} requests\n{:#?}", seen.sent, link.said());
    assert!(answer(&space).await.starts_with("1.2.3 mode-1.2.3"));
    let gone: Vec<String> = outcome.retire[0].objects.iter().map(|(id, _)| id.to_string()).collect();
    assert_eq!(gone, ["Deployment/shop"]);
}

/// `deployment` with a pair of colours: the autoscaler and the budget that stand beside the pair go along.
#[tokio::test(flavor = "multi_thread")]
async fn what_follows_a_pair_of_colours_goes_along() {
    let Some(space) = space("bg-follow").await else { return };
    let app = App::new("1.2.1").await;
    let mut objects = app.manifests()[..4].to_vec();
    for (colour, replicas) in [("blue", 2), ("green", 0)] {
        let mut deployment = app.deployment(&format!("shop-{colour}"), replicas);
        let labels = serde_json::json!({"app": "shop", "deployment": colour});
        deployment["spec"]["selector"]["matchLabels"] = labels.clone();
        deployment["spec"]["template"]["metadata"]["labels"] = labels;
        objects.push(deployment);
    }
    objects[1]["spec"]["selector"] = serde_json::json!({"app": "shop", "deployment": "blue"});
    objects[3]["spec"]["scaleTargetRef"]["name"] = serde_json::json!("shop-blue");
    kubectl_apply(&space, &objects).await;
    until_ready(&space, "shop-blue").await;

    let image = format!("shop={}", app.image);
    let set = [("manifests", ""), ("deployment", "shop-blue"), ("names", "colours"), ("images", image.as_str())];
    let (_, link, _) = deliver(&space, &App::new("1.2.2").await, &[&BLUE_GREEN[..], &set].concat()).await;
    let get = async |api: &str, kind: &str| {
        space.cluster.get(&ObjectId::new(api, kind, space.namespace(), "shop")).await.unwrap().unwrap()
    };
    let hpa = get("autoscaling/v2", "HorizontalPodAutoscaler").await;
    assert_eq!(hpa.text("/spec/scaleTargetRef/name"), "shop-green", "{:#?}", link.said());
    let budget = get("policy/v1", "PodDisruptionBudget").await;
    assert!(budget.texts("/spec/selector/matchLabels").contains_key("tagline.dev/release"), "{budget:?}");
}

/// Changes a Service's selector by hand.
async fn edit_selector(space: &common::Space, change: serde_json::Value) {
    let id = ObjectId::new("v1", "Service", space.namespace(), "shop");
    let patch = Patch::Merge(serde_json::json!({"spec": {"selector": change}}));
    space.cluster.patch(&id, "kubectl-patch", &patch).await.expect("it is changed");
}

async fn selector(space: &common::Space) -> tagline_delivery::cluster::Labels {
    let id = ObjectId::new("v1", "Service", space.namespace(), "shop");
    space.cluster.get(&id).await.expect("the cluster answers").expect("it is there").texts("/spec/selector")
}

/// A Service that somebody else points elsewhere does not keep a failed release from being cleaned up: it is left so.
#[tokio::test(flavor = "multi_thread")]
async fn a_way_back_passes_over_what_somebody_else_changed() {
    let Some(space) = space("bg-foreign").await else { return };
    deliver(&space, &App::new("1.2.2").await, &BLUE_GREEN).await;
    let release = plan(&space, &App::new("1.2.3").await.broken(), &BLUE_GREEN).await.unwrap();
    let link = Link::new();
    let edit = async {
        link.until("Deployment/shop-v1-2-3-").await;
        edit_selector(&space, serde_json::json!({"canary": "yes"})).await;
    };
    let (result, ()) = tokio::join!(release.apply(&space, &link), edit);
    result.unwrap_err();
    assert_eq!(link.reached().last().unwrap(), "rolled-back", "{:#?}", link.said());
    let counts = deployments(&space).await;
    assert!(counts.len() == 1 && counts[0].0.starts_with("shop-v1-2-2-"), "{counts:?}");
    assert_eq!(selector(&space).await["canary"], "yes");
    let left = link.milestones.lock().unwrap().last().unwrap().text.clone();
    assert!(left.contains("left as it is: Service/shop"), "{left}");
}

/// Whoever asks for a rollback gets it, also where a Service was changed by hand; it is said.
#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_overwrites_what_somebody_else_changed() {
    let Some(space) = space("bg-hand").await else { return };
    let (first, link, _) = deliver(&space, &App::new("1.2.2").await, &BLUE_GREEN).await;
    let mut past = vec![first.past(&link)];
    let before = selector(&space).await;
    let (second, link, _) = deliver(&space, &App::new("1.2.3").await, &BLUE_GREEN).await;
    past.insert(0, second.past(&link));
    edit_selector(&space, serde_json::json!({"pool": "shop"})).await;
    let (link, _) = roll_back(&space, &past, &[]).await;
    assert!(link.said().iter().any(|line| line.contains("it is overwritten")), "{:#?}", link.said());
    assert!(answer(&space).await.starts_with("1.2.2"));
    let now = selector(&space).await;
    assert_eq!((now["app"].as_str(), &now["tagline.dev/release"]), ("shop", &before["tagline.dev/release"]));
    assert_eq!(deployments(&space).await.len(), 1);
}

/// As many pods as the release that goes has, and evidence of them although they are removed.
#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_comes_back_with_enough_pods_and_keeps_evidence() {
    let Some(space) = space("bg-enough").await else { return };
    let (first, link, _) = deliver(&space, &App::new("1.2.2").await, &BLUE_GREEN).await;
    let mut past = vec![first.past(&link)];
    let (second, link, _) = deliver(&space, &App::new("1.2.3").await, &BLUE_GREEN).await;
    past.insert(0, second.past(&link));
    let live = deployments(&space).await.into_iter().find(|(name, _)| name.starts_with("shop-v1-2-3-")).unwrap().0;
    let id = ObjectId::new("apps/v1", "Deployment", space.namespace(), &live);
    let now = space.cluster.get(&id).await.unwrap().unwrap();
    space.cluster.scale(&id, 3, &Precondition::same(&now), "an-autoscaler").await.unwrap();

    let (link, _) = roll_back(&space, &past, &[]).await;
    let counts = deployments(&space).await;
    assert_eq!(counts.iter().map(|(_, count)| *count).collect::<Vec<_>>(), [3], "{counts:?}\n{:#?}", link.said());
    let files = link.files.lock().unwrap();
    let state = files.iter().find(|(name, _)| name == "evidence/state.json").map(|(_, bytes)| bytes);
    let state: serde_json::Value = serde_json::from_slice(state.unwrap()).unwrap();
    let pods = state["pods"].as_array().unwrap();
    assert!(pods.len() == 3 && pods.iter().all(|pod| pod["metadata"]["name"].as_str().unwrap().starts_with(&live)));
}
