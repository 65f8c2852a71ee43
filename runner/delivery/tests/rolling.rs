//! Rolling on a real cluster.

mod common;

use common::release::{App, answer, deliver, kubectl_apply, plan, plan_objects, roll_back, until_ready, whole};
use common::users::Users;
use common::{Link, space};
use serde_json::json;
use tagline_delivery::action::Kind;
use tagline_delivery::cluster::{Precondition, Propagation};
use tagline_delivery::render::helm::{Chart, record};
use tagline_delivery::{DeliveryError, Object, ObjectId, Stop};

fn failure(error: DeliveryError) -> tagline_delivery::Failure {
    match error {
        DeliveryError::Failed(failure) => *failure,
        DeliveryError::Stopped(stop) => panic!("{stop}"),
    }
}

/// What `kubectl apply` made is rolled over, rolled back to a version, and twice is as good as once.
#[tokio::test(flavor = "multi_thread")]
async fn a_release_and_back_to_a_version() {
    let Some(space) = space("roll-two").await else { return };
    kubectl_apply(&space, &App::new("1.2.1").await.manifests()).await;
    until_ready(&space, "shop").await;
    let users = Users::start(&space).await;
    let (first, link, _) = deliver(&space, &App::new("1.2.2").await, &[]).await;
    let mut past = vec![first.past(&link)];
    assert!(answer(&space).await.starts_with("1.2.2 mode-1.2.2"), "{:#?}", link.said());
    let (second, link, outcome) = deliver(&space, &App::new("1.2.3").await, &[]).await;
    past.insert(0, second.past(&link));
    assert!(answer(&space).await.starts_with("1.2.3 mode-1.2.3"));
    assert_eq!(outcome.outputs["previous-version"], "1.2.2");
    assert_eq!(link.reached(), ["begun", "created", "ready", "smoked", "switched", "verified", "kept"]);

    let (link, outcome) = roll_back(&space, &past, &[("to", "1.2.2")]).await;
    assert!(answer(&space).await.starts_with("1.2.2 mode-1.2.2"), "{:#?}", link.said());
    assert_eq!(outcome.outputs["changed"], "true");
    let seen = users.end().await;
    assert_eq!(seen.failed(), Vec::<String>::new(), "of {} requests", seen.sent);
    let was = whole(&space).await;
    let (link, outcome) = roll_back(&space, &past, &[("to", "1.2.2")]).await;
    assert_eq!((link.said(), outcome.outputs["changed"].as_str()), (vec!["already live: 1.2.2".to_owned()], "false"));
    assert_eq!(whole(&space).await, was);
}

/// A release that never gets ready, or is cancelled, goes back, its configuration included.
#[tokio::test(flavor = "multi_thread")]
async fn what_fails_or_is_cancelled_goes_back() {
    let Some(space) = space("roll-fail").await else { return };
    deliver(&space, &App::new("1.2.2").await, &[]).await;
    let was = whole(&space).await;
    let users = Users::start(&space).await;
    let link = Link::new();
    let release = plan(&space, &App::new("1.2.3").await.broken(), &[]).await.unwrap();
    let failed = failure(release.apply(&space, &link).await.unwrap_err());
    assert_eq!(failed.effect, "1.2.2 serves 100 % again", "{:#?}", link.said());
    same(&whole(&space).await, &was);

    let link = Link::new();
    let release = plan(&space, &App::new("1.2.4").await.broken(), &[]).await.unwrap();
    let cancel = async {
        link.until_reached("created").await;
        link.end(Stop::Cancelled("by a test".to_owned()));
    };
    let (result, ()) = tokio::join!(release.apply(&space, &link), cancel);
    assert!(matches!(result.unwrap_err(), DeliveryError::Stopped(Stop::Cancelled(_))));
    same(&whole(&space).await, &was);
    let seen = users.end().await;
    assert_eq!(seen.failed(), Vec::<String>::new(), "of {} requests", seen.sent);
}

