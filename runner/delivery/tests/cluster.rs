//! The cluster module against a real API server: conflicts, preconditions, pods, rights.

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::{Link, service, space, web};
use serde_json::json;
use tagline_delivery::cluster::{
    Apply, Cluster, ClusterError, Deleted, ExecLimits, Filter, HttpCall, LogCall, MANAGER, Patch, Precondition,
    Propagation, TRAFFIC, Verb,
};
use tagline_delivery::rollout::{Wait, wait_ready};
use tagline_delivery::{Object, ObjectId, Target};

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn config(name: &str, value: &str) -> Object {
    Object(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"mode": value}}))
}

#[tokio::test]
async fn a_conflict_names_the_manager_and_the_field_and_nothing_is_forced() {
    let Some(space) = space("conflict").await else { return };
    let cluster = &space.cluster;
    cluster.apply(&config("a", "old"), Apply::by("kubectl")).await.unwrap();
    let error = cluster.apply(&config("a", "new"), Apply::by(MANAGER)).await.unwrap_err();
    assert_eq!(error.to_string(), "ConfigMap/a has fields that others own: .data.mode by kubectl");
    assert!(error.next().contains("force-conflicts"));
    let id = cluster.id("v1", "ConfigMap", "a");
    assert_eq!(cluster.get(&id).await.unwrap().unwrap().text("/data/mode"), "old");
    let dry = cluster.apply(&config("a", "new"), Apply::by(MANAGER).force(true).dry_run()).await.unwrap();
    assert_eq!(dry.text("/data/mode"), "new");
    assert_eq!(cluster.get(&id).await.unwrap().unwrap().text("/data/mode"), "old");
    cluster.apply(&config("a", "new"), Apply::by(MANAGER).force(true)).await.unwrap();
    assert_eq!(cluster.get(&id).await.unwrap().unwrap().text("/data/mode"), "new");
}

#[tokio::test]
async fn a_field_that_is_not_known_and_a_kind_that_is_not_served_are_refused() {
    let Some(space) = space("strict").await else { return };
    let mut typo = web("a", "r1", "x", 1);
    typo["spec"]["replica"] = json!(3);
    let error = space.cluster.apply(&Object(typo), Apply::by(MANAGER)).await.unwrap_err();
    assert!(matches!(&error, ClusterError::Invalid { message, .. } if message.contains("replica")), "{error:?}");
    let typo = Object(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "b"}, "dat": {}}));
    let error = space.cluster.create(&typo, MANAGER).await.unwrap_err();
    assert!(matches!(&error, ClusterError::Invalid { message, .. } if message.contains("dat")), "{error:?}");

    let error = space.cluster.served("nobody.example/v1beta1", "Widget").await.unwrap_err();
    assert_eq!(error.to_string(), "nobody.example/v1beta1 Widget is not served by this cluster");
    let error = space.cluster.served("apps/v1beta1", "Deployment").await.unwrap_err();
    assert_eq!(error.to_string(), "apps/v1beta1 Deployment is not served by this cluster (served: apps/v1)");
    assert_eq!(error.next(), "write apiVersion: apps/v1");
}

#[tokio::test]
async fn a_delete_refuses_another_object_of_that_name() {
    let Some(space) = space("delete").await else { return };
    let (cluster, id) = (&space.cluster, space.cluster.id("v1", "ConfigMap", "a"));
    let first = cluster.create(&config("a", "1"), MANAGER).await.unwrap();
    let changed = cluster.patch(&id, MANAGER, &Patch::Merge(json!({"data": {"mode": "2"}}))).await.unwrap();
    let stale = cluster.delete(&id, &Precondition::unchanged(&first), Propagation::Background).await;
    assert!(matches!(stale, Err(ClusterError::Changed { .. })), "{stale:?}");
    let gone = cluster.delete(&id, &Precondition::unchanged(&changed), Propagation::Background).await;
    assert_eq!(gone, Ok(Deleted::Gone));
    let again = cluster.delete(&id, &Precondition::same(&first), Propagation::Background).await;
    assert_eq!(again, Ok(Deleted::Already));
    cluster.create(&config("a", "3"), MANAGER).await.unwrap();
    let other = cluster.delete(&id, &Precondition::same(&first), Propagation::Background).await;
    assert!(matches!(other, Err(ClusterError::Changed { .. })), "{other:?}");
    assert!(cluster.get(&id).await.unwrap().is_some());
    let twice = cluster.create(&config("a", "3"), MANAGER).await;
    assert!(matches!(twice, Err(ClusterError::AlreadyExists { maybe_ours: false, .. })), "{twice:?}");
}

