//! What the tests of delivery share: a namespace of the test cluster of their own, and a link to an engine that is none.
//!
//! Without `TAGLINE_TEST_KUBECONFIG` (see `docs/testing.md`) a test notes a skip and returns.
#![expect(dead_code, reason = "each test program uses its part of it")]

pub(crate) mod proxy;
pub(crate) mod quick;
pub(crate) mod release;
pub(crate) mod script;
pub(crate) mod users;

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tagline_delivery::cluster::{Apply, Cluster, Filter, MANAGER, Precondition, Propagation};
use tagline_delivery::progress::Later;
use tagline_delivery::{Milestone, Object, ObjectId, Progress, Stop, Target};

/// A namespace of the test cluster; removed with all that is in it when dropped.
pub(crate) struct Space {
    /// A connection to it as the cluster's administrator.
    pub(crate) cluster: Cluster,
    /// Where the administrator's kubeconfig is.
    pub(crate) kubeconfig: PathBuf,
}

/// The kubeconfig of the test cluster and its context; None, and a skip noted, where there is no cluster.
#[track_caller]
pub(crate) fn kubeconfig() -> Option<(PathBuf, String)> {
    let Some(path) = std::env::var_os("TAGLINE_TEST_KUBECONFIG").map(PathBuf::from) else {
        tagline_tests::gate::skip("cluster", "TAGLINE_TEST_KUBECONFIG is not set; cargo xtask cluster up, then env");
        return None;
    };
    let context = current_context(&path);
    Some((path, context))
}

/// The only place that looks at a current context: the test cluster's file names its own there.
fn current_context(path: &std::path::Path) -> String {
    let text = std::fs::read_to_string(path).expect("the kubeconfig can be read");
    let config: Value = serde_yaml::from_str(&text).expect("it is YAML");
    config["current-context"].as_str().expect("it names a context").to_owned()
}

/// A fresh namespace `tagline-test-NAME-…`; None, and a skip noted, where there is no cluster.
pub(crate) async fn space(name: &str) -> Option<Space> {
    let (kubeconfig, context) = kubeconfig()?;
    let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_nanos();
    let namespace = format!("tagline-test-{name}-{}-{:x}", std::process::id(), nanos & 0xFFFF_FFFF);
    let target = Target { context, namespace: namespace.clone() };
    let cluster = Cluster::connect(&target, std::slice::from_ref(&kubeconfig)).await.expect("the cluster is known");
    let cluster = cluster.with_patience(Duration::from_mins(1));
    let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
    cluster.create(&Object(object), "tagline-tests").await.expect("a namespace can be made");
    // Pods need it, and a controller makes it a moment later.
    let account = ObjectId::new("v1", "ServiceAccount", &namespace, "default");
    let mut watch = cluster.watch("v1", "ServiceAccount", Filter::default()).await.expect("it can be watched");
    while !watch.next().await.expect("it is watched").iter().any(|each| each.name() == account.name) {}
    Some(Space { cluster, kubeconfig })
}

impl Space {
    /// Its name.
    pub(crate) fn namespace(&self) -> &str {
        self.cluster.namespace()
    }

    /// Applies an object as [`MANAGER`].
    pub(crate) async fn apply(&self, object: Value) -> Object {
        self.cluster.apply(&Object(object), Apply::by(MANAGER)).await.expect("it is applied")
    }

    /// Another connection to it, by another kubeconfig or context.
    pub(crate) async fn connect(&self, kubeconfig: PathBuf, context: &str) -> Cluster {
        let target = Target { context: context.to_owned(), namespace: self.namespace().to_owned() };
        Cluster::connect(&target, &[kubeconfig]).await.expect("it is known")
    }

    /// A connection as a user who has no rights of its own; None where the cluster has none.
    pub(crate) async fn restricted(&self) -> Option<Cluster> {
        let kubeconfig = std::env::var_os("TAGLINE_TEST_KUBECONFIG_RESTRICTED")?;
        let text = std::fs::read_to_string(&kubeconfig).expect("the kubeconfig can be read");
        let parsed: Value = serde_yaml::from_str(&text).expect("the kubeconfig is YAML");
        let context = parsed["current-context"].as_str().expect("it has a context");
        Some(self.connect(kubeconfig.into(), context).await)
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        let (target, kubeconfig) = (self.cluster.target().clone(), self.kubeconfig.clone());
        // Drop cannot wait within the test's runtime, which may be ending.
        let remove = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let cluster = Cluster::connect(&target, &[kubeconfig]).await?.with_patience(Duration::from_secs(30));
                let id = ObjectId {
                    api_version: "v1".to_owned(),
                    kind: "Namespace".to_owned(),
                    namespace: None,
                    name: target.namespace,
                };
                if let Some(now) = cluster.get(&id).await? {
                    cluster.delete(&id, &Precondition::same(&now), Propagation::Background).await?;
                }
                Ok::<_, tagline_delivery::cluster::ClusterError>(())
            })
        });
        if !matches!(remove.join(), Ok(Ok(()))) {
            let _ = writeln!(std::io::stderr(), "a test namespace could not be removed");
        }
    }
}