/// Equal but for the revision that the controller counts and fields' owners.
#[track_caller]
fn same(now: &[serde_json::Value], was: &[serde_json::Value]) {
    let plain = |objects: &[serde_json::Value]| {
        let mut objects: Vec<Object> = objects.iter().cloned().map(Object).collect();
        for object in &mut objects {
            object.remove("/metadata/annotations/deployment.kubernetes.io~1revision");
        }
        objects
    };
    assert_eq!(plain(now), plain(was));
}

/// A way back removes what the release added, but nothing that has no namespace: that stays, and it is said.
#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_namespace_stays_on_the_way_back() {
    let Some(space) = space("roll-wide").await else { return };
    deliver(&space, &App::new("1.2.2").await, &[]).await;
    let app = App::new("1.2.3").await.broken();
    // Of this test alone, as the namespace's name is.
    let class = space.namespace().to_owned();
    let mut objects = app.manifests();
    let api = "scheduling.k8s.io/v1";
    objects.push(json!({"apiVersion": api, "kind": "PriorityClass", "metadata": {"name": class}, "value": 1}));
    objects.push(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "added"}, "data": {"a": "b"}}));
    let release = plan_objects(&space, &app, &objects, &[]).await.unwrap();
    let link = Link::new();
    let cancel = async {
        link.until_reached("created").await;
        link.end(Stop::Cancelled("by a test".to_owned()));
    };
    let (result, ()) = tokio::join!(release.apply(&space, &link), cancel);

    // Removed before anything is asserted: the namespace does not take it along.
    let id = ObjectId {
        api_version: api.to_owned(),
        kind: "PriorityClass".to_owned(),
        namespace: None,
        name: class.clone(),
    };
    let left = space.cluster.get(&id).await.unwrap();
    if let Some(there) = &left {
        space.cluster.delete(&id, &Precondition::same(there), Propagation::Background).await.unwrap();
    }
    let said = link.said();
    assert!(matches!(result.unwrap_err(), DeliveryError::Stopped(Stop::Cancelled(_))), "{said:#?}");
    assert!(left.is_some_and(|there| !there.is_terminating()), "{said:#?}");
    assert!(said.contains(&format!("PriorityClass/{class} stays: it is not of this namespace alone")), "{said:#?}");
    assert!(said.contains(&"ConfigMap/added is removed".to_owned()), "{said:#?}");
    let added = ObjectId::new("v1", "ConfigMap", space.namespace(), "added");
    assert_eq!(space.cluster.get(&added).await.unwrap(), None);
}

/// What stands against a release is found before anything is changed, all at once.
#[tokio::test(flavor = "multi_thread")]
async fn bad_input_changes_nothing() {
    let Some(space) = space("roll-bad").await else { return };
    let app = App::new("1.2.2").await;
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "small"}, "spec": {"hard": {"pods": "1"}}});
    space.apply(quota).await;
    let mut objects = app.manifests();
    objects[1]["spec"]["selector"] = json!({"app": "shp"});
    objects[4]["spec"]["template"]["spec"]["containers"][0]["prots"] = json!([]);
    let wrong = failure(plan_objects(&space, &app, &objects, &[]).await.map(|_| ()).unwrap_err());
    let all = wrong.evidence.join("\n");
    assert!(all.contains("needs 2 pods, quota small leaves 1"), "{all}");
    assert!(all.contains("Service/shop selects no pod: no pod template has app=shp"), "{all}");
    assert!(all.contains("prots"), "{all}");
    assert_eq!(wrong.effect, "nothing was changed");
    let left: Vec<_> =
        whole(&space).await.into_iter().filter(|each| each["metadata"]["name"] != "kube-root-ca.crt").collect();
    assert_eq!(left, Vec::<serde_json::Value>::new());
}

