//! A small application, released again and again, with users who count what fails.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use serde_json::{Value, json};
use tagline_delivery::action::{self, ActionPlan, Outcome, Past};
use tagline_delivery::cluster::Labels;
use tagline_delivery::inputs::Action;
use tagline_delivery::{DeliveryError, Progress, Site};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Link, Space, image};

/// The test image by digest.
pub(crate) async fn image_by_digest() -> String {
    let tagged = image();
    let (repository, tag) = tagged.rsplit_once(':').expect("it has a tag");
    let (registry, name) = repository.split_once('/').expect("it has a registry");
    let url = format!("http://{registry}/v2/{name}/manifests/{tag}");
    let accept = "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json, \
                  application/vnd.oci.image.index.v1+json";
    let answer = reqwest::Client::new().head(url).header("Accept", accept).send().await.expect("the registry answers");
    let digest = answer.headers()["docker-content-digest"].to_str().expect("a digest").to_owned();
    format!("{repository}@{digest}")
}

/// One version of the application.
#[derive(Clone)]
pub(crate) struct App {
    /// What its pods answer.
    pub(crate) version: String,
    /// `REPOSITORY@sha256:…`
    pub(crate) image: String,
    /// Never ready.
    pub(crate) broken: bool,
    /// Workloads beside `shop`.
    pub(crate) others: Vec<String>,
}

impl App {
    pub(crate) async fn new(version: &str) -> Self {
        Self { version: version.to_owned(), image: image_by_digest().await, broken: false, others: Vec::new() }
    }

    pub(crate) fn broken(self) -> Self {
        Self { broken: true, ..self }
    }

    pub(crate) fn with(mut self, other: &str) -> Self {
        self.others.push(other.to_owned());
        self
    }

    /// A Deployment that answers with its version, reads a ConfigMap, and ends gently.
    pub(crate) fn deployment(&self, name: &str, replicas: u32) -> Value {
        let serve = "mkdir -p /tmp/w && echo \"$VERSION $MODE\" > /tmp/w/index.html && exec httpd -f -p 8080 -h /tmp/w";
        let path = if self.broken { "/never" } else { "/" };
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "labels": {"app": "shop"}},
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "shop", "pool": name}},
                "template": {"metadata": {"labels": {"app": "shop", "pool": name}},
                    "spec": {"terminationGracePeriodSeconds": 10, "containers": [{
                        "name": "web", "image": self.image, "command": ["sh", "-c", serve],
                        "env": [{"name": "VERSION", "value": self.version},
                            {"name": "MODE", "valueFrom": {"configMapKeyRef": {"name": "shop-config", "key": "mode"}}}],
                        "ports": [{"name": "http", "containerPort": 8080}],
                        "readinessProbe": {"httpGet": {"path": path, "port": 8080}, "periodSeconds": 1},
                        "lifecycle": {"preStop": {"sleep": {"seconds": 2}}},
                    }]}}},
        })
    }

    /// Everything of it.
    pub(crate) fn manifests(&self) -> Vec<Value> {
        let mut objects = vec![
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "shop-config"},
                "data": {"mode": format!("mode-{}", self.version)}}),
            json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "shop"}, "spec": {"type": "NodePort",
                "selector": {"app": "shop"}, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]}}),
            json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "shop"},
                "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "shop"}}}}),
            json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "shop"},
                "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "shop"}, "minReplicas": 2,
                    "maxReplicas": 4, "metrics": [{"type": "Resource", "resource":
                        {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}]}}),
            self.deployment("shop", 2),
        ];
        objects.extend(self.others.iter().map(|name| self.deployment(name, 1)));
        objects
    }
}

/// Writes manifests into a tree of their own.
pub(crate) fn tree(objects: &[Value]) -> tempfile::TempDir {
    let tree = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(tree.path().join("k8s")).expect("a folder");
    let texts: Vec<String> = objects.iter().map(ToString::to_string).collect();
    std::fs::write(tree.path().join("k8s/all.yaml"), texts.join("\n---\n")).expect("it is written");
    tree
}

/// Where a release goes out.
pub(crate) fn site(space: &Space, version: &str, image: &str, tree: &Path) -> Site {
    Site {
        environment: "production".to_owned(),
        protected: false,
        target: space.cluster.target().clone(),
        kubeconfig: vec![space.kubeconfig.clone()],
        repository: "shop".to_owned(),
        version: version.to_owned(),
        commit: "0".repeat(40),
        run: 1,
        identity: String::new(),
        job: "deploy".to_owned(),
        attempt: 1,
        step: 0,
        tree: tree.to_owned(),
        built: image.rsplit_once('@').map(|(_, digest)| digest.to_owned()).into_iter().collect(),
    }
}

