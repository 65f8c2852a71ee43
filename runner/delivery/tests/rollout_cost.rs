//! What a rollout of two pods and the way back from it cost: requests, counted in the server's audit log by user, against
//! `helm upgrade --wait` and `kubectl rollout undo`; time against kubectl, side by side on the same cluster, shown only: time
//! on a shared machine decides nothing.
//!
//! Everybody works over the same wall time, until the pods are there; a watch is one request however long it stands.

mod common;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{Link, Space, space, web};
use serde_json::{Value, json};
use tagline_delivery::cluster::{Apply, Cluster, MANAGER};
use tagline_delivery::rollout::{Wait, wait_ready};
use tagline_delivery::{Object, Target};

/// Rounds of the race, each a rollout and the way back.
const ROUNDS: usize = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollout_and_its_way_back_cost_half_the_requests_of_helm_and_kubectl() {
    let Some(space) = space("cost").await else { return };
    let Some(audit) = std::env::var_os("TAGLINE_TEST_AUDIT_LOG") else { return };
    if Command::new("helm").arg("version").stdout(Stdio::null()).status().is_err() {
        tagline_tests::gate::skip("helm", "it is not in PATH; cargo xtask cluster env puts it there");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let cost = Cost { space: &space, folder: folder.path(), audit: audit.into() };
    let (ours, kubectl) = (user("ours"), user("kubectl"));
    let cluster = cost.cluster(&ours).await;
    // Whoever comes first asks what the server serves; nobody is counted for that.
    rollout(&cluster, "v0").await;
    cost.apply(&kubectl, "v0");
    cost.helm(&user("warm-up"), "v0");

    let (mut times, mut requests) = (Times::default(), Requests::default());
    for round in 0..ROUNDS {
        let release = format!("v{}", round + 1);
        times.ours.push(timed(rollout(&cluster, &release)).await);
        times.kubectl.push(timed(async { cost.apply(&kubectl, &release) }).await);
        let before = [cost.requests(&ours), cost.requests(&kubectl)];
        times.ours_back.push(timed(rollout(&cluster, "v0")).await);
        times.kubectl_back.push(timed(async { cost.undo(&kubectl) }).await);
        requests.ours_back = cost.requests(&ours) - before[0];
        requests.kubectl_back = cost.requests(&kubectl) - before[1];
    }
    let (before, helm) = (cost.requests(&ours), user("helm"));
    rollout(&cluster, "v1").await;
    cost.helm(&helm, "v1");
    (requests.ours, requests.helm) = (cost.requests(&ours) - before, cost.requests(&helm));
    tagline_tests::gate::say(&format!("rollout of two pods: {}, {}", times.text(), requests.text()));
    requests.hold();
}

/// How many requests a rollout and the way back took.
#[derive(Debug, Default)]
struct Requests {
    ours: usize,
    helm: usize,
    ours_back: usize,
    kubectl_back: usize,
}

impl Requests {
    fn text(&self) -> String {
        let Self { ours, helm, ours_back, kubectl_back } = self;
        format!("requests: {ours} (helm upgrade {helm}), back {ours_back} (kubectl rollout undo {kubectl_back})")
    }

    /// A rollout is at most half of Helm's; with the way back it is at most half of Helm's and kubectl's together. Of a way
    /// back alone so little is left in kubectl (it lists and watches the Deployment, we its pods too) that it is not half.
    #[track_caller]
    fn hold(&self) {
        let Self { ours, helm, ours_back, kubectl_back } = self;
        assert!(*ours > 0 && *ours_back > 0, "{self:?}");
        assert!(ours * 2 <= *helm, "{self:?}");
        assert!((ours + ours_back) * 2 <= helm + kubectl_back, "{self:?}");
        assert!(ours_back <= kubectl_back, "{self:?}");
    }
}

/// How long each round took.
#[derive(Default)]
struct Times {
    ours: Vec<Duration>,
    kubectl: Vec<Duration>,
    ours_back: Vec<Duration>,
    kubectl_back: Vec<Duration>,
}

impl Times {
    /// Medians and their ratio.
    fn text(&self) -> String {
        let of = |ours: &[Duration], theirs: &[Duration]| {
            let (ours, theirs) = (median(ours), median(theirs));
            format!("ours {ours:.2?}, kubectl {theirs:.2?}, ratio {:.2}", ours.as_secs_f64() / theirs.as_secs_f64())
        };
        let (out, back) = (of(&self.ours, &self.kubectl), of(&self.ours_back, &self.kubectl_back));
        format!("{out}; back: {back}")
    }
}

fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort();
    times[times.len() / 2]
}

