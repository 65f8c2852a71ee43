//! What a rollout of two pods costs: requests against `helm upgrade --wait`, counted; time against `kubectl apply` and
//! `kubectl rollout status`, side by side on the same cluster, shown only: time on a shared machine decides nothing.

mod common;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{Link, Space, space, web};
use serde_json::{Value, json};
use tagline_delivery::rollout::{Wait, wait_ready};

/// Rounds of the race. The best of each counts: what the machine does beside it only adds time.
const ROUNDS: usize = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollout_of_two_pods_costs_half_the_requests_of_helm() {
    let Some(space) = space("cost").await else { return };
    let Some(audit) = std::env::var_os("TAGLINE_TEST_AUDIT_LOG") else { return };
    if Command::new("helm").arg("version").stdout(Stdio::null()).status().is_err() {
        tagline_tests::gate::skip("helm", "it is not in PATH; cargo xtask cluster env puts it there");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    ours(&space, "ours", "v0").await;
    kubectl(&space, folder.path(), "kubectl", "v0");
    helm(&space, folder.path(), "v0", "tagline-warm-up");

    let (mut our_times, mut our_requests, mut kubectl_times) = (Vec::new(), 0, Vec::new());
    for round in 0..ROUNDS {
        let release = format!("v{}", round + 1);
        let (start, before) = (Instant::now(), space.cluster.requests());
        ours(&space, "ours", &release).await;
        our_times.push(start.elapsed());
        our_requests = space.cluster.requests() - before;
        let start = Instant::now();
        kubectl(&space, folder.path(), "kubectl", &release);
        kubectl_times.push(start.elapsed());
    }
    let user = format!("tagline-measures-{}", std::process::id());
    helm(&space, folder.path(), "v1", &user);
    let helm_requests = requests_of(Path::new(&audit), &user);
    let (our_time, kubectl_time) = (best(&our_times), best(&kubectl_times));
    let ours = format!("ours {our_requests} requests {our_time:?}");
    tagline_tests::gate::say(&format!(
        "rollout of two pods: {ours}, kubectl {kubectl_time:?}, helm {helm_requests} requests"
    ));
    assert!(our_requests * 2 <= helm_requests, "{our_requests} requests, helm has {helm_requests}");
}

fn best(times: &[Duration]) -> Duration {
    *times.iter().min().expect("there are rounds")
}

/// Ready as soon as they run: a probe's second would be most of the time.
fn manifest(name: &str, release: &str) -> Value {
    let mut manifest = web(name, release, release, 2);
    manifest["spec"]["template"]["spec"]["containers"][0]["readinessProbe"] = Value::Null;
    manifest
}

async fn ours(space: &Space, name: &str, release: &str) {
    let object = space.apply(manifest(name, release)).await;
    wait_ready(&space.cluster, &[object], &Wait::default(), &*Link::new()).await.expect("it gets ready");
}

fn run(space: &Space, program: &str, arguments: &[&str]) {
    let mut command = Command::new(program);
    let file = space.kubeconfig.display().to_string();
    command.args(arguments).args(["--kubeconfig", &file, "--namespace", space.namespace()]).stdin(Stdio::null());
    let output = command.output().expect("the program is there");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
}

fn kubectl(space: &Space, folder: &Path, name: &str, release: &str) {
    let file = folder.join("manifest.json");
    std::fs::write(&file, manifest(name, release).to_string()).expect("the folder is there");
    run(space, "kubectl", &["apply", "-f", &file.display().to_string()]);
    run(space, "kubectl", &["rollout", "status", &format!("deployment/{name}"), "--timeout=120s"]);
}

/// As a user of its own with all rights, so that the audit log tells its requests from all others.
fn helm(space: &Space, folder: &Path, release: &str, user: &str) {
    let chart = folder.join("chart");
    std::fs::create_dir_all(chart.join("templates")).expect("the folder is there");
    std::fs::write(chart.join("Chart.yaml"), "apiVersion: v2\nname: helmed\nversion: 0.1.0\n")
        .expect("the folder is there");
    std::fs::write(chart.join("templates/web.yaml"), manifest("helmed", release).to_string())
        .expect("the folder is there");
    let chart = chart.display().to_string();
    let arguments = [
        "upgrade",
        "helmed",
        &chart,
        "--install",
        "--wait",
        "--kube-as-user",
        user,
        "--kube-as-group",
        "system:masters",
    ];
    run(space, "helm", &arguments);
}

/// How many requests a user made, by the audit log; a watch, which has two lines, counts once.
fn requests_of(audit: &Path, user: &str) -> u64 {
    let text = std::fs::read_to_string(audit).expect("the audit log can be read");
    let lines = text.lines().filter(|line| line.contains(user));
    let events = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let own = events.filter(|event| event.pointer("/impersonatedUser/username") == Some(&json!(user)));
    let seen: BTreeSet<String> = own.map(|event| event["auditID"].to_string()).collect();
    u64::try_from(seen.len()).expect("a count")
}
