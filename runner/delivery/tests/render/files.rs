//! Plain files.

use tagline_delivery::render::config;

use super::{DEPLOYMENT, SERVICE, image, names, rendered, tree};

#[test]
fn a_folder_becomes_objects_in_order_and_namespace() {
    let tree = tree(&[
        ("k8s/b.yml", SERVICE),
        ("k8s/a.yaml", DEPLOYMENT),
        ("k8s/c.json", r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"conf"},"data":{"a":"1"}}"#),
        ("k8s/notes.txt", "no manifest"),
        ("k8s/more/d.yaml", "not: read"),
    ]);
    let mut found = rendered(tree.path(), &[("manifests", "k8s"), ("images", &image("shop"))]).unwrap();
    assert_eq!(names(&found), ["ConfigMap/conf", "Service/shop", "Deployment/shop"]);
    assert!(found.objects.iter().all(|object| object.namespace() == Some("prod")));
    assert!(found.objects[2].text("/spec/template/spec/containers/0/image").starts_with("r/shop@sha256:a"));
    let named = config::name_by_content(&mut found.objects);
    assert_eq!(found.objects[2].text("/spec/template/spec/containers/0/envFrom/0/configMapRef/name"), named[0].to);
}

#[test]
fn errors_name_file_document_and_line_and_the_nearest_folder() {
    let tree = tree(&[
        ("k8s/overlays/prod/a.yaml", &format!("{SERVICE}---\nkind: Service\nmetadata: {{name: b}}\n")),
        ("k8s/overlays/dev/a.yaml", SERVICE),
        ("k8s/overlays/twice/a.yaml", SERVICE),
        ("k8s/overlays/twice/b.yaml", SERVICE),
        ("k8s/empty/a.yaml", "# nothing\n"),
    ]);
    let said = |path: &str| rendered(tree.path(), &[("manifests", path)]).unwrap_err().to_string();
    assert_eq!(said("k8s/overlays/prod"), "k8s/overlays/prod/a.yaml: document 2 (line 6): Service has no apiVersion");
    assert_eq!(
        said("k8s/overlays/prd"),
        "no kustomization.yaml, Chart.yaml or *.yaml under k8s/overlays/prd; found: dev, prod, twice; did you mean prod?"
    );
    assert_eq!(
        said("k8s/overlays/twice"),
        "Service/shop is written twice: k8s/overlays/twice/a.yaml: document 1 (line 1) and k8s/overlays/twice/b.yaml: document 1 (line 1)"
    );
    assert_eq!(said("k8s/empty"), "k8s/empty renders no object");
}

#[test]
fn every_image_must_be_given() {
    let tree = tree(&[("k8s/a.yaml", DEPLOYMENT)]);
    let said = |with: &[(&str, &str)]| {
        let mut all = vec![("manifests", "k8s")];
        all.extend(with);
        rendered(tree.path(), &all).unwrap_err().to_string()
    };
    let no_digest = "container shop of Deployment/shop: shop:dev is no digest; give images: shop=REPOSITORY@sha256:…";
    assert_eq!(said(&[]), no_digest);
    assert_eq!(
        said(&[("images", &image("storefront"))]),
        format!("image \"storefront\" replaced 0 containers; the manifests use: shop; {no_digest}")
    );
}

#[test]
fn a_file_that_leads_out_of_the_repository_is_not_read() {
    let tree = tree(&[("k8s/a.yaml", SERVICE)]);
    std::os::unix::fs::symlink("/etc/hostname", tree.path().join("k8s/b.yaml")).unwrap();
    let said = rendered(tree.path(), &[("manifests", "k8s")]).unwrap_err().to_string();
    assert_eq!(said, "k8s/b.yaml: leads out of the repository");
}