/// A step that is fast enough for tests.
pub(crate) fn step(uses: &str, with: &[(&str, &str)]) -> Action {
    let mut all: IndexMap<String, String> = IndexMap::new();
    if uses.starts_with("tagline/deploy") {
        for (key, value) in [
            ("manifests", "k8s"),
            ("timeout", "90s"),
            ("progress-deadline", "30s"),
            ("min-ready", "1s"),
            ("watch", "0s"),
            ("smoke", "/ text \"mode-\""),
            ("smoke-attempts", "2"),
        ] {
            all.insert(key.to_owned(), value.to_owned());
        }
    }
    all.extend(with.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    Action::read(uses, &all).expect("the step can be read")
}

pub(crate) const BLUE_GREEN: [(&str, &str); 3] = [("strategy", "blue-green"), ("drain", "2s"), ("keep-old", "24h")];

/// A release, planned.
pub(crate) struct Release {
    pub(crate) site: Site,
    pub(crate) plan: ActionPlan,
    _tree: tempfile::TempDir,
}

/// Plans a release of manifests.
pub(crate) async fn plan_objects(
    space: &Space,
    app: &App,
    objects: &[Value],
    with: &[(&str, &str)],
) -> Result<Release, DeliveryError> {
    let tree = tree(objects);
    let site = site(space, &app.version, &app.image, tree.path());
    let plan = action::plan(&site, &step("tagline/deploy@v1", with), &[], &space.cluster).await?;
    Ok(Release { site, plan, _tree: tree })
}

/// Plans a release of the application.
pub(crate) async fn plan(space: &Space, app: &App, with: &[(&str, &str)]) -> Result<Release, DeliveryError> {
    plan_objects(space, app, &app.manifests(), with).await
}

impl Release {
    /// Carries it out.
    pub(crate) async fn apply(&self, space: &Space, link: &Link) -> Result<Outcome, DeliveryError> {
        action::apply(&self.plan, &self.site, &space.cluster, link).await
    }

    /// As a run remembers it.
    pub(crate) fn past(&self, link: &Link) -> Past {
        let begun = link.milestones().into_iter().find(|each| each.name == "begun");
        Past { plan: self.plan.clone(), begun: begun.map(|each| each.data).unwrap_or_default(), open: false }
    }
}

/// Plans and carries out; shows what was said where it fails.
pub(crate) async fn deliver(space: &Space, app: &App, with: &[(&str, &str)]) -> (Release, Arc<Link>, Outcome) {
    let link = Link::new();
    let release = plan(space, app, with).await.unwrap_or_else(|error| panic!("{error:#?}"));
    match release.apply(space, &link).await {
        Ok(outcome) => (release, link, outcome),
        Err(error) => panic!("{error:#?}\n{}", link.said().join("\n")),
    }
}

/// Goes back.
pub(crate) async fn roll_back(space: &Space, past: &[Past], with: &[(&str, &str)]) -> (Arc<Link>, Outcome) {
    let tree = tree(&[]);
    let site = site(space, "0.0.0-0000000", "", tree.path());
    let with = [&[("timeout", "1m"), ("drain", "2s")], with].concat();
    let plan = action::plan(&site, &step("tagline/rollback@v1", &with), past, &space.cluster).await;
    let plan = plan.unwrap_or_else(|error| panic!("{error:#?}"));
    let link = Link::new();
    match action::apply(&plan, &site, &space.cluster, &*link).await {
        Ok(outcome) => (link, outcome),
        Err(error) => panic!("{error:#?}\n{}", link.said().join("\n")),
    }
}

/// The NodePort of `shop`.
pub(crate) async fn node_port(space: &Space) -> u64 {
    let id = tagline_delivery::ObjectId::new("v1", "Service", space.namespace(), "shop");
    let service = space.cluster.get(&id).await.expect("the cluster answers").expect("the Service is there");
    service.list("/spec/ports")[0]["nodePort"].as_u64().expect("a NodePort")
}

/// Asks once.
pub(crate) async fn ask(port: u64) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).await?;
    stream.write_all(b"GET / HTTP/1.0\r\nHost: shop\r\n\r\n").await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    Ok(text)
}

/// What is answered now.
pub(crate) async fn answer(space: &Space) -> String {
    let text = ask(node_port(space).await).await.expect("it answers");
    text.rsplit("\r\n").next().unwrap_or_default().trim().to_owned()
}

/// The names of Deployments and how many pods each wants.
pub(crate) async fn deployments(space: &Space) -> Vec<(String, i64)> {
    let all = space.cluster.list("apps/v1", "Deployment", &Labels::new()).await.expect("the cluster answers");
    let mut all: Vec<_> =
        all.iter().map(|each| (each.name().to_owned(), each.number("/spec/replicas").unwrap_or(1))).collect();
    all.sort();
    all
}

/// As `kubectl apply` leaves objects: its own manager, nothing of Tagline's.
pub(crate) async fn kubectl_apply(space: &Space, objects: &[Value]) {
    for object in objects {
        let mut object = tagline_delivery::Object(object.clone());
        object.set("/metadata/namespace", json!(space.namespace()));
        space.cluster.create(&object, "kubectl-client-side-apply").await.expect("it is made");
    }
}

/// Waits until a Deployment is.
pub(crate) async fn until_ready(space: &Space, name: &str) {
    let id = tagline_delivery::ObjectId::new("apps/v1", "Deployment", space.namespace(), name);
    let object = space.cluster.get(&id).await.expect("the cluster answers").expect("it is there");
    let wait = tagline_delivery::rollout::Wait { timeout: Duration::from_mins(1), ..Default::default() };
    tagline_delivery::rollout::wait_ready(&space.cluster, &[object], &wait, &*Link::new())
        .await
        .expect("it gets ready");
}

/// Everything that a release touches, as anybody would apply it.
pub(crate) async fn whole(space: &Space) -> Vec<Value> {
    let mut found = Vec::new();
    for (api_version, kind) in [
        ("apps/v1", "Deployment"),
        ("v1", "Service"),
        ("v1", "ConfigMap"),
        ("autoscaling/v2", "HorizontalPodAutoscaler"),
        ("policy/v1", "PodDisruptionBudget"),
    ] {
        for mut object in space.cluster.list(api_version, kind, &Labels::new()).await.expect("the cluster answers") {
            for pointer in ["/metadata/resourceVersion", "/metadata/generation", "/metadata/managedFields", "/status"] {
                object.remove(pointer);
            }
            found.push(object.0);
        }
    }
    found
}
