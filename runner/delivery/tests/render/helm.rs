//! Charts, and Helm's own view of what was recorded.

use std::process::Command;

use jiff::Timestamp;
use serde_json::Value;
use tagline_delivery::render::helm::record::{self, Revision, Status};

use super::{has, image, names, rendered, tree};

const CHART: &str = "apiVersion: v2\nname: shop\nversion: 0.4.1\nappVersion: 1.2.3\n";
const VALUES: &str = "image: {repository: shop, tag: dev}\nreplicas: 1\n";
const TEMPLATE: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: {{ .Release.Name }}, labels: {tag: {{ .Values.tag | quote }}}}\n\
    spec:\n  replicas: {{ .Values.replicas }}\n  selector: {matchLabels: {app: shop}}\n  template:\n    metadata: {labels: {app: shop}}\n    spec:\n      containers:\n      \
    - {name: shop, image: \"{{ .Values.image.repository }}:{{ .Values.image.tag }}\"}\n";
const TEST: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: t, annotations: {helm.sh/hook: test}}\n\
    spec: {containers: [{name: t, image: \"busybox:1\"}]}\n";
const MONITOR: &str = "{{ if .Capabilities.APIVersions.Has \"monitoring.coreos.com/v1/ServiceMonitor\" }}\n\
    apiVersion: monitoring.coreos.com/v1\nkind: ServiceMonitor\nmetadata: {name: m, annotations: {kube: {{ .Capabilities.KubeVersion.Version | quote }}}}\n{{ end }}\n";

fn chart(more: &[(&str, &str)]) -> tempfile::TempDir {
    let mut files = vec![
        ("helm/shop/Chart.yaml", CHART),
        ("helm/shop/values.yaml", VALUES),
        ("helm/shop/templates/d.yaml", TEMPLATE),
        ("helm/prod.yaml", "replicas: 3\ntag: x\n"),
    ];
    files.extend(more);
    tree(&files)
}

const WITH: [(&str, &str); 3] = [("chart", "helm/shop"), ("values", "helm/prod.yaml"), ("set", "tag=1.10")];

#[test]
fn a_chart_is_rendered_with_values_as_texts_and_without_its_tests() {
    if !has("helm") {
        return;
    }
    let tree = chart(&[("helm/shop/templates/t.yaml", TEST), ("helm/shop/templates/m.yaml", MONITOR)]);
    let image = image("shop");
    let mut with = WITH.to_vec();
    with.push(("images", &image));
    let found = rendered(tree.path(), &with).unwrap();
    assert_eq!(names(&found), ["ServiceMonitor/m", "Deployment/shop"]);
    assert_eq!(found.objects[0].text("/metadata/annotations/kube"), "v1.34.4");
    assert_eq!(found.objects[1].text("/metadata/labels/tag"), "1.10");
    assert_eq!(found.objects[1].number("/spec/replicas"), Some(3));
    assert_eq!(found.notes, ["Pod/t is a test of the chart and is left out; name it in smoke-jobs to run it"]);
    let chart = found.chart.unwrap();
    assert_eq!((chart.label().as_str(), chart.values["tag"].as_str()), ("shop-0.4.1", Some("1.10")));
}

#[test]
fn a_chart_that_cannot_be_delivered_says_why() {
    if !has("helm") {
        return;
    }
    let said = |file: &str, text: &str| {
        let tree = chart(&[(file, text)]);
        let image = image("shop");
        let mut with = WITH.to_vec();
        with.push(("images", &image));
        rendered(tree.path(), &with).unwrap_err().to_string()
    };
    let hook = TEST.replace("hook: test", "hook: pre-install").replace("busybox", "shop");
    assert_eq!(
        said("helm/shop/templates/h.yaml", &hook),
        "Pod/t is a Helm hook (pre-install), and hooks are not run; make it a step of its own (tagline/migrate, smoke-jobs) \
         or remove helm.sh/hook"
    );
    let random = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {k: {{ randAlphaNum 20 }}}\n";
    assert_eq!(
        said("helm/shop/templates/r.yaml", random),
        "helm/shop renders differently each time (Secret/s); an approval could not bind it; remove random and time functions"
    );
    let broken = said("helm/shop/templates/b.yaml", "a: {{ .Values.none.tag }}\n");
    assert!(
        broken.starts_with("helm template could not render helm/shop: ") && broken.contains("b.yaml:1"),
        "{broken}"
    );
    let needs =
        format!("{CHART}dependencies: [{{name: redis, version: 1.0.0, repository: \"https://example.org\"}}]\n");
    let missing = said("helm/shop/Chart.yaml", &needs);
    assert!(missing.ends_with("commit the charts it depends on: helm dependency build"), "{missing}");
    let lookup = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: l}\n\
        data: {n: '{{ len (lookup \"v1\" \"Secret\" \"\" \"\") }}'}\n";
    let tree = chart(&[("helm/shop/templates/l.yaml", lookup)]);
    let image = image("shop");
    let found = rendered(tree.path(), &[WITH[0], WITH[1], ("images", &image)]).unwrap();
    assert_eq!(found.objects[0].text("/data/n"), "0");
}

/// Removes a namespace when the test ends, however it ends.
struct Gone {
    namespace: String,
    kubeconfig: std::ffi::OsString,
}

impl Drop for Gone {
    fn drop(&mut self) {
        let mut kubectl = Command::new("kubectl");
        kubectl.args(["delete", "namespace", &self.namespace, "--wait=false"]).env("KUBECONFIG", &self.kubeconfig);
        let _ = kubectl.output();
    }
}

/// Helm itself reads what is recorded: needs the test cluster, where its Secrets are.
#[test]
fn helm_agrees_with_what_was_recorded() {
    let Some(kubeconfig) = std::env::var_os("TAGLINE_TEST_KUBECONFIG") else {
        tagline_tests::gate::skip("the test cluster", "TAGLINE_TEST_KUBECONFIG is not set; cargo xtask cluster env");
        return;
    };
    if !has("helm") {
        return;
    }
    let namespace = format!("tagline-record-{}", std::process::id());
    let run = |program: &str, arguments: &[&str], input: Option<&str>| {
        let mut command = Command::new(program);
        command.args(arguments).env("KUBECONFIG", &kubeconfig);
        let output = match input {
            None => command.output().unwrap(),
            Some(text) => {
                let file = tree(&[("o.json", text)]);
                command.arg(file.path().join("o.json")).output().unwrap()
            }
        };
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {arguments:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    };
    run("kubectl", &["create", "namespace", &namespace], None);
    let _gone = Gone { namespace: namespace.clone(), kubeconfig: kubeconfig.clone() };
    let tree = chart(&[]);
    let image = image("shop");
    let mut with = WITH.to_vec();
    with.push(("images", &image));
    let found = rendered(tree.path(), &with).unwrap();
    let (chart, now) = (found.chart.unwrap(), Timestamp::from_second(1_700_000_000).unwrap());
    let mut objects = found.objects;
    for object in &mut objects {
        object.set("/metadata/namespace", namespace.clone().into());
    }
    let secret = |version: u32, status: Status, objects: &[tagline_delivery::Object]| {
        let description = if status == Status::Failed { "Rolled back: not ready" } else { "Upgrade complete" };
        let (chart, namespace) = (&chart, namespace.as_str());
        record::secret(&Revision { chart, namespace, objects, version, status, description, first_deployed: now, now })
    };
    let first = secret(1, Status::Deployed, &objects);
    let first = record::with_status(&first, Status::Superseded, "Upgrade complete", now).unwrap();
    for secret in [first, secret(2, Status::Failed, &objects), secret(3, Status::Deployed, &objects)] {
        run("kubectl", &["create", "-f"], Some(&secret.0.to_string()));
    }
    let history: Value =
        serde_json::from_str(&run("helm", &["history", "shop", "-n", &namespace, "-o", "json"], None)).unwrap();
    let rows: Vec<String> = history
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            format!(
                "{} {} {} {}",
                row["revision"],
                row["status"].as_str().unwrap(),
                row["chart"].as_str().unwrap(),
                row["description"].as_str().unwrap()
            )
        })
        .collect();
    assert_eq!(
        rows,
        [
            "1 superseded shop-0.4.1 Upgrade complete",
            "2 failed shop-0.4.1 Rolled back: not ready",
            "3 deployed shop-0.4.1 Upgrade complete",
        ]
    );
    let values: Value =
        serde_json::from_str(&run("helm", &["get", "values", "shop", "-n", &namespace, "-o", "json"], None)).unwrap();
    assert_eq!(values, serde_json::json!({"replicas": 3, "tag": "1.10"}));
    assert!(run("helm", &["get", "manifest", "shop", "-n", &namespace], None).contains("r/shop@sha256:aaaa"));
    assert!(run("helm", &["status", "shop", "-n", &namespace], None).contains("STATUS: deployed"));
    // What we have applied and recorded, Helm takes back to an earlier revision of ours.
    for object in &objects {
        run("kubectl", &["apply", "-f"], Some(&object.0.to_string()));
    }
    run("helm", &["rollback", "shop", "1", "-n", &namespace], None);
    let secret = |name: &str| {
        let text = run("kubectl", &["get", "secret", name, "-n", &namespace, "-o", "json"], None);
        tagline_delivery::Object(serde_json::from_str(&text).unwrap())
    };
    // A record of Helm's own is read, and ours has no key that Helm does not know.
    let theirs = secret(&record::name("shop", 4));
    assert_eq!((record::version(&theirs), theirs.labels()["status"].as_str()), (Some(4), "deployed"));
    let (theirs, ours) = (record::decode(&theirs).unwrap(), record::decode(&secret(&record::name("shop", 3))).unwrap());
    for part in ["", "/info", "/chart"] {
        let keys = |release: &Value| -> Vec<String> {
            release.pointer(part).unwrap().as_object().unwrap().keys().cloned().collect()
        };
        let known = keys(&theirs);
        assert!(keys(&ours).iter().all(|key| known.contains(key)), "{part}: {:?} {known:?}", keys(&ours));
    }
    assert_eq!(ours["info"]["status"], "superseded");
}
