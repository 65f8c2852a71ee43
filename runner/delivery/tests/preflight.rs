//! What would stop a delivery is found before it starts, all of it at once, on a real cluster; and by a server that refuses
//! everything.

mod common;

use common::script::{self, Server, ok, status};
use common::{Space, service, space, web};
use serde_json::json;
use tagline_delivery::cluster::{Precondition, Propagation, Verb};
use tagline_delivery::inputs::Action;
use tagline_delivery::preflight::{Extra, Needs, check};
use tagline_delivery::render::helm::Chart;
use tagline_delivery::{DeliveryError, Object, action};

async fn said(space: &Space, needs: &Needs<'_>) -> Vec<String> {
    let problems = check(&space.cluster, needs).await.expect("the server answers");
    assert!(problems.iter().all(|problem| !problem.next.is_empty()));
    problems.into_iter().map(|problem| problem.message).collect()
}

#[tokio::test]
async fn all_problems_are_told_at_once() {
    let Some(space) = space("preflight").await else { return };
    space.apply(json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "small"}, "spec": {"hard": {"pods": "4"}}})).await;
    // The controller counts what is there before the numbers are in its status.
    let counted = |quotas: &[Object]| quotas.iter().any(|quota| quota.text("/status/hard/pods") == "4").then_some(());
    let filter = tagline_delivery::cluster::Filter::name("small");
    let link = common::Link::new();
    let minute = std::time::Duration::from_mins(1);
    let wait =
        tagline_delivery::rollout::wait_for(&space.cluster, ("v1", "ResourceQuota"), filter, minute, &*link, counted);
    assert_eq!(wait.await.unwrap(), Some(()));
    let workload = Object(web("w", "r1", "1", 6));
    let objects = [
        workload.clone(),
        Object(service("s", &json!({"app": "other"}))),
        Object(json!({"apiVersion": "nobody.example/v1beta1", "kind": "Widget", "metadata": {"name": "e"}})),
        Object(
            json!({"apiVersion": "autoscaling/v2beta2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "h"}}),
        ),
    ];
    let verbs = [Verb::new("patch", "apps/v1", "Deployment"), Verb::new("patch", "nobody.example/v1beta1", "Widget")];
    let needs = Needs { verbs: &verbs, objects: &objects, extra: &[Extra::of(&workload, 6)] };
    let expected = [
        "Service/s selects no pod: no pod template has app=other".to_owned(),
        "autoscaling/v2beta2 HorizontalPodAutoscaler is not served by this cluster (served: autoscaling/v2, autoscaling/v1)".to_owned(),
        "nobody.example/v1beta1 Widget is not served by this cluster".to_owned(),
        format!("needs 6 pods, quota small leaves 4 (namespace {})", space.namespace()),
    ];
    let mut found = said(&space, &needs).await;
    let next = check(&space.cluster, &needs).await.unwrap();
    let served = next.iter().find(|problem| problem.message.starts_with("autoscaling")).unwrap();
    assert_eq!(served.next, "write apiVersion: autoscaling/v2");
    found.sort();
    let mut expected = expected.to_vec();
    expected.sort();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn pods_that_no_node_has_room_for_are_advice() {
    let Some(space) = space("nodes").await else { return };
    let mut large = web("w", "r1", "1", 2);
    large["spec"]["template"]["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "1000"}});
    let extra = [Extra::of(&Object(large), 2)];
    let problems = check(&space.cluster, &Needs { extra: &extra, ..Needs::default() }).await.unwrap();
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].message, "w needs 2 more pods of 1000 cpu, the nodes have room for 0");
    assert!(problems[0].advice);
}

#[tokio::test]
async fn a_namespace_that_ends_or_is_missing_is_told() {
    let Some(space) = space("ending").await else { return };
    let name = space.namespace().to_owned();
    // A finalizer holds it in its end for as long as the test looks.
    let config = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "held", "finalizers": ["tagline.dev/test"]}});
    let held = space.apply(config).await;
    let id = tagline_delivery::ObjectId {
        api_version: "v1".to_owned(),
        kind: "Namespace".to_owned(),
        namespace: None,
        name: name.clone(),
    };
    let namespace = space.cluster.get(&id).await.unwrap().unwrap();
    space.cluster.delete(&id, &Precondition::same(&namespace), Propagation::Background).await.unwrap();
    assert_eq!(said(&space, &Needs::default()).await, [format!("namespace {name} is being deleted")]);
    let apply = space
        .cluster
        .apply(&Object(service("s", &json!({"app": "w"}))), tagline_delivery::cluster::Apply::by("tagline"))
        .await;
    assert_eq!(apply.unwrap_err().to_string(), format!("namespace {name} is being deleted"));
    let free = tagline_delivery::cluster::Patch::Merge(json!({"metadata": {"finalizers": null}}));
    space.cluster.patch(&held.id(), "tagline", &free).await.unwrap();
    let target = tagline_delivery::Target { namespace: format!("{name}-no"), ..space.cluster.target().clone() };
    let gone =
        tagline_delivery::cluster::Cluster::connect(&target, std::slice::from_ref(&space.kubeconfig)).await.unwrap();
    let problems = check(&gone, &Needs::default()).await.unwrap();
    assert_eq!(problems[0].message, format!("namespace {name}-no does not exist"));
}

