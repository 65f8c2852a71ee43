//! Which way back is chosen, from what a cluster says it is. The cluster is a server that answers from a list of objects.

#![expect(clippy::unwrap_used, reason = "a test ends at the first thing that is not as it should be")]

mod common;

use std::collections::BTreeMap;

use common::script::{Act, Server, ok, status, step};
use indexmap::IndexMap;
use serde_json::{Value, json};
use tagline_delivery::action::{self, ActionPlan, DeployPlan, Kind, Past, RollbackPlan, Shape, Way};
use tagline_delivery::inputs::{Action, DeployInputs};
use tagline_delivery::strategy::{Kept, LiveRelease, Snapshot};
use tagline_delivery::unit::{BlueGreenShape, Unit};
use tagline_delivery::{Object, ObjectId, Target};

fn inputs() -> DeployInputs {
    let with = [("manifests", "k8s"), ("strategy", "blue-green"), ("config", "shared")];
    let with: IndexMap<String, String> = with.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
    match Action::read("tagline/deploy@v1", &with) {
        Ok(Action::Deploy(inputs)) => *inputs,
        other => panic!("{other:?}"),
    }
}

/// A release of two workloads, one of them behind a Service, with configuration of its own.
fn release(version: &str) -> DeployPlan {
    let image = format!("registry/shop@sha256:{}", "1".repeat(64));
    let deployment = |name: &str| {
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": {
            "replicas": 2, "selector": {"matchLabels": {"app": name}}, "template": {"metadata": {"labels": {"app": name}},
            "spec": {"containers": [{"name": "app", "image": image, "ports": [{"containerPort": 8080}],
                "envFrom": [{"configMapRef": {"name": format!("config-{version}")}}]}]}}}})
    };
    let rendered = [
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("config-{version}")}, "data": {}}),
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
            "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]}}),
        json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web"},
            "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}, "maxReplicas": 4}}),
        deployment("web"),
        deployment("worker"),
    ];
    let rendered: Vec<Object> = rendered.into_iter().map(Object).collect();
    DeployPlan {
        unit: "shop".to_owned(),
        version: version.to_owned(),
        release: Unit::new("shop", version, rendered.clone()).release,
        inputs: inputs(),
        rendered,
        jobs: Vec::new(),
        chart: None,
        place: None,
        live: None,
        unproved: false,
        changes: Vec::new(),
        prune: Vec::new(),
        warnings: Vec::new(),
    }
}

fn shape(plan: &DeployPlan) -> BlueGreenShape {
    match plan.shape().unwrap() {
        Shape::BlueGreen(shape) => *shape,
        other @ Shape::Rolling(_) => panic!("{other:?}"),
    }
}

fn uid(object: &Object) -> String {
    format!("uid-of-{}-{}", object.kind(), object.name())
}

/// Workloads of a release with so many pods each, all of them ready, and its configuration.
fn workloads(plan: &DeployPlan, pods: i64) -> Vec<Object> {
    let shape = shape(plan);
    let each = shape.swaps.into_iter().map(|swap| swap.object).map(|mut object| {
        object.set("/spec/replicas", json!(pods));
        object.set("/metadata/generation", json!(1));
        object.set(
            "/status",
            json!({"observedGeneration": 1, "replicas": pods, "updatedReplicas": pods,
            "readyReplicas": pods, "availableReplicas": pods}),
        );
        object
    });
    each.chain(shape.in_place).collect()
}

/// The Service and the autoscaler, pointing to a release.
fn pointers(plan: &DeployPlan) -> Vec<Object> {
    let shape = shape(plan);
    shape.services.into_iter().chain(shape.autoscalers).collect()
}

/// What was live before a delivery over this release.
fn snapshot(plan: &DeployPlan) -> Snapshot {
    let kept = |object: &Object| Kept { object: object.clone(), uid: uid(object) };
    let shape = shape(plan);
    Snapshot {
        live: Some(LiveRelease { release: plan.release.0.clone(), version: plan.version.clone() }),
        workloads: shape.swaps.iter().map(|swap| (swap.base.clone(), kept(&swap.object))).collect(),
        objects: shape.services.iter().chain(&shape.autoscalers).map(kept).collect(),
        absent: Vec::new(),
        narrowed: BTreeMap::new(),
        replaced: Vec::new(),
    }
}

fn past(kind: Kind, begun: Value, open: bool) -> Past {
    let target = Target { context: "test".to_owned(), namespace: "shop".to_owned() };
    let (uses, environment) = ("tagline/deploy".to_owned(), "production".to_owned());
    let plan = ActionPlan { format: action::FORMAT, uses, environment, version: String::new(), target, kind };
    Past { plan, begun, open }
}

/// 1.0, and 1.1 over it.
fn history(newest: DeployPlan) -> Vec<Past> {
    let old = release("1.0");
    let begun = serde_json::to_value(snapshot(&old)).unwrap();
    let first = serde_json::to_value(Snapshot::default()).unwrap();
    vec![past(Kind::Deploy(Box::new(newest)), begun, false), past(Kind::Deploy(Box::new(old)), first, false)]
}

/// Answers as a cluster with these objects, to whom everything is allowed.
fn answer(objects: &[Object], asked: &str) -> Act {
    let (method, path) = asked.split_once(' ').unwrap();
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    if method == "POST" {
        let all = json!([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]);
        return ok(&json!({"status": {"incomplete": false, "resourceRules": all}}));
    }
    if path == "/api/v1/namespaces/shop" {
        return ok(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}));
    }
    let of = |object: &&Object, plural: &str| format!("{}s", object.kind().to_lowercase()) == plural;
    let parts: Vec<&str> = path.rsplit('/').take(2).collect();
    let (last, before) = (parts[0], parts[1]);
    if let Some(found) = objects.iter().find(|object| of(object, before) && object.name() == last) {
        return ok(&found.0);
    }
    if method == "PATCH" {
        // A dry run of something new.
        return ok(&json!({"metadata": {"name": last}}));
    }
    if before == "shop" || before == "v1" {
        let items: Vec<&Value> = objects.iter().filter(|object| of(object, last)).map(|object| &object.0).collect();
        return ok(&json!({"kind": "List", "metadata": {"resourceVersion": "1"}, "items": items}));
    }
    status(404, "NotFound", &format!("{path} not found"))
}

