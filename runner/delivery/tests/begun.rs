//! What a delivery does where something stands against it that its plan did not see, against a server that answers what a
//! test says: nothing is written that could cost users anything.

mod common;

use std::sync::{Arc, Mutex};

use common::Link;
use common::script::{Act, Server, ok, status, step};
use indexmap::IndexMap;
use serde_json::{Value, json};
use tagline_delivery::action::{ActionPlan, DeployPlan, FORMAT, Kind, apply};
use tagline_delivery::inputs::Action;
use tagline_delivery::unit::Unit;
use tagline_delivery::{DeliveryError, Milestone, Object, ObjectId, Site, Stop};

fn deployment() -> Object {
    Object(json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "shop"}, "spec": {
        "replicas": 1, "selector": {"matchLabels": {"app": "shop"}},
        "template": {"metadata": {"labels": {"app": "shop"}}, "spec": {"containers": [{"name": "a", "image": "a"}]}}}}))
}

fn service() -> Object {
    Object(
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "shop", "uid": "s", "resourceVersion": "1"},
        "spec": {"selector": {"app": "shop"}, "ports": [{"port": 80}]}}),
    )
}

fn plan(site: &Site, with: &[(&str, &str)]) -> ActionPlan {
    let given = [("manifests", "k8s"), ("timeout", "5s"), ("progress-deadline", "2s"), ("min-ready", "1s")];
    let with: IndexMap<String, String> =
        given.iter().chain(with).map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let Ok(Action::Deploy(inputs)) = Action::read("tagline/deploy@v1", &with) else { panic!("{with:?}") };
    let rendered = vec![service(), deployment()];
    let plan = DeployPlan {
        unit: "shop".to_owned(),
        version: site.version.clone(),
        release: Unit::new("shop", &site.version, rendered.clone()).release,
        inputs: *inputs,
        rendered,
        jobs: Vec::new(),
        chart: None,
        place: None,
        live: None,
        unproved: false,
        changes: Vec::new(),
        prune: vec![(ObjectId::new("v1", "ConfigMap", "shop", "left"), "l".to_owned())],
        warnings: Vec::new(),
    };
    ActionPlan {
        format: FORMAT,
        uses: "tagline/deploy".to_owned(),
        environment: site.environment.clone(),
        version: site.version.clone(),
        target: site.target.clone(),
        kind: Kind::Deploy(Box::new(plan)),
    }
}

fn list(items: &[Value]) -> Act {
    ok(&json!({"metadata": {"resourceVersion": "1"}, "items": items}))
}

fn milestone(name: &str, data: Value) -> Milestone {
    Milestone { name: name.to_owned(), text: name.to_owned(), data }
}

/// What was asked that is no question.
fn written(server: &Server) -> Vec<String> {
    server.asked().into_iter().filter(|line| !line.starts_with("GET ")).collect()
}

