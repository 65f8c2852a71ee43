//! What operations and rotations do when something is refused or they are cancelled halfway. A scripted server is asked, and
//! no cluster.

mod common;

use common::Link;
use common::script::{Act, Server, ok, status, step};
use indexmap::IndexMap;
use serde_json::{Value, json};
use tagline_delivery::inputs::{Action, Period};
use tagline_delivery::operate::{self, OperatePlan};
use tagline_delivery::rotate::{self, RotatePlan};
use tagline_delivery::{DeliveryError, ObjectId, Stop};

fn read(uses: &str, with: &[(&str, &str)]) -> Action {
    let all: IndexMap<String, String> = with.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
    Action::read(uses, &all).expect("its inputs are right")
}

fn deployment(name: &str, replicas: u32, secret: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "namespace": "shop", "uid": name, "resourceVersion": "5"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": {
            "metadata": {"labels": {"app": name}},
            "spec": {"containers": [{"name": "c", "envFrom": [{"secretRef": {"name": secret}}]}]}}},
    })
}

fn list(items: &[Value]) -> Act {
    ok(&json!({"metadata": {"resourceVersion": "5"}, "items": items}))
}

fn missing() -> Act {
    status(404, "NotFound", "it is not there")
}

fn id(kind: &str, name: &str) -> ObjectId {
    ObjectId::new(if kind == "Secret" { "v1" } else { "apps/v1" }, kind, "shop", name)
}

/// The second of two writers cannot be stopped.
#[tokio::test]
async fn a_restore_that_cannot_stop_every_writer_starts_those_again_that_it_stopped() {
    const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/shop/deployments/";
    let mut stopped = false;
    let server = Server::answering(move |line| match line {
        _ if line.starts_with(&format!("PATCH {DEPLOYMENTS}orders")) => {
            stopped = !stopped;
            ok(&deployment("orders", if stopped { 0 } else { 3 }, "db"))
        }
        _ if line.starts_with(&format!("PATCH {DEPLOYMENTS}")) => status(403, "Forbidden", "no: \"u\" cannot patch"),
        _ if line.starts_with(&format!("GET {DEPLOYMENTS}orders")) => {
            ok(&deployment("orders", if stopped { 0 } else { 3 }, "db"))
        }
        _ if line.starts_with(&format!("GET {DEPLOYMENTS}")) => ok(&deployment("billing", 2, "db")),
        _ if line.starts_with("POST ") => ok(&json!({"kind": "ConfigMap", "metadata": {"name": "n", "uid": "n"}})),
        _ => missing(),
    })
    .await;
    let folder = tempfile::tempdir().expect("a folder");
    let (cluster, site) = step(&server.url, folder.path()).await;
    let with = [("do", "restore"), ("job", "cronjob/backup"), ("backup", "first"), ("writers", "orders, billing")];
    let Action::Operate(inputs) = read("tagline/operate@v1", &with) else { panic!("another action") };
    let workloads = ["orders", "billing"].map(|name| (id("Deployment", name), name.to_owned())).to_vec();
    let (acts, undone, warnings) = (Vec::new(), Vec::new(), Vec::new());
    let plan = OperatePlan { inputs: *inputs, acts, undone, workloads, job: None, backup: None, warnings };
    let failed = operate::apply(&plan, &site, &cluster, &*Link::new()).await.map(|done| done.summary).unwrap_err();
    let DeliveryError::Failed(failure) = failed else { panic!("{failed}") };
    assert!(failure.effect.contains("Deployment/orders is started again"), "{failure}");
    let patched = format!("PATCH {DEPLOYMENTS}orders");
    let count = server.asked().iter().filter(|line| line.starts_with(&patched)).count();
    assert_eq!(count, 2, "stopped and started: {:#?}", server.asked());
}

/// Cancelled while readers are sent to the new values.
#[tokio::test]
async fn a_cancelled_rotation_goes_back_to_its_end() {
    const SECRETS: &str = "/api/v1/namespaces/shop/secrets";
    let new = || {
        let labels = json!({"tagline.dev/rotates": "db"});
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db-1", "namespace": "shop", "uid": "2",
            "resourceVersion": "6", "labels": labels}})
    };
    let (mut made, mut sent) = (false, false);
    let server = Server::answering(move |line| match line {
        _ if line.starts_with(&format!("POST {SECRETS}")) => {
            made = true;
            ok(&new())
        }
        _ if line.starts_with(&format!("GET {SECRETS}/db?")) || line == format!("GET {SECRETS}/db") => ok(
            &json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db", "namespace": "shop", "uid": "1",
                "resourceVersion": "5"}, "data": {"key": "b2xk"}}),
        ),
        _ if line.starts_with(&format!("PATCH {SECRETS}/db-1"))
            || line.starts_with(&format!("DELETE {SECRETS}/db-1")) =>
        {
            ok(&new())
        }
        _ if line.starts_with(&format!("GET {SECRETS}?")) => list(&if made { vec![new()] } else { Vec::new() }),
        _ if line.starts_with("PATCH /apis/apps/v1/namespaces/shop/deployments/shop") => {
            sent = !sent;
            ok(&deployment("shop", 0, if sent { "db-1" } else { "db" }))
        }
        _ if line.starts_with("GET /apis/apps/v1/namespaces/shop/deployments/shop") => {
            ok(&deployment("shop", 0, if sent { "db-1" } else { "db" }))
        }
        _ if line.contains("watch=true") => Act::Hold(Vec::new()),
        _ if line.starts_with("GET /apis/apps/v1/namespaces/shop/deployments") => {
            list(&[deployment("shop", 0, if sent { "db-1" } else { "db" })])
        }
        _ if line.starts_with("GET ") && !line.contains("/configmaps/") => list(&[]),
        _ => missing(),
    })
    .await;
    let folder = tempfile::tempdir().expect("a folder");
    let (cluster, site) = step(&server.url, folder.path()).await;
    let with = [("secret", "db"), ("generate", "key"), ("accounts", "none"), ("verify", "/"), ("force", "true")];
    let Action::RotateSecret(inputs) = read("tagline/rotate-secret@v1", &with) else { panic!("another action") };
    let plan = RotatePlan {
        inputs: *inputs,
        live: (id("Secret", "db"), "1".to_owned()),
        copied: Vec::new(),
        readers: vec![id("Deployment", "shop")],
        names: vec!["db".to_owned()],
        account: None,
        keep_old: Period::from_secs(3600),
        job: None,
    };
    let link = Link::new();
    link.end(Stop::Cancelled("asked to".to_owned()));
    let ended = rotate::apply(&plan, &site, &cluster, &*link).await.map(|done| done.summary);
    assert!(matches!(ended, Err(DeliveryError::Stopped(Stop::Cancelled(_)))), "{ended:?}");
    assert_eq!(link.reached(), ["begun", "created", "going-back", "rolled-back"], "{:#?}", server.asked());
    assert!(link.said().iter().any(|line| line == "everything reads db as before, and it works"), "{:?}", link.said());
    let asked = server.asked();
    let at =
        |begin: &str| asked.iter().position(|line| line.starts_with(begin)).unwrap_or_else(|| panic!("{asked:#?}"));
    // Out of force before anything else is done about it.
    let back = asked.iter().rposition(|line| line.starts_with("PATCH /apis/apps/")).expect("it is sent back");
    assert!(at(&format!("PATCH {SECRETS}/db-1")) < back && back < at(&format!("DELETE {SECRETS}/db-1")));
}
