//! What a Job printed may be its result: its log is read once its pod has ended, and one that cannot be read is no empty one.
//! A Job that failed is told by its step, and tried again where it was put off. A scripted server is asked, and no cluster.

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::Link;
use common::script::{Act, Server, ok, status, step};
use serde_json::{Value, json};
use tagline_delivery::job::{self, Ended, JobPlan, Scope, Work};
use tagline_delivery::{DeliveryError, Object};

const FIRST: &str = "begun\n";
const WHOLE: &str = "begun\ntagline:{\"rows\": 3}\n";

/// The Job that the server has: complete.
fn complete() -> Value {
    json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": "checks-1", "namespace": "shop", "uid": "u1", "resourceVersion": "5"},
        "spec": {"completions": 1},
        "status": {"succeeded": 1, "conditions": [{"type": "Complete", "status": "True"}]},
    })
}

/// Its pod.
fn pod(phase: &str) -> Value {
    let state = if phase == "Running" { json!({"running": {}}) } else { json!({"terminated": {"exitCode": 0}}) };
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "checks-1-abc", "namespace": "shop", "uid": "u2", "resourceVersion": "6"},
        "status": {"phase": phase, "containerStatuses": [{"name": "main", "state": state}]},
    })
}

fn list(items: &[Value]) -> Act {
    ok(&json!({"metadata": {"resourceVersion": "5"}, "items": items}))
}

fn log(text: &str) -> Act {
    Act::Answer(200, "Content-Type: text/plain\r\n", text.to_owned())
}

/// A log that nobody may read.
fn unreadable() -> Act {
    status(403, "Forbidden", "no: User \"u\" cannot get resource \"pods/log\" in API group \"\"")
}

/// What a request of these tests is for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    /// The Jobs that were made before for the same.
    Known,
    /// The Job that is followed, or its pods, once.
    Jobs,
    Pods,
    /// The same, as they change.
    WatchJobs,
    WatchPods,
    Log,
    /// The last lines of a log that is too long.
    LastLines,
    /// A Job is made, or its result written to it.
    Write,
}

fn read(line: &str) -> Asked {
    let (watch, is) = (line.contains("watch=true"), |begin: &str| line.starts_with(begin));
    match line {
        _ if is("POST ") || is("PATCH ") => Asked::Write,
        _ if line.contains("/log?") && line.contains("tailLines=") => Asked::LastLines,
        _ if line.contains("/log?") => Asked::Log,
        _ if is("GET /api/v1/namespaces/shop/pods?") && watch => Asked::WatchPods,
        _ if is("GET /api/v1/namespaces/shop/pods?") => Asked::Pods,
        _ if watch => Asked::WatchJobs,
        _ if line.contains("labelSelector=") => Asked::Known,
        _ => Asked::Jobs,
    }
}

/// Runs the Job against a server that answers so.
async fn run(link: &Link, mut answer: impl FnMut(Asked) -> Act + Send + 'static) -> Result<Ended, DeliveryError> {
    let server = Server::answering(move |line| answer(read(line))).await;
    of_server(&server, link, Scope::Step).await
}

/// Runs the Job against this server.
async fn of_server(server: &Server, link: &Link, scope: Scope<'_>) -> Result<Ended, DeliveryError> {
    let folder = tempfile::tempdir().expect("a folder");
    let (cluster, site) = step(&server.url, folder.path()).await;
    let object = json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "checks", "namespace": "shop"},
        "spec": {"template": {"spec": {"containers": [{"name": "main", "image": "i"}]}}},
    });
    let plan = JobPlan { source: "job.yaml".to_owned(), container: "main".to_owned(), object: Object(object) };
    let timeout = Duration::from_mins(1);
    let work = Work { plan: &plan, purpose: "test", unit: "shop", scope, retries: 0, timeout };
    job::run(&cluster, &site, &work, link).await
}

/// The Job is seen to be complete while its pod is seen to run: what is in the log then is not all of it.
#[tokio::test]
async fn the_log_of_a_complete_job_is_read_once_its_pod_has_ended() {
    let link = Link::new();
    // The pod is seen to end after its log was looked at: before, the watch of pods has nothing to say.
    let (mut looked, mut over) = (false, false);
    let answer = move |asked| match asked {
        Asked::Known => list(&[]),
        Asked::Write => ok(&complete()),
        Asked::Jobs => list(&[complete()]),
        Asked::Pods => list(&[pod("Running")]),
        Asked::WatchJobs => Act::Hold(Vec::new()),
        Asked::WatchPods if looked => {
            over = true;
            Act::Hold(vec![format!("{}\n", json!({"type": "MODIFIED", "object": pod("Succeeded")}))])
        }
        Asked::WatchPods => Act::Stream(Vec::new()),
        Asked::Log | Asked::LastLines => {
            looked = true;
            log(if over { WHOLE } else { FIRST })
        }
    };
    let ended = run(&link, answer).await.expect("it is complete");
    assert_eq!((ended.log.as_str(), ended.already), (WHOLE, false));
    assert_eq!(ended.result, Some(json!({"rows": 3})));
    assert_eq!(link.said(), WHOLE.lines().collect::<Vec<_>>());
    let files = link.files.lock().expect("no test panics with it").clone();
    assert_eq!(files, [("job-checks-1.log".to_owned(), WHOLE.as_bytes().to_vec())]);
}