/// A StatefulSet came to be behind the Service while the plan waited: new pods would join its pods untested.
#[tokio::test]
async fn live_pods_that_are_of_no_known_workload_stop_a_delivery_before_its_first_change() {
    let server = Server::answering(|line| match line {
        _ if line.contains("/pods?") => list(&[json!({"metadata": {"name": "shop-0", "labels": {"app": "shop"}},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}})]),
        _ if line.contains("/services?") => list(&[service().0]),
        _ if line.contains('?') => list(&[]),
        _ if line.ends_with("/services/shop") => ok(&service().0),
        _ => status(404, "NotFound", "not found"),
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let (cluster, site) = step(&server.url, folder.path()).await;
    let link = Link::new();
    let error = apply(&plan(&site, &[("strategy", "blue-green")]), &site, &cluster, &*link).await.unwrap_err();
    let DeliveryError::Failed(failure) = error else { panic!("{error}") };
    assert_eq!(failure.effect, "nothing was changed");
    assert!(failure.why.contains("Service/shop sends users to Pod/shop-0"), "{failure:#?}");
    assert_eq!((written(&server), link.reached()), (Vec::new(), Vec::new()));
}

/// A first release that has all traffic is cancelled while it is watched: nothing else could serve, so it stays.
#[tokio::test]
async fn a_first_release_that_serves_outlives_a_cancel() {
    let server = Server::answering(|line| match line {
        _ if line.contains('?') => list(&[]),
        _ => ok(&deployment().0),
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let (cluster, site) = step(&server.url, folder.path()).await;
    for strategy in ["rolling", "blue-green"] {
        let link = Link::new();
        let begun = json!({"live": null, "workloads": {}, "objects": [], "absent":
            [ObjectId::new("apps/v1", "Deployment", "shop", "shop"), ObjectId::new("v1", "Service", "shop", "shop")]});
        let at = json!({"at": "2026-11-19T14:00:00Z"});
        *link.milestones.lock().unwrap() = vec![milestone("begun", begun), milestone("switched", at)];
        link.end(Stop::Cancelled("the job was cancelled".to_owned()));
        let with = [("strategy", strategy), ("watch", "30m"), ("rollback-when", "health fails 3m"), ("health", "/")];
        let error = apply(&plan(&site, &with), &site, &cluster, &*link).await.unwrap_err();
        assert!(matches!(error, DeliveryError::Stopped(Stop::Cancelled(_))), "{strategy}: {error}");
        assert!(
            link.said().contains(&"warning: 1.2.3 stays: nothing was live before it".to_owned()),
            "{:#?}",
            link.said()
        );
        assert!(!link.reached().contains(&"going-back".to_owned()), "{:?}", link.reached());
        let gone: Vec<String> = written(&server).into_iter().filter(|line| line.starts_with("DELETE")).collect();
        assert_eq!(gone, Vec::<String>::new(), "{strategy}");
    }
}

/// The watch was good, and nothing of the tidying works: the release stays, what is left is said and retired.
#[tokio::test]
async fn what_fails_after_a_good_watch_does_not_undo_the_release() {
    let refused = Arc::new(Mutex::new(0));
    let count = refused.clone();
    let server = Server::answering(move |line| match line {
        _ if line.ends_with("/deployments/shop-old") || line.ends_with("/configmaps/left") => {
            *count.lock().unwrap() += 1;
            status(403, "Forbidden", "forbidden")
        }
        _ if line.contains('?') => list(&[]),
        _ => status(404, "NotFound", "not found"),
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let (cluster, site) = step(&server.url, folder.path()).await;
    let mut old = deployment();
    old.set("/metadata/name", json!("shop-old"));
    old.set("/metadata/namespace", json!("shop"));
    let begun = json!({"live": {"release": "adopted-old", "version": "1.2.2"}, "objects": [], "absent": [],
        "workloads": {"shop": {"object": old, "uid": "old"}}});
    let link = Link::new();
    let names = ["verified", "watched"].map(|name| milestone(name, Value::Null));
    let at = json!({"at": "2026-11-19T14:00:00Z"});
    *link.milestones.lock().unwrap() =
        [vec![milestone("begun", begun), milestone("switched", at)], names.to_vec()].concat();
    let outcome = apply(&plan(&site, &[("strategy", "blue-green")]), &site, &cluster, &*link).await.unwrap();
    assert_eq!(outcome.outputs["changed"], "true");
    let objects: Vec<String> = outcome.retire[0].objects.iter().map(|(id, _)| id.to_string()).collect();
    assert_eq!(objects, ["Deployment/shop-old"], "it is tried again when the old release goes");
    let warned = |begin: &str| link.said().iter().any(|line| line.starts_with(&format!("warning: {begin}")));
    assert!(warned("Deployment/shop-old has all its pods until it is removed"), "{:#?}", link.said());
    assert!(warned("ConfigMap/left stays until the next release"), "{:#?}", link.said());
    assert_eq!((written(&server), *refused.lock().unwrap()), (Vec::new(), 2));
    assert!(!link.reached().contains(&"going-back".to_owned()));
}