#[tokio::test]
async fn every_right_of_the_plan_that_is_missing_is_named() {
    let Some(space) = space("role").await else { return };
    let Some(cluster) = space.restricted().await else { return };
    let verbs = [
        Verb::new("patch", "v1", "Service"),
        Verb::new("create", "v1", "Pod").part("exec"),
        Verb::new("delete", "apps/v1", "Deployment"),
    ];
    let workload = Object(web("w", "r1", "1", 1));
    let extra = [Extra::of(&workload, 1)];
    let needs = Needs { verbs: &verbs, objects: std::slice::from_ref(&workload), extra: &extra };
    let problems = check(&cluster, &needs).await.unwrap();
    let mut said: Vec<_> = problems.into_iter().map(|problem| problem.message).collect();
    said.sort();
    let namespace = space.namespace();
    let expected = ["create pods/exec", "delete deployments.apps", "patch services"];
    assert_eq!(said, expected.map(|right| format!("may not {right} in namespace {namespace}")));
}

/// Who may not even look is told all that is missing, a line a resource, and not the first refusal.
#[tokio::test]
async fn who_may_see_nothing_is_told_every_right() {
    let Some(mut space) = space("blind").await else { return };
    let Some(blind) = space.restricted().await else { return };
    let app = common::release::App::new("1.2.3").await;
    let own = std::mem::replace(&mut space.cluster, blind);
    let error = common::release::plan(&space, &app, &[]).await.map(|_| ()).unwrap_err();
    space.cluster = own;
    let DeliveryError::Failed(failure) = error else { panic!("{error:?}") };
    assert_eq!(failure.what, "rights are missing");
    let namespace = space.namespace();
    for right in [
        "get, list, watch, create, update, patch, delete deployments.apps",
        "get pods/log",
        "get, list, watch endpointslices.discovery.k8s.io",
    ] {
        let line = format!("may not {right} in namespace {namespace}");
        assert!(failure.evidence.contains(&line), "{line} is not in {:#?}", failure.evidence);
    }
    assert_eq!(failure.effect, tagline_delivery::UNCHANGED);
}