async fn timed(work: impl Future<Output = ()>) -> Duration {
    let start = Instant::now();
    work.await;
    start.elapsed()
}

/// Ready as soon as they run: a probe's second would be most of the time.
fn manifest(name: &str, release: &str) -> Value {
    let mut manifest = web(name, release, release, 2);
    manifest["spec"]["template"]["spec"]["containers"][0]["readinessProbe"] = Value::Null;
    manifest
}

/// Applied and waited for, as a delivery does it, forward and back.
async fn rollout(cluster: &Cluster, release: &str) {
    let object = cluster.apply(&Object(manifest("ours", release)), Apply::by(MANAGER)).await.expect("it is applied");
    wait_ready(cluster, &[object], &Wait::default(), &*Link::new()).await.expect("it gets ready");
}

/// A user of its own with all rights, so that the audit log tells its requests from all others.
fn user(name: &str) -> String {
    format!("tagline-measures-{name}-{}", std::process::id())
}

struct Cost<'a> {
    space: &'a Space,
    folder: &'a Path,
    audit: PathBuf,
}

impl Cost<'_> {
    async fn cluster(&self, user: &str) -> Cluster {
        let text = std::fs::read_to_string(&self.space.kubeconfig).expect("the kubeconfig can be read");
        let mut config: Value = serde_yaml::from_str(&text).expect("it is YAML");
        for each in config["users"].as_array_mut().expect("it has users") {
            each["user"]["as"] = json!(user);
            each["user"]["as-groups"] = json!(["system:masters"]);
        }
        let path = self.folder.join("ours.json");
        std::fs::write(&path, config.to_string()).expect("the folder is there");
        let target = Target::clone(self.space.cluster.target());
        Cluster::connect(&target, &[path]).await.expect("it is known")
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let file = self.space.kubeconfig.display().to_string();
        let mut command = Command::new(program);
        command.args(arguments).args(["--kubeconfig", &file, "--namespace", self.space.namespace()]);
        let output = command.stdin(Stdio::null()).output().expect("the program is there");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{program} {arguments:?}: {said}");
    }

    fn kubectl(&self, user: &str, arguments: &[&str]) {
        let cache = self.folder.join("cache").display().to_string();
        self.run(
            "kubectl",
            &[arguments, &["--as", user, "--as-group", "system:masters", "--cache-dir", &cache]].concat(),
        );
    }

    fn apply(&self, user: &str, release: &str) {
        let file = self.folder.join("manifest.json");
        std::fs::write(&file, manifest("kubectl", release).to_string()).expect("the folder is there");
        self.kubectl(user, &["apply", "-f", &file.display().to_string()]);
        self.wait(user);
    }

    fn undo(&self, user: &str) {
        self.kubectl(user, &["rollout", "undo", "deployment/kubectl"]);
        self.wait(user);
    }

    fn wait(&self, user: &str) {
        self.kubectl(user, &["rollout", "status", "deployment/kubectl", "--timeout=120s"]);
    }

    fn helm(&self, user: &str, release: &str) {
        let chart = self.folder.join("chart");
        let file = |name: &str, text: &str| std::fs::write(chart.join(name), text).expect("the folder is there");
        std::fs::create_dir_all(chart.join("templates")).expect("the folder is there");
        file("Chart.yaml", "apiVersion: v2\nname: helmed\nversion: 0.1.0\n");
        file("templates/web.yaml", &manifest("helmed", release).to_string());
        let chart = chart.display().to_string();
        let who = ["--kube-as-user", user, "--kube-as-group", "system:masters"];
        self.run("helm", &[&["upgrade", "helmed", &chart, "--install", "--wait"][..], &who].concat());
    }

    /// How many requests a user made, by the audit log; a watch, which has two lines, counts once.
    fn requests(&self, user: &str) -> usize {
        let text = std::fs::read_to_string(&self.audit).expect("the audit log can be read");
        let lines = text.lines().filter(|line| line.contains(user));
        let events = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let own = events.filter(|event| event.pointer("/impersonatedUser/username") == Some(&json!(user)));
        own.map(|event| event["auditID"].to_string()).collect::<BTreeSet<_>>().len()
    }
}
