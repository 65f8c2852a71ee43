//! `kustomize build`.

use std::fs;

use super::{DEPLOYMENT, SERVICE, has, image, names, rendered, tree};

const OVERLAY: &str = "resources: [../../base]\nnamePrefix: p-\nreplicas: [{name: shop, count: 5}]\n\
    configMapGenerator: [{name: conf, literals: [mode=new, tag=1.10]}]\nimages: [{name: shop, newTag: \"1.10\"}]\n";

#[test]
fn an_overlay_is_built_without_touching_the_tree() {
    if !has("kustomize") {
        return;
    }
    let tree = tree(&[
        ("k8s/base/kustomization.yaml", "resources: [a.yaml, b.yaml]\n"),
        ("k8s/base/a.yaml", DEPLOYMENT),
        ("k8s/base/b.yaml", SERVICE),
        ("k8s/overlays/prod/kustomization.yaml", OVERLAY),
    ]);
    let found = rendered(tree.path(), &[("manifests", "k8s/overlays/prod"), ("images", &image("shop"))]).unwrap();
    let config = found.objects[0].name().to_owned();
    assert_eq!(
        names(&found),
        [format!("ConfigMap/{config}"), "Service/p-shop".to_owned(), "Deployment/p-shop".to_owned()]
    );
    assert_eq!(found.objects[0].text("/data/tag"), "1.10");
    assert_eq!(found.objects[2].number("/spec/replicas"), Some(5));
    assert_eq!(found.objects[2].text("/spec/template/spec/containers/0/envFrom/0/configMapRef/name"), config);
    // What kustomize named by content keeps its name.
    let mut objects = found.objects.clone();
    assert_eq!(tagline_delivery::render::config::name_by_content(&mut objects), []);
    assert_eq!(fs::read_dir(tree.path().join("k8s/overlays/prod")).unwrap().count(), 1);
}

#[test]
fn what_a_kustomization_must_not_do_is_said() {
    if !has("kustomize") {
        return;
    }
    let said = |kustomization: &str| {
        let tree = tree(&[("k8s/kustomization.yaml", kustomization), ("secret.yaml", SERVICE)]);
        let said = rendered(tree.path(), &[("manifests", "k8s")]).unwrap_err().to_string();
        assert!(!said.contains("/tmp"), "{said}");
        said
    };
    let fetched = "nothing is fetched while rendering: put a copy of it into the repository";
    let outside = said("resources: [../secret.yaml]\n");
    assert!(
        outside.ends_with("files are read from the kustomization's own folder only: make a base of them"),
        "{outside}"
    );
    let git = said("resources: [\"https://github.com/acme/base//k8s?ref=v1\"]\n");
    assert!(git.ends_with(fetched), "{git}");
    let web = said("resources: [\"https://example.org/all.yaml\"]\n");
    assert!(web.ends_with(fetched), "{web}");
    let chart = said("helmCharts: [{name: shop, repo: \"https://example.org\"}]\n");
    assert!(chart.ends_with("give chart, or commit what helm template prints"), "{chart}");
    let plugin = said("generators: [exec.yaml]\n");
    assert!(plugin.contains("kustomize build could not render k8s"), "{plugin}");
}
