//! The cluster module against faults on a real socket: connections that break, servers that are busy, old or away.

mod common;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::script::{Act, Server, kubeconfig, ok, serve, status};
use serde_json::{Value, json};
use tagline_delivery::cluster::{
    Apply, Cluster, ClusterError, Deleted, Filter, HttpCall, MANAGER, Notice, Patch, Precondition, Propagation,
};
use tagline_delivery::{Object, Target};

const TOKEN: &str = "plain";

fn target() -> Target {
    Target { context: "test".to_owned(), namespace: "shop".to_owned() }
}

async fn connect(url: &str, token: &str) -> (Cluster, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = kubeconfig(folder.path(), url, token);
    let cluster = Cluster::connect(&target(), &[file]).await.expect("the context is known");
    (cluster.with_patience(Duration::from_secs(10)), folder)
}

fn config(name: &str, version: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "shop", "uid": "u1",
        "resourceVersion": version}})
}

fn line(kind: &str, object: &Value) -> String {
    format!("{}\n", json!({"type": kind, "object": object}))
}

#[tokio::test]
async fn a_server_that_is_busy_or_breaks_off_is_asked_again() {
    let busy = Act::Answer(429, "Retry-After: 0\r\n", String::new());
    let away = status(503, "ServiceUnavailable", "the server is currently unable to handle the request");
    let server = Server::start(vec![busy, Act::Drop, away, ok(&config("a", "1"))]).await;
    let (cluster, _folder) = connect(&server.url, TOKEN).await;
    let found = cluster.get(&cluster.id("v1", "ConfigMap", "a")).await.unwrap().unwrap();
    assert_eq!((found.name(), cluster.requests(), server.asked().len()), ("a", 4, 4));
}

#[tokio::test]
async fn a_create_whose_answer_was_lost_may_have_made_what_it_meets() {
    let server = Server::start(vec![Act::Drop, status(409, "AlreadyExists", "configmaps \"a\" already exists")]).await;
    let (cluster, _folder) = connect(&server.url, TOKEN).await;
    let error = cluster.create(&Object(config("a", "")), MANAGER).await.unwrap_err();
    assert_eq!(error, ClusterError::AlreadyExists { what: "ConfigMap/a".to_owned(), maybe_ours: true });
}

#[tokio::test]
async fn a_delete_whose_answer_was_lost_is_done_and_one_that_goes_on_is_no_refusal() {
    let mut going = config("a", "9");
    going["metadata"]["deletionTimestamp"] = json!("2026-11-19T14:00:00Z");
    let refused = || status(409, "Conflict", "Precondition failed: ResourceVersion in precondition: 1");
    let script =
        vec![Act::Drop, status(404, "NotFound", "not found"), refused(), ok(&going), refused(), ok(&config("a", "9"))];
    let server = Server::start(script).await;
    let (cluster, _folder) = connect(&server.url, TOKEN).await;
    let (id, seen) = (cluster.id("v1", "ConfigMap", "a"), Precondition::unchanged(&Object(config("a", "1"))));
    assert_eq!(cluster.delete(&id, &seen, Propagation::Background).await, Ok(Deleted::Gone));
    assert_eq!(cluster.delete(&id, &seen, Propagation::Background).await, Ok(Deleted::Already));
    let changed = cluster.delete(&id, &seen, Propagation::Background).await;
    assert!(matches!(changed, Err(ClusterError::Changed { .. })), "{changed:?}");
}

#[tokio::test]
async fn a_switch_whose_answer_was_lost_is_seen_to_be_done() {
    let conflict = || status(409, "Conflict", "the object has been modified");
    let selector = json!({"app": "s"});
    let moved = json!({"kind": "Service", "metadata": {"name": "s"}, "spec": {"selector": selector}});
    let other = json!({"kind": "Service", "metadata": {"name": "s"}, "spec": {"selector": {"app": "s", "more": "x"}}});
    let server = Server::start(vec![Act::Drop, conflict(), ok(&moved), conflict(), ok(&other)]).await;
    let (cluster, _folder) = connect(&server.url, TOKEN).await;
    let wanted = [("app".to_owned(), "s".to_owned())].into();
    assert!(cluster.replace_selector("s", &wanted, "1").await.is_ok());
    let error = cluster.replace_selector("s", &wanted, "1").await.unwrap_err();
    assert!(matches!(error, ClusterError::Changed { .. }), "{error:?}");
}