/// A link to an engine: keeps what it is told. Time is the machine's.
#[derive(Default)]
pub(crate) struct Link {
    /// Lines and warnings.
    pub(crate) lines: Mutex<Vec<String>>,
    /// Milestones, those of earlier engines too.
    pub(crate) milestones: Mutex<Vec<Milestone>>,
    /// Files of evidence.
    pub(crate) files: Mutex<Vec<(String, Vec<u8>)>>,
    stop: tokio::sync::watch::Sender<Option<Stop>>,
    count: tokio::sync::watch::Sender<usize>,
}

impl Link {
    /// A new one.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// What was said so far.
    pub(crate) fn said(&self) -> Vec<String> {
        self.lines.lock().expect("no test panics with it").clone()
    }

    /// Until a line that begins so was said; a minute at most.
    pub(crate) async fn until(&self, begin: &str) {
        self.until_holds(|link| link.said().iter().any(|line| line.starts_with(begin))).await;
    }

    /// Until a milestone of this name; a minute at most.
    pub(crate) async fn until_reached(&self, name: &str) {
        self.until_holds(|link| link.reached().iter().any(|one| one == name)).await;
    }

    /// Until what was said or recorded is so; a minute at most.
    pub(crate) async fn until_holds(&self, holds: impl Fn(&Self) -> bool) {
        let mut count = self.count.subscribe();
        let held = tokio::time::timeout(Duration::from_mins(1), count.wait_for(|_| holds(self))).await;
        held.expect("it holds within a minute").expect("the sender lives as long as the link");
    }

    /// The names of the milestones so far.
    pub(crate) fn reached(&self) -> Vec<String> {
        self.milestones.lock().expect("no test panics with it").iter().map(|each| each.name.clone()).collect()
    }

    /// Tells the action to end.
    pub(crate) fn end(&self, stop: Stop) {
        self.stop.send_replace(Some(stop));
    }
}

impl Progress for Link {
    fn say(&self, line: String) {
        self.lines.lock().expect("no test panics with it").push(line);
        self.count.send_modify(|count| *count += 1);
    }

    fn warn(&self, line: String) {
        self.say(format!("warning: {line}"));
    }

    fn milestones(&self) -> Vec<Milestone> {
        self.milestones.lock().expect("no test panics with it").clone()
    }

    fn record(&self, milestone: Milestone) -> Later<'_, Result<(), Stop>> {
        self.milestones.lock().expect("no test panics with it").push(milestone);
        self.count.send_modify(|count| *count += 1);
        Box::pin(async { Ok(()) })
    }

    fn keep(&self, name: String, bytes: Vec<u8>) -> Later<'_, Result<(), Stop>> {
        self.files.lock().expect("no test panics with it").push((name, bytes));
        Box::pin(async { Ok(()) })
    }

    fn stopped(&self) -> Later<'_, Stop> {
        let mut stop = self.stop.subscribe();
        Box::pin(async move {
            let told = stop.wait_for(Option::is_some).await.expect("the sender lives as long as the link");
            told.clone().expect("waited for")
        })
    }

    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn sleep(&self, duration: Duration) -> Later<'_, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// The test image by tag: busybox with `httpd`.
#[track_caller]
pub(crate) fn image() -> String {
    let registry = std::env::var("TAGLINE_TEST_REGISTRY").expect("the cluster's registry is known");
    format!("{registry}/tagline-test/busybox:latest")
}

/// A Deployment `name` whose pods answer `/` on port 8080 with `text`, labels `app: NAME` and the release.
pub(crate) fn web(name: &str, release: &str, text: &str, replicas: u32) -> Value {
    let serve = format!("mkdir -p /tmp/w && echo '{text}' > /tmp/w/index.html && exec httpd -f -p 8080 -h /tmp/w");
    deployment(
        name,
        release,
        replicas,
        &json!({
            "name": "web", "image": image(), "command": ["sh", "-c", serve],
            "ports": [{"containerPort": 8080}],
            "readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1},
        }),
    )
}

/// A Deployment of one container.
pub(crate) fn deployment(name: &str, release: &str, replicas: u32, container: &Value) -> Value {
    let labels = json!({"app": name, "tagline.dev/release": release});
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"terminationGracePeriodSeconds": 1, "containers": [container]},
            },
        },
    })
}

/// A Service on port 80 to port 8080 of the pods with these labels.
pub(crate) fn service(name: &str, selector: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
        "spec": {"selector": selector, "ports": [{"port": 80, "targetPort": 8080}]},
    })
}