/// A Job that was followed to its end.
#[tokio::test]
async fn a_log_that_cannot_be_read_at_the_end_is_an_error() {
    let link = Link::new();
    let answer = |asked| match asked {
        Asked::Known => list(&[]),
        Asked::Write => ok(&complete()),
        Asked::Jobs => list(&[complete()]),
        Asked::Pods => list(&[pod("Succeeded")]),
        Asked::WatchJobs | Asked::WatchPods => Act::Hold(Vec::new()),
        Asked::Log | Asked::LastLines => unreadable(),
    };
    let error = run(&link, answer).await.expect_err("nobody knows what it printed");
    assert!(error.to_string().contains("cannot get resource \"pods/log\""), "{error}");
    assert!(link.files.lock().expect("no test panics with it").is_empty());
}

/// A Job that was complete before: the engine that waited for it ended before it had read the log.
#[tokio::test]
async fn a_log_that_cannot_be_read_later_is_an_error() {
    let link = Link::new();
    let answer = |readable: bool| {
        move |asked| match asked {
            Asked::Known => list(&[complete()]),
            Asked::Pods => list(&[pod("Succeeded")]),
            Asked::Log if readable => log(WHOLE),
            Asked::Log | Asked::LastLines => unreadable(),
            // It is not run again.
            _ => status(404, "NotFound", "not for this test"),
        }
    };
    let error = run(&link, answer(false)).await.expect_err("nobody knows what it printed");
    assert!(error.to_string().contains("cannot get resource \"pods/log\""), "{error}");
    let ended = run(&link, answer(true)).await.expect("it is complete");
    assert_eq!((ended.log.as_str(), ended.result, ended.already), (WHOLE, Some(json!({"rows": 3})), true));
}

/// A verbose Job: its result stands behind what is read of a log from its beginning.
#[tokio::test]
async fn the_result_at_the_end_of_a_long_log_is_found() {
    let long = "a row\n".repeat((5 << 20) / 6);
    let answer = move |asked| match asked {
        Asked::Known => list(&[]),
        Asked::Write => ok(&complete()),
        Asked::Jobs => list(&[complete()]),
        Asked::Pods => list(&[pod("Succeeded")]),
        Asked::WatchJobs | Asked::WatchPods => Act::Hold(Vec::new()),
        Asked::Log => log(&long),
        Asked::LastLines => log(WHOLE),
    };
    let ended = run(&Link::new(), answer.clone()).await.expect("it is complete");
    assert_eq!((ended.result, ended.already), (Some(json!({"rows": 3})), false));
    let known = move |asked| if asked == Asked::Known { list(&[complete()]) } else { answer(asked) };
    let ended = run(&Link::new(), known).await.expect("it was complete");
    assert_eq!((ended.result, ended.already), (Some(json!({"rows": 3})), true));
}

/// A Job of an earlier try that failed.
fn failed(number: u32) -> Value {
    let mut job = complete();
    job["metadata"]["name"] = json!(format!("checks-{number}"));
    job["metadata"]["labels"] = json!({"tagline.dev/attempt": number.to_string()});
    job["metadata"]["annotations"] = json!({"tagline.dev/run": "1/deploy/1/0"});
    job["status"]["conditions"][0]["type"] = json!("Failed");
    job
}

/// The last part of a request's path.
fn place(line: &str) -> String {
    let path = line.split('?').next().unwrap_or_default();
    path.rsplit('/').next().unwrap_or_default().to_owned()
}

/// Runs it where two tries of it have failed before; gives back how it ended, and the Jobs made and deleted.
async fn after_failures(scope: Scope<'_>) -> (Result<Ended, DeliveryError>, Vec<String>) {
    let changes = Arc::new(Mutex::new(Vec::new()));
    let (seen, mut made) = (Arc::clone(&changes), false);
    let server = Server::answering(move |line| {
        if line.starts_with("POST ") || line.starts_with("DELETE ") {
            seen.lock().expect("no test panics with it").push(place(line));
        }
        match read(line) {
            Asked::Known => list(&[failed(1), failed(2)]),
            _ if line.starts_with("DELETE ") => ok(&failed(1)),
            Asked::Write => {
                made = true;
                ok(&complete())
            }
            Asked::Jobs if made => list(&[complete()]),
            Asked::Jobs => list(&[failed(2)]),
            Asked::Pods => list(&[pod("Succeeded")]),
            Asked::WatchJobs | Asked::WatchPods => Act::Hold(Vec::new()),
            Asked::Log | Asked::LastLines => log(WHOLE),
        }
    })
    .await;
    let ended = of_server(&server, &Link::new(), scope).await;
    let changes = changes.lock().expect("no test panics with it").clone();
    (ended, changes)
}

#[tokio::test]
async fn what_was_put_off_is_tried_again_after_it_failed() {
    let (ended, changes) = after_failures(Scope::Later).await;
    assert!(!ended.expect("this try is complete").already);
    // Of those that failed the last one stays to be looked at.
    assert_eq!(changes, ["checks-1", "jobs"]);
    let (told, changes) = after_failures(Scope::Step).await;
    assert!(told.is_err(), "a step tells how its Job failed");
    assert!(changes.is_empty(), "{changes:?}");
}