#[tokio::test]
async fn a_watch_that_breaks_or_is_too_old_loses_nothing() {
    let list = |items: &[Value], version: &str| ok(&json!({"metadata": {"resourceVersion": version}, "items": items}));
    let half = "{\"type\":\"ADD".to_owned();
    let script = vec![
        list(&[config("a", "4")], "5"),
        // Breaks off within a line: it goes on from the last whole event.
        Act::Stream(vec![line("ADDED", &config("b", "6")), half]),
        Act::Stream(vec![line("BOOKMARK", &json!({"metadata": {"resourceVersion": "7"}}))]),
        // Too old, said as an event, then as an answer.
        Act::Stream(vec![line("ERROR", &json!({"kind": "Status", "code": 410, "reason": "Expired"}))]),
        list(&[config("b", "6")], "20"),
        status(410, "Expired", "too old resource version"),
        list(&[config("b", "6"), config("c", "21")], "21"),
        Act::Hold(vec![line("DELETED", &config("b", "22"))]),
    ];
    let server = Server::start(script).await;
    let (cluster, _folder) = connect(&server.url, TOKEN).await;
    let mut watch = cluster.watch("v1", "ConfigMap", Filter::default()).await.unwrap();
    let mut sets = Vec::new();
    for _ in 0..5 {
        let set = watch.next().await.unwrap();
        sets.push(set.iter().map(Object::name).collect::<String>());
    }
    assert_eq!(sets, ["a", "ab", "b", "bc", "c"]);
    let from: Vec<_> =
        server.asked().iter().filter_map(|line| line.split("resourceVersion=").nth(1).map(str::to_owned)).collect();
    assert_eq!(from, ["5", "6", "7", "20", "21"]);
}

#[tokio::test]
async fn a_list_that_is_too_old_to_go_on_begins_again() {
    let page = |name: &str, next: &str| {
        ok(&json!({"metadata": {"resourceVersion": "1", "continue": next}, "items": [config(name, "1")]}))
    };
    let server =
        Server::start(vec![page("a", "more"), status(410, "Expired", "old"), page("a", "more"), page("b", "")]).await;
    let (cluster, _folder) = connect(&server.url, TOKEN).await;
    let found = cluster.list("v1", "ConfigMap", &BTreeMap::default()).await.unwrap();
    assert_eq!(found.iter().map(Object::name).collect::<Vec<_>>(), ["a", "b"]);
}

#[tokio::test]
async fn an_absence_is_said_once_and_so_is_its_end() {
    // An address where nobody listens until later.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (cluster, _folder) = connect(&format!("http://{free}"), TOKEN).await;
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let cluster = cluster.with_hook(Arc::new(move |notice| {
        let _ = told.send(notice);
    }));
    let id = cluster.id("v1", "ConfigMap", "a");
    let asking = {
        let (cluster, id) = (cluster.clone(), id.clone());
        tokio::spawn(async move { cluster.get(&id).await })
    };
    let away = heard.recv().await.unwrap();
    assert!(
        matches!(&away, Notice::Away { context, why, .. } if context == "test" && why == "connection refused"),
        "{away:?}"
    );
    let listener = tokio::net::TcpListener::bind(free).await.unwrap();
    tokio::spawn(serve(listener, vec![ok(&config("a", "1"))], Arc::new(Mutex::default())));
    assert!(asking.await.unwrap().unwrap().is_some());
    assert!(matches!(heard.recv().await.unwrap(), Notice::Back { after, .. } if after >= Duration::from_secs(3)));
    assert!(heard.try_recv().is_err());
}

#[tokio::test]
async fn patience_ends_with_an_error_that_says_for_how_long() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (cluster, _folder) = connect(&format!("http://{free}"), TOKEN).await;
    let error = cluster.with_patience(Duration::from_secs(1)).version().await.unwrap_err();
    let ClusterError::Unreachable { waited, why, .. } = &error else { panic!("{error:?}") };
    assert!(*waited <= Duration::from_secs(1) && why == "connection refused", "{error}");
    // A patch is not tried on after its time, and no trial of it is taken for done.
    let patch = Patch::Merge(json!({"data": {"a": "b"}}));
    let id = cluster.id("v1", "ConfigMap", "a");
    let error = cluster.with_patience(Duration::ZERO).patch(&id, MANAGER, &patch).await.unwrap_err();
    assert!(matches!(error, ClusterError::Unreachable { .. }));
}

