//! Manifests to objects, with the real kustomize and helm where they are on `PATH` (they must be in CI).

#[path = "render/files.rs"]
mod files;
#[path = "render/helm.rs"]
mod helm;
#[path = "render/kustomize.rs"]
mod kustomize;

use std::fs;
use std::path::Path;

use indexmap::IndexMap;
use tagline_delivery::inputs::{Action, DeployInputs};
use tagline_delivery::render::{Programs, RenderError, Rendered, Request, render};
use tagline_delivery::{Site, Target};
use tempfile::TempDir;

/// A commit's tree with these files.
fn tree(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (path, text) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().expect("it is in the tree")).expect("a folder");
        fs::write(path, text).expect("a file");
    }
    folder
}

fn site(tree: &Path, built: &[String]) -> Site {
    Site {
        environment: "production".to_owned(),
        protected: false,
        target: Target { context: "none".to_owned(), namespace: "prod".to_owned() },
        kubeconfig: Vec::new(),
        repository: "shop".to_owned(),
        version: "1.2.3".to_owned(),
        commit: "0".repeat(40),
        run: 1,
        identity: String::new(),
        job: "deploy".to_owned(),
        attempt: 1,
        step: 0,
        tree: tree.to_owned(),
        built: built.to_vec(),
    }
}

fn deploy(with: &[(&str, &str)]) -> DeployInputs {
    let with: IndexMap<String, String> = with.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
    match Action::read("tagline/deploy@v1", &with) {
        Ok(Action::Deploy(inputs)) => *inputs,
        other => panic!("{other:?}"),
    }
}

/// Renders a step's unit.
fn rendered(tree: &Path, with: &[(&str, &str)]) -> Result<Rendered, RenderError> {
    let (site, inputs) = (site(tree, &[]), deploy(with));
    let request = Request {
        site: &site,
        unit: "shop",
        source: &inputs.source,
        helm: inputs.helm.as_ref(),
        images: &inputs.images,
        kube_version: Some("1.34.4"),
        api_versions: &["monitoring.coreos.com/v1/ServiceMonitor".to_owned()],
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(render(&request, &Programs::of_engine()))
}

/// `NAME=r/NAME@sha256:aaa…`
fn image(name: &str) -> String {
    format!("{name}=r/{name}@sha256:{}", "a".repeat(64))
}

/// Whether a program is there; where it is not, a skip is noted.
fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    if !found {
        tagline_tests::gate::skip(program, "it is not on PATH; cargo xtask cluster env adds it");
    }
    found
}

/// `Kind/name` of each object.
fn names(rendered: &Rendered) -> Vec<String> {
    rendered.objects.iter().map(|object| object.id().to_string()).collect()
}

const DEPLOYMENT: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: shop}\nspec:\n  replicas: 2\n  \
    selector: {matchLabels: {app: shop}}\n  template:\n    metadata: {labels: {app: shop}}\n    spec:\n      \
    containers:\n      - {name: shop, image: \"shop:dev\", envFrom: [{configMapRef: {name: conf}}]}\n";
const SERVICE: &str =
    "apiVersion: v1\nkind: Service\nmetadata: {name: shop}\nspec: {selector: {app: shop}, ports: [{port: 80}]}\n";