#[tokio::test]
async fn a_write_outside_the_namespace_is_refused_before_it_is_sent() {
    let Some(space) = space("outside").await else { return };
    let before = space.cluster.requests();
    let mut object = config("a", "1");
    object.set("/metadata/namespace", json!("default"));
    let error = space.cluster.apply(&object, Apply::by(MANAGER)).await.unwrap_err();
    assert!(matches!(error, ClusterError::OutsideTarget { .. }));
    assert_eq!(space.cluster.requests(), before);
    let gone = Target { namespace: format!("{}-no", space.namespace()), ..space.cluster.target().clone() };
    let gone = Cluster::connect(&gone, std::slice::from_ref(&space.kubeconfig)).await.unwrap();
    let error = gone.apply(&config("a", "1"), Apply::by(MANAGER)).await.unwrap_err();
    assert_eq!(error.to_string(), format!("Namespace/{}-no does not exist", space.namespace()));
}

#[tokio::test]
async fn a_selector_is_replaced_as_a_whole_and_only_on_the_service_that_was_seen() {
    let Some(space) = space("selector").await else { return };
    let cluster = &space.cluster;
    let seen = space.apply(service("s", &json!({"app": "s", "colour": "blue"}))).await;
    let target = labels(&[("app", "s"), ("tagline.dev/release", "r2")]);
    let moved = cluster.replace_selector("s", &target, seen.resource_version()).await.unwrap();
    assert_eq!(moved.texts("/spec/selector"), target);
    let again = cluster.replace_selector("s", &target, seen.resource_version()).await.unwrap();
    assert_eq!(again.resource_version(), moved.resource_version());
    let stale = cluster.replace_selector("s", &labels(&[("app", "t")]), seen.resource_version()).await;
    assert!(matches!(stale, Err(ClusterError::Changed { .. })), "{stale:?}");
    let managers = moved.list("/metadata/managedFields").iter().map(|each| each["manager"].as_str().unwrap());
    assert!(managers.collect::<Vec<_>>().contains(&TRAFFIC));
    let none = cluster.replace_selector("s", &labels(&[]), moved.resource_version()).await;
    assert!(matches!(none, Err(ClusterError::Invalid { .. })));
}

