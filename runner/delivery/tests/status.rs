//! The view of an environment, of a cluster that does not show everything.

mod common;

use common::script::{Act, Server, ok, status, step};
use serde_json::{Value, json};
use tagline_delivery::status::{Health, read};

fn list(items: &[Value]) -> Act {
    ok(&json!({"kind": "List", "metadata": {"resourceVersion": "1"}, "items": items}))
}

#[tokio::test]
async fn what_may_not_be_read_is_told_and_a_pod_in_trouble_shows_its_last_lines() {
    let server = Server::answering(|asked| {
        let pod = json!({"metadata": {"name": "w-1", "labels": {"app": "w"}}, "status": {"phase": "Running",
            "containerStatuses": [{"name": "c", "restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}});
        let workload = json!({"metadata": {"name": "w", "generation": 1}, "spec": {"replicas": 1, "template":
            {"metadata": {"labels": {"app": "w"}}}}, "status": {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1}});
        match asked {
            asked if asked.contains("/log?") => {
                let lines: Vec<String> = (1..=9).map(|number| format!("line {number}\n")).collect();
                Act::Answer(200, "Content-Type: text/plain\r\n", lines.concat())
            }
            asked if asked.contains("/events") => status(403, "Forbidden", "events is forbidden: User \"ci\" cannot list resource \"events\" in API group \"\" in the namespace \"shop\""),
            asked if asked.contains("/pods") => list(&[pod]),
            asked if asked.contains("/deployments") => list(&[workload]),
            asked if asked.contains("metrics.k8s.io") => status(404, "NotFound", "not found"),
            _ => list(&[]),
        }
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let (cluster, _) = step(&server.url, folder.path()).await;
    let found = read(&cluster).await.unwrap();
    let unread: Vec<_> = found.unread.iter().map(|one| one.kind.as_str()).collect();
    assert_eq!((found.health, unread), (Health::Degraded, vec!["Event"]));
    assert!(found.unread[0].why.contains("forbidden") && found.unread[0].next.contains("doctor --role"));
    assert_eq!(found.workloads[0].pods[0].log, ["line 5", "line 6", "line 7", "line 8", "line 9"]);
    let notes = server.asked().into_iter().find(|asked| asked.contains("/configmaps")).unwrap();
    assert!(notes.contains("labelSelector=tagline.dev%2Foperation"), "only notes are read: {notes}");
}