/// What a rollback plans, where the cluster has these objects.
async fn planned(objects: Vec<Object>, past: &[Past], to: Option<&str>) -> RollbackPlan {
    let objects: Vec<Object> = objects
        .into_iter()
        .map(|mut object| {
            let uid = uid(&object);
            object.set("/metadata/uid", json!(uid));
            object.set("/metadata/resourceVersion", json!("1"));
            object.set("/metadata/namespace", json!("shop"));
            object
        })
        .collect();
    let server = Server::answering(move |asked| answer(&objects, asked)).await;
    let folder = tempfile::tempdir().unwrap();
    let (cluster, site) = step(&server.url, folder.path()).await;
    let with = to.map(|to| ("to".to_owned(), to.to_owned())).into_iter().collect();
    let inputs = Action::read("tagline/rollback@v1", &with).unwrap();
    let plan = action::plan(&site, &inputs, past, &cluster).await;
    match plan.unwrap_or_else(|error| panic!("{error:#?}\n{:#?}", server.asked())).kind {
        Kind::Rollback(plan) => *plan,
        other => panic!("{other:?}"),
    }
}

fn way(plan: &RollbackPlan) -> &'static str {
    match &plan.way {
        Way::Already => "already",
        Way::Undo { .. } => "undo",
        Way::Again(_) => "again",
    }
}

/// 1.1 has the traffic, 1.0 is parked.
fn released() -> Vec<Object> {
    let (old, new) = (release("1.0"), release("1.1"));
    [workloads(&old, 1), workloads(&new, 2), pointers(&new)].concat()
}

#[tokio::test]
async fn what_still_stands_is_returned_to_as_it_was() {
    let plan = planned(released(), &history(release("1.1")), None).await;
    assert_eq!((way(&plan), plan.version.as_str()), ("undo", "1.0"));
}

#[tokio::test]
async fn already_live_is_only_what_is_live_with_all_that_is_its() {
    let (old, new) = (release("1.0"), release("1.1"));
    let back = [workloads(&old, 2), pointers(&old)].concat();
    let said = async |objects: Vec<Object>| way(&planned(objects, &history(release("1.1")), Some("1.0")).await);
    assert_eq!(said(back.clone()).await, "already");
    let without = |kind: &str| back.iter().filter(|object| object.kind() != kind).cloned().collect::<Vec<_>>();
    let autoscaler = [without("HorizontalPodAutoscaler"), pointers(&new).split_off(1)].concat();
    assert_ne!(said(autoscaler).await, "already", "the autoscaler drives the other release");
    let mut halves = workloads(&old, 2);
    halves.retain(|object| !object.name().starts_with("worker"));
    assert_ne!(said([halves, pointers(&old)].concat()).await, "already", "one of two workloads is not back");
}

#[tokio::test]
async fn a_way_that_stopped_half_way_is_gone_again_although_the_traffic_is_back() {
    let (old, new) = (release("1.0"), release("1.1"));
    let objects = [workloads(&old, 2), workloads(&new, 2), pointers(&old)].concat();
    let mut history = history(new.clone());
    assert_eq!(way(&planned(objects.clone(), &history, Some("1.0")).await), "already", "1.1 is parked");
    let mut started = planned(released(), &history, None).await;
    assert!(matches!(&started.way, Way::Undo { leaving, .. } if leaving.version == "1.1"));
    started.live = None;
    history.insert(0, past(Kind::Rollback(Box::new(started)), Value::Null, true));
    for to in [None, Some("1.0")] {
        let plan = planned(objects.clone(), &history, to).await;
        assert!(matches!(&plan.way, Way::Undo { leaving, .. } if leaving.version == "1.1"), "{:?}", way(&plan));
    }
}

#[tokio::test]
async fn a_release_that_failed_and_stayed_is_cleaned_up() {
    let (old, new) = (release("1.0"), release("1.1"));
    let objects = [workloads(&old, 2), workloads(&new, 2), pointers(&old)].concat();
    let mut history = history(new);
    history[0].open = true;
    let plan = planned(objects, &history, None).await;
    assert_eq!((way(&plan), plan.version.as_str()), ("undo", "1.0"), "its pods stand beside what is live for good");
}

#[tokio::test]
async fn what_is_gone_is_delivered_again_with_its_configuration() {
    let mut objects = released();
    objects.retain(|object| object.name() != "config-1.0");
    let plan = planned(objects, &history(release("1.1")), None).await;
    let Way::Again(again) = &plan.way else { panic!("{:?}", way(&plan)) };
    assert!(again.rendered.iter().any(|object| object.name() == "config-1.0"));
    assert!(again.changes.iter().any(|change| change.created), "it is planned as any release: {:?}", again.changes);
}

#[tokio::test]
async fn what_the_release_has_removed_comes_back_with_all_of_it() {
    let removed = ObjectId::new("batch/v1", "CronJob", "shop", "nightly");
    let newest = DeployPlan { prune: vec![(removed, "uid-of-CronJob-nightly".to_owned())], ..release("1.1") };
    let plan = planned(released(), &history(newest), None).await;
    assert_eq!(way(&plan), "again");
}