#[tokio::test]
async fn pods_are_read_asked_and_scaled_one_by_one() {
    let Some(space) = space("pods").await else { return };
    let (cluster, link) = (&space.cluster, Link::new());
    let web = space.apply(web("web", "r1", "version 1", 2)).await;
    space.apply(service("web", &json!({"app": "web"}))).await;
    let pods = wait_ready(cluster, std::slice::from_ref(&web), &Wait::default(), &*link).await.unwrap();
    assert_eq!(pods.len(), 2);
    assert_eq!(link.said().last().map(String::as_str), Some("web 2/2"));
    for pod in &pods {
        let answer = cluster.pod_http(pod.name(), 8080, &HttpCall::get("/")).await.unwrap();
        assert_eq!((answer.status, answer.body.as_slice()), (200, &b"version 1\n"[..]));
        let none = cluster.pod_http(pod.name(), 8080, &HttpCall::get("/none")).await.unwrap();
        assert_eq!(none.status, 404);
        let closed = cluster.pod_http(pod.name(), 8081, &HttpCall::get("/")).await;
        assert!(matches!(&closed, Err(ClusterError::NoAnswer { why, .. }) if why.contains("refused")), "{closed:?}");
    }
    let gone = cluster.pod_http("no-such-pod", 8080, &HttpCall::get("/")).await;
    assert_eq!(gone, Err(ClusterError::NotFound("Pod/no-such-pod port 8080".to_owned())));

    let slices = tagline_delivery::rollout::wait_for(
        cluster,
        ("discovery.k8s.io/v1", "EndpointSlice"),
        Filter::labels(&tagline_delivery::cluster::slices_of("web")),
        Duration::from_secs(30),
        &*link,
        |slices| (tagline_delivery::cluster::Endpoints::from_slices(slices).ready.len() == 2).then_some(()),
    );
    assert_eq!(slices.await.unwrap(), Some(()));
    let endpoints = cluster.labelled_endpoints("web").await.unwrap();
    assert_eq!(endpoints.releases(), BTreeMap::from([("r1".to_owned(), 2)]));
    let answer = cluster.service_http("web", "80", &HttpCall::get("/")).await.unwrap();
    assert_eq!(answer.status, 200);

    let pod = pods[0].name();
    let limits = ExecLimits { timeout: Duration::from_secs(20), bytes: 5 };
    let script = |text: &str| ["sh", "-c", text].map(str::to_owned);
    let answer =
        cluster.exec(pod, None, &script("cat; echo error >&2; exit 3"), Some(b"1234567"), limits).await.unwrap();
    assert_eq!((answer.code, answer.stdout.as_slice(), answer.stderr.as_slice()), (3, &b"12345"[..], &b"error"[..]));
    assert!(answer.cut);
    let none = cluster.exec(pod, None, &["/no/such/program".to_owned()], None, limits).await;
    assert!(none.is_err() || none.unwrap().code != 0);
    let logs = cluster.logs(pod, &LogCall::default()).await.unwrap();
    assert_eq!(logs.none, None);
    let events = cluster.events(&[pods[0].uid()]).await.unwrap();
    assert!(events.iter().any(|event| event.text("/reason") == "Scheduled"));

    let id = web.id();
    let now = cluster.get(&id).await.unwrap().unwrap();
    cluster.scale(&id, 1, &Precondition::same(&now), MANAGER).await.unwrap();
    assert_eq!(cluster.get(&id).await.unwrap().unwrap().number("/spec/replicas"), Some(1));
    let other = Precondition { uid: "00000000-0000-0000-0000-000000000000".to_owned(), resource_version: None };
    let refused = cluster.scale(&id, 3, &other, MANAGER).await;
    assert!(matches!(refused, Err(ClusterError::Changed { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_watch_gives_the_whole_set_after_each_change() {
    let Some(space) = space("watch").await else { return };
    let cluster = &space.cluster;
    let mut watch = cluster.watch("v1", "ConfigMap", Filter::name("a")).await.unwrap();
    assert_eq!(watch.next().await.unwrap(), Vec::<Object>::new());
    cluster.create(&config("a", "1"), MANAGER).await.unwrap();
    cluster.create(&config("b", "1"), MANAGER).await.unwrap();
    let set = watch.next().await.unwrap();
    assert_eq!(set.iter().map(|each| (each.kind(), each.name())).collect::<Vec<_>>(), [("ConfigMap", "a")]);
    let id = ObjectId::new("v1", "ConfigMap", space.namespace(), "a");
    cluster.delete(&id, &Precondition::same(&set[0]), Propagation::Background).await.unwrap();
    assert_eq!(watch.next().await.unwrap(), Vec::<Object>::new());
}

#[tokio::test]
async fn every_missing_right_is_named() {
    let Some(space) = space("rights").await else { return };
    let Some(cluster) = space.restricted().await else { return };
    space
        .apply(json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "some"},
        "rules": [{"apiGroups": [""], "resources": ["services"], "verbs": ["get"]}]}))
        .await;
    space
        .apply(
            json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "some"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "some"},
        "subjects": [{"kind": "User", "name": "tagline-restricted", "apiGroup": "rbac.authorization.k8s.io"}]}),
        )
        .await;
    let verbs = [
        Verb::new("get", "v1", "Service"),
        Verb::new("patch", "v1", "Service"),
        Verb::new("patch", "apps/v1", "Deployment").part("scale"),
        Verb::new("list", "v1", "Node"),
    ];
    let missing: Vec<_> = cluster.may(&verbs).await.unwrap().iter().map(ToString::to_string).collect();
    let namespace = space.namespace();
    let mut expected = [
        "may not list nodes".to_owned(),
        format!("may not patch deployments/scale.apps in namespace {namespace}"),
        format!("may not patch services in namespace {namespace}"),
    ];
    expected.sort();
    let mut missing = missing;
    missing.sort();
    assert_eq!(missing, expected);
    assert_eq!(space.cluster.may(&verbs).await.unwrap(), []);
    let error = cluster.apply(&config("a", "1"), Apply::by(MANAGER)).await.unwrap_err();
    assert!(
        matches!(&error, ClusterError::Forbidden { verb, resource, .. } if verb == "patch" && resource == "configmaps"),
        "{error:?}"
    );
}