/// Whichever action looks first, and whatever it looks at.
#[tokio::test]
async fn every_plan_tells_who_may_see_nothing_every_right() {
    let server = Server::answering(|asked| match asked {
        "POST /apis/authorization.k8s.io/v1/selfsubjectrulesreviews" => {
            ok(&json!({"status": {"incomplete": false, "resourceRules": []}}))
        }
        _ => status(403, "Forbidden", "no: User \"u\" cannot list resource \"services\" in API group \"\""),
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let (cluster, site) = script::step(&server.url, folder.path()).await;
    let image = format!("r/m@sha256:{}", "0".repeat(64));
    let pods = json!({"spec": {"containers": [{"name": "m", "image": image}]}});
    let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "m"}, "spec": {"template": pods}});
    std::fs::write(folder.path().join("job.yaml"), job.to_string()).unwrap();
    let steps: [(&str, &[(&str, &str)]); 6] = [
        ("tagline/deploy@v1", &[]),
        // A Job that is a CronJob of the cluster, and one of the repository, for which the Services are listed.
        ("tagline/smoke-test@v1", &[("jobs", "cronjob/checks")]),
        ("tagline/smoke-test@v1", &[("jobs", "job.yaml"), ("images", image.as_str())]),
        ("tagline/migrate@v1", &[("job", "job.yaml"), ("image", image.as_str())]),
        ("tagline/operate@v1", &[("do", "restart"), ("workloads", "shop")]),
        (
            "tagline/rotate-secret@v1",
            &[("secret", "db"), ("generate", "password"), ("accounts", "none"), ("verify", "/health")],
        ),
    ];
    for (uses, with) in steps {
        let planned = action::plan(&site, &common::release::step(uses, with), &[], &cluster).await;
        let Err(DeliveryError::Failed(failure)) = planned else { panic!("{uses}: {planned:?}") };
        assert_eq!(failure.what, "rights are missing", "{uses}: {failure:#?}");
        for right in ["get, list, watch, create, update, patch, delete deployments.apps", "get pods/log"] {
            let line = format!("may not {right} in namespace shop");
            assert!(failure.evidence.contains(&line), "{uses}: {line} is not in {:#?}", failure.evidence);
        }
        assert_eq!(failure.effect, tagline_delivery::UNCHANGED, "{uses}");
    }
}

/// What is live stays so, and what it leaves for later is not lost, for want of Helm's record.
#[tokio::test]
async fn a_record_of_helm_that_is_refused_is_a_warning() {
    let server = Server::answering(|asked| {
        if asked.contains("/secrets") {
            let message = "secrets is forbidden: User \"u\" cannot list resource \"secrets\" in API group \"\"";
            return status(403, "Forbidden", message);
        }
        ok(&json!({"metadata": {"resourceVersion": "1"}, "items": []}))
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let (cluster, site) = script::step(&server.url, folder.path()).await;
    let Action::Deploy(inputs) = common::release::step("tagline/deploy@v1", &[]) else { panic!("a deploy") };
    let chart = Chart {
        release: "shop".to_owned(),
        metadata: json!({"name": "shop", "version": "0.1.0"}),
        defaults: json!({}),
        values: json!({}),
        manifest: String::new(),
        history: 10,
    };
    let deploy = json!({"unit": "shop", "version": "1.2.3", "release": "v1-2-3-1a2b3c4d", "inputs": inputs, "rendered": [],
        "jobs": [], "chart": chart, "place": null, "live": null, "changes": [], "prune": [], "warnings": []});
    let plan = json!({"format": action::FORMAT, "uses": "tagline/deploy@v1", "environment": "production",
        "version": "1.2.3", "target": site.target, "kind": {"deploy": deploy}});
    let plan: action::ActionPlan = serde_json::from_value(plan).unwrap();
    let link = common::Link::new();
    // The release was made live by an engine that was killed then.
    for (name, data) in [("switched", json!({"at": "2026-01-01T00:00:00Z"})), ("kept", json!({"retire": []}))] {
        let milestone = tagline_delivery::Milestone { name: name.to_owned(), text: String::new(), data };
        link.milestones.lock().unwrap().push(milestone);
    }
    let outcome = action::apply(&plan, &site, &cluster, &*link).await.unwrap_or_else(|error| panic!("{error:#?}"));
    assert_eq!(outcome.outputs["version"], "1.2.3");
    let said = link.said().join("\n");
    assert!(said.contains("warning: Helm's record is not written: not allowed: secrets is forbidden"), "{said}");
    assert!(said.contains("tagline doctor --role"), "{said}");
}

/// Charts are told what the cluster serves, as under `helm upgrade`.
#[tokio::test]
async fn what_the_cluster_serves_is_known() {
    let Some(space) = space("serves").await else { return };
    let served = space.cluster.capabilities().await.unwrap();
    for one in ["v1", "v1/Pod", "apps/v1", "apps/v1/Deployment", "policy/v1/PodDisruptionBudget"] {
        assert!(served.contains(&one.to_owned()), "{one} is not in {served:?}");
    }
}