#[tokio::test]
async fn an_inner_error_is_given_back_when_it_stays() {
    let broken = || status(500, "InternalError", "failed calling webhook \"w\"");
    let server = Server::start(vec![broken(), broken(), broken(), broken(), broken()]).await;
    let (cluster, _folder) = connect(&server.url, TOKEN).await;
    let object = Object(config("a", ""));
    let error = cluster.with_patience(Duration::from_secs(1)).apply(&object, Apply::by(MANAGER)).await.unwrap_err();
    assert_eq!(error.to_string(), "ConfigMap/a: the cluster answered 500: failed calling webhook \"w\"");
}

#[tokio::test]
async fn what_a_pod_answers_is_an_answer_and_a_post_is_sent_once() {
    let own = Act::Answer(503, "", "starting".to_owned());
    let refused = status(
        503,
        "ServiceUnavailable",
        "error trying to reach service: dial tcp 10.0.0.1:80: connect: connection refused",
    );
    let server = Server::start(vec![own, refused, Act::Drop]).await;
    let (cluster, _folder) = connect(&server.url, TOKEN).await;
    let get = HttpCall::get("/health?full=1");
    let answer = cluster.pod_http("p", 80, &get).await.unwrap();
    assert_eq!((answer.status, answer.body.as_slice()), (503, &b"starting"[..]));
    let error = cluster.pod_http("p", 80, &get).await.unwrap_err();
    assert_eq!(error.to_string(), "Pod/p port 80 does not answer: dial tcp 10.0.0.1:80: connect: connection refused");
    let post = HttpCall { method: "POST".to_owned(), ..get.clone() };
    assert!(matches!(cluster.pod_http("p", 80, &post).await, Err(ClusterError::Unreachable { .. })));
    let asked = server.asked();
    assert_eq!(asked[2], "POST /api/v1/namespaces/shop/pods/p:80/proxy/health?full=1");
    assert_eq!(asked.len(), 3);
    let secret = HttpCall { headers: vec![("Authorization".to_owned(), "x".to_owned())], ..get };
    assert!(matches!(cluster.pod_http("p", 80, &secret).await, Err(ClusterError::Refused { .. })));
}