#[tokio::test]
async fn expired_credentials_and_a_server_of_another_authority_are_told_apart() {
    let Some(space) = space("expired").await else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kubeconfig");
    let text = std::fs::read_to_string(&space.kubeconfig).unwrap();
    let mut config: serde_json::Value = serde_yaml::from_str(&text).unwrap();
    let context = space.cluster.target().context.clone();
    let claims = "eyJleHAiOjE3NjM0NjAwMDB9";
    for user in config["users"].as_array_mut().unwrap() {
        user["user"] = json!({"token": format!("e30.{claims}.c2ln")});
    }
    std::fs::write(&file, config.to_string()).unwrap();
    let error = space.connect(file.clone(), &context).await.version().await;
    // Where anybody may ask for the version, the token is refused all the same.
    let said = error.unwrap_err().to_string();
    assert!(said.ends_with("does not accept the credentials: the token expired 2025-11-18T10:00:00Z"), "{said}");
    let cluster = config["clusters"][0]["cluster"].as_object_mut().unwrap();
    cluster.shift_remove("certificate-authority-data");
    cluster.shift_remove("certificate-authority");
    std::fs::write(&file, config.to_string()).unwrap();
    let error = space.connect(file, &context).await.version().await.unwrap_err();
    assert!(matches!(error, ClusterError::Untrusted { .. }), "{error:?}");
}

#[tokio::test]
async fn a_watch_and_a_command_survive_an_api_server_that_goes_away() {
    let Some(space) = space("gone").await else { return };
    let folder = tempfile::tempdir().unwrap();
    let (mut proxy, through) = common::proxy::Proxy::start(&space.kubeconfig, folder.path()).await;
    let cluster = space.connect(through, &space.cluster.target().context).await;
    let mut watch = cluster.watch("v1", "ConfigMap", Filter::name("a")).await.unwrap();
    assert_eq!(watch.next().await.unwrap(), Vec::<Object>::new());
    let web = space.apply(web("web", "r1", "1", 1)).await;
    let pods = wait_ready(&space.cluster, &[web], &Wait::default(), &*Link::new()).await.unwrap();
    proxy.cut().await;
    // What happens while nobody looks is seen afterwards; a command waits and is run once.
    space.cluster.create(&config("a", "1"), MANAGER).await.unwrap();
    let command = {
        let (cluster, pod) = (cluster.clone(), pods[0].name().to_owned());
        let limits = ExecLimits { timeout: Duration::from_secs(30), bytes: 100 };
        let argv = ["sh", "-c", "echo x >> /tmp/count; wc -l < /tmp/count"].map(str::to_owned);
        tokio::spawn(async move { cluster.exec(&pod, None, &argv, None, limits).await })
    };
    let before = cluster.requests();
    while cluster.requests() < before + 2 {
        tokio::task::yield_now().await;
    }
    proxy.mend().await;
    assert_eq!(watch.next().await.unwrap().len(), 1);
    assert_eq!(command.await.unwrap().unwrap().stdout, b"1\n");
}