/// A unit that is one StatefulSet, twice; of two pods one always answers.
#[tokio::test(flavor = "multi_thread")]
async fn a_stateful_set_is_delivered_again() {
    let Some(space) = space("roll-set").await else { return };
    let mut before = String::new();
    for version in ["1.2.2", "1.2.3"] {
        let app = App::new(version).await;
        let mut set = app.deployment("shop", 2);
        set["kind"] = json!("StatefulSet");
        set["spec"]["serviceName"] = json!("shop");
        let objects = [app.manifests()[0].clone(), app.manifests()[1].clone(), set];
        let release = plan_objects(&space, &app, &objects, &[]).await.unwrap_or_else(|error| panic!("{error:#?}"));
        let link = Link::new();
        let outcome = release.apply(&space, &link).await.unwrap_or_else(|error| panic!("{error:#?}"));
        assert_eq!(outcome.outputs["previous-version"], before);
        assert!(answer(&space).await.starts_with(version), "{:#?}", link.said());
        version.clone_into(&mut before);
    }
}

/// After its time the old configuration is removed: the release is delivered again, with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_after_the_old_configuration_is_gone_brings_it_back() {
    let Some(space) = space("roll-late").await else { return };
    let (first, link, _) = deliver(&space, &App::new("1.2.2").await, &[]).await;
    let mut past = vec![first.past(&link)];
    let (second, link, outcome) = deliver(&space, &App::new("1.2.3").await, &[]).await;
    past.insert(0, second.past(&link));
    for retirement in &outcome.retire {
        tagline_delivery::action::retire(retirement, &space.cluster, &*Link::new()).await.unwrap();
    }
    let (link, outcome) = roll_back(&space, &past, &[("to", "1.2.2")]).await;
    assert!(answer(&space).await.starts_with("1.2.2 mode-1.2.2"), "{:#?}", link.said());
    assert_eq!(outcome.outputs["changed"], "true");
}

/// Helm's own record says what runs: after releases, and after a rollback.
#[tokio::test(flavor = "multi_thread")]
async fn helm_agrees_after_a_rollback() {
    let Some(space) = space("roll-helm").await else { return };
    let mut past = Vec::new();
    for version in ["1.2.2", "1.2.3"] {
        let mut release = plan(&space, &App::new(version).await, &[]).await.unwrap();
        let Kind::Deploy(plan) = &mut release.plan.kind else { panic!("it is a deploy") };
        plan.chart = Some(Chart {
            release: "shop".to_owned(),
            metadata: json!({"apiVersion": "v2", "name": "shop", "version": "0.1.0", "appVersion": version}),
            defaults: json!({}),
            values: json!({"tag": version}),
            manifest: String::new(),
            history: 10,
        });
        let link = Link::new();
        release.apply(&space, &link).await.unwrap();
        past.insert(0, release.past(&link));
    }
    roll_back(&space, &past, &[]).await;
    // As `helm history` and `helm get values` read it.
    let revisions = async || {
        let all = space.cluster.list("v1", "Secret", &[("owner".to_owned(), "helm".to_owned())].into()).await.unwrap();
        let mut all: Vec<_> = all.iter().map(|each| (record::version(each), record::decode(each).unwrap())).collect();
        all.sort_by_key(|(version, _)| *version);
        let row = |release: &serde_json::Value| {
            (
                release["info"]["status"].as_str().unwrap().to_owned(),
                release["config"]["tag"].as_str().unwrap().to_owned(),
            )
        };
        all.iter().map(|(_, release)| row(release)).collect::<Vec<_>>()
    };
    let expected = [("superseded", "1.2.2"), ("superseded", "1.2.3"), ("deployed", "1.2.2")];
    let expected = expected.map(|(status, tag)| (status.to_owned(), tag.to_owned()));
    assert_eq!(revisions().await, expected);
    // A second time it is there already.
    roll_back(&space, &past, &[]).await;
    assert_eq!(revisions().await, expected);
}