#[tokio::test]
async fn expired_credentials_are_said_to_be_expired() {
    use base64::Engine;
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(r#"{"exp":1763460000}"#);
    let refused = Act::Answer(401, "Date: Thu, 20 Nov 2025 10:00:00 GMT\r\n", "{\"kind\":\"Status\"}".to_owned());
    let server = Server::start(vec![refused]).await;
    let (cluster, _folder) = connect(&server.url, &format!("e30.{claims}.c2ln")).await;
    let error = cluster.version().await.unwrap_err();
    let said = "the API server of context test does not accept the credentials: the token expired 2025-11-18T10:00:00Z";
    assert_eq!(error.to_string(), said);
    assert_eq!(cluster.requests(), 1);
}

#[tokio::test]
async fn a_context_must_be_named_and_known() {
    let folder = tempfile::tempdir().unwrap();
    let file = kubeconfig(folder.path(), "http://127.0.0.1:1", TOKEN);
    let named = |context: &str| Target { context: context.to_owned(), namespace: "shop".to_owned() };
    let error = Cluster::connect(&named("prodution"), std::slice::from_ref(&file)).await.unwrap_err();
    assert_eq!(error.to_string(), "there is no context prodution in the kubeconfig; known: test, production");
    assert!(error.next().starts_with("did you mean production?"));
    let before = std::fs::read(&file).unwrap();
    Cluster::connect(&named("test"), std::slice::from_ref(&file)).await.unwrap();
    assert_eq!(std::fs::read(&file).unwrap(), before);
    let none = Cluster::connect(&named("test"), &[PathBuf::from("/no/such/file")]).await.unwrap_err();
    assert_eq!(none.to_string(), "no kubeconfig: looked for /no/such/file");
    std::fs::write(&file, "{").unwrap();
    assert!(matches!(Cluster::connect(&named("test"), &[file]).await, Err(ClusterError::Kubeconfig { .. })));
}

#[tokio::test]
async fn a_server_that_has_just_started_may_not_know_its_users_yet() {
    let unknown = || status(403, "Forbidden", "User \"u\" cannot get resource \"configmaps\" in API group \"\"");
    let script = vec![Act::Drop, status(401, "Unauthorized", "Unauthorized"), unknown(), ok(&config("a", "1"))];
    let server = Server::start(script).await;
    let (cluster, _folder) = connect(&server.url, TOKEN).await;
    assert!(cluster.get(&cluster.id("v1", "ConfigMap", "a")).await.unwrap().is_some());
    // Of a server that was there all the time it is an answer.
    let server = Server::start(vec![unknown()]).await;
    let (cluster, _folder) = connect(&server.url, TOKEN).await;
    let error = cluster.get(&cluster.id("v1", "ConfigMap", "a")).await.unwrap_err();
    assert!(matches!(error, ClusterError::Forbidden { .. }), "{error:?}");
}

#[tokio::test]
async fn a_pod_that_is_too_slow_is_no_absent_server() {
    let server = Server::start(vec![Act::Hold(vec!["{".to_owned()])]).await;
    let (cluster, _folder) = connect(&server.url, TOKEN).await;
    let call = HttpCall { timeout: Duration::from_millis(300), ..HttpCall::get("/slow") };
    let error = cluster.pod_http("p", 80, &call).await.unwrap_err();
    assert_eq!(error.to_string(), "Pod/p port 80 does not answer: no answer within 0.3s");
    assert_eq!(cluster.requests(), 1);
}

/// A pod that breaks off is asked again, but a limit on its time is not begun again: it counts from the first sending.
#[tokio::test]
async fn an_answer_at_the_second_sending_took_as_long_as_both() {
    let server = Server::start(vec![Act::Drop, Act::Answer(200, "", "well".to_owned())]).await;
    let (cluster, _folder) = connect(&server.url, TOKEN).await;
    let answer = cluster.pod_http("p", 80, &HttpCall::get("/")).await.unwrap();
    assert_eq!((answer.status, cluster.requests()), (200, 2));
    // The pause between two sendings alone is as long.
    assert!(answer.took >= Duration::from_millis(250), "{:?}", answer.took);
}

#[tokio::test]
async fn what_is_secret_in_a_kubeconfig_is_in_no_message() {
    let folder = tempfile::tempdir().unwrap();
    let file = kubeconfig(folder.path(), "http://127.0.0.1:1", "a-secret-token");
    let good = std::fs::read_to_string(&file).unwrap();
    let broken = good.replace("a-secret-token}", "a-secret-token: {]");
    std::fs::write(&file, broken).unwrap();
    let error = Cluster::connect(&target(), std::slice::from_ref(&file)).await.unwrap_err();
    assert_eq!(error.to_string(), "kubeconfig for context test: it is no kubeconfig in YAML (line 4)");
    let plugin = "exec: {apiVersion: client.authentication.k8s.io/v1, command: sh, interactiveMode: Never, \
        args: [-c, 'echo a-secret-token; echo your session is over >&2; exit 1']}";
    std::fs::write(&file, good.replace("token: a-secret-token", plugin)).unwrap();
    let error = match Cluster::connect(&target(), &[file]).await {
        Ok(cluster) => cluster.version().await.unwrap_err(),
        Err(error) => error,
    };
    assert!(matches!(error, ClusterError::Unauthorized { .. }), "{error:?}");
    assert!(error.to_string().ends_with("failed (exit status: 1): your session is over"), "{error}");
    assert!(!format!("{error:?}").contains("a-secret-token"));
}

/// What is waited for cannot be seen while the server is away, so the wait is not over then.
#[tokio::test]
async fn a_wait_is_not_late_by_the_time_in_which_nothing_can_be_seen() {
    let list = json!({"kind": "ConfigMapList", "apiVersion": "v1", "metadata": {"resourceVersion": "1"},
        "items": [config("a", "1")]});
    let mut away = None;
    let server = Server::answering(move |_| {
        let since = *away.get_or_insert_with(std::time::Instant::now);
        if since.elapsed() < Duration::from_millis(600) { Act::Drop } else { ok(&list) }
    })
    .await;
    let (cluster, _folder) = connect(&server.url, TOKEN).await;
    let link = common::Link::new();
    let found = tagline_delivery::rollout::wait_for(
        &cluster,
        ("v1", "ConfigMap"),
        Filter::default(),
        Duration::from_millis(200),
        &*link,
        |found| (found.len() == 1).then_some(()),
    );
    assert_eq!(found.await.unwrap(), Some(()), "after {} requests", server.asked().len());
}
