//! What the village storefront needs before a release and beside it: overlays (VS10), secrets (VS11), dev (VS14, VS19), rights
//! and room that are looked at before anything is changed (VS15, VS16).

use std::process::Command;

use serde_json::{Value, json};
use tagline_rows::village::{self, DEV, PRODUCTION, SERVICE, STAGING};
use tagline_rows::{Ground, Kubectl, Load, LoadReport, Release, Row, Shop};
use tagline_tests::workspace;

/// A line of the guide's table: environment, replicas of both pools, the autoscalers' maxima, requests, log format, sampler, what the disruption
/// budgets keep, and external services.
type Line = (
    &'static str,
    [u64; 2],
    [u64; 2],
    [&'static str; 2],
    &'static str,
    &'static str,
    &'static str,
    Option<u64>,
    &'static str,
);

const TABLE: [Line; 3] = [
    ("dev", [1, 1], [3, 3], ["100m", "256Mi"], "DEBUG", "false", "always_on", None, "mocks"),
    ("staging", [2, 2], [10, 10], ["250m", "512Mi"], "INFO", "true", "always_on", Some(1), "sandbox"),
    ("prod", [3, 5], [20, 30], ["500m", "1Gi"], "INFO", "true", "traceidratio:0.1", Some(2), "production"),
];

/// What `kustomize build` gives for an overlay, as text and as objects.
#[track_caller]
fn overlay(name: &str) -> (String, Vec<Value>) {
    let folder = workspace().join("examples/village-storefront/k8s/overlays").join(name);
    let out = Command::new("kustomize").arg("build").arg(folder).output().expect("kustomize is on the PATH");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let text = String::from_utf8(out.stdout).expect("YAML is text");
    let documents = serde_yaml::Deserializer::from_str(&text);
    let objects = documents.map(|one| <Value as serde::Deserialize>::deserialize(one).expect("YAML")).collect();
    (text, objects)
}

#[test]
fn vs10_overlays_differ_as_the_guides_table_says() {
    let Some(_) = Ground::require() else { return };
    let row = Row::new("VS10", "release.yml, dev.yml: manifests: k8s/overlays/{dev,staging,prod}");
    for (name, replicas, maxima, [cpu, memory], level, json_logs, sampler, available, external) in TABLE {
        let (text, objects) = overlay(name);
        let golden = workspace().join("tests/rows/golden/village-storefront").join(format!("{name}.yaml"));
        assert_eq!(text, std::fs::read_to_string(golden).expect("a golden"), "{name} is not what it was");
        let of = |kind: &str| objects.iter().filter(|object| object["kind"] == kind).cloned().collect::<Vec<_>>();
        let named = |kind: &str, name: &str| {
            of(kind).into_iter().find(|one| one["metadata"]["name"] == name).unwrap_or_else(|| panic!("{kind} {name}"))
        };
        for (pool, replicas, maximum) in
            [("workers", replicas[0], maxima[0]), ("workers-critical", replicas[1], maxima[1])]
        {
            let hpa = named("HorizontalPodAutoscaler", &format!("village-storefront-{pool}-hpa"));
            assert_eq!((&hpa["spec"]["minReplicas"], &hpa["spec"]["maxReplicas"]), (&json!(replicas), &json!(maximum)));
            let deployment = named("Deployment", &format!("village-storefront-{pool}"));
            let container = &deployment["spec"]["template"]["spec"]["containers"][0];
            assert_eq!(container["resources"]["requests"], json!({"cpu": cpu, "memory": memory}), "{name}");
            assert!(deployment["spec"]["replicas"].is_null(), "replicas belong to the autoscaler");
        }
        let config = &of("ConfigMap")[0]["data"];
        assert_eq!(config["QUARKUS_LOG_LEVEL"], level);
        assert_eq!(config["QUARKUS_LOG_CONSOLE_JSON"], json_logs);
        assert_eq!(config["OTEL_TRACES_SAMPLER"], sampler);
        assert_eq!(config["EXTERNAL_SERVICES"], external);
        let budgets = of("PodDisruptionBudget");
        assert_eq!(budgets.len(), if available.is_some() { 2 } else { 0 });
        assert!(budgets.iter().all(|one| one["spec"]["minAvailable"].as_u64() == available), "{name}");
        for (kind, only) in [
            ("ServiceMonitor", "prod"),
            ("PriorityClass", "prod"),
            ("SealedSecret", "prod"),
            ("ExternalSecret", "prod"),
        ] {
            assert_eq!(of(kind).is_empty(), name != only, "{kind} in {name}");
        }
        assert_eq!(of("NetworkPolicy").is_empty(), name == "dev");
        assert_eq!(of("Ingress").len(), 1);
    }
    row.holds();
}

/// What a refusal must leave as it was: every workload, Service and Job of a namespace.
#[track_caller]
fn state(kubectl: &Kubectl) -> Vec<String> {
    let kinds = ["deployments", "services", "configmaps", "jobs", "hpa", "pdb", "networkpolicies"];
    let seen = |kind: &&str| {
        kubectl
            .all(kind)
            .into_iter()
            .map(|one| {
                let spec = json!([one["metadata"]["name"], one["metadata"]["uid"], one["spec"], one["data"]]);
                spec.to_string()
            })
            .collect::<Vec<_>>()
    };
    kinds.iter().flat_map(seen).collect()
}

#[test]
fn vs11_a_missing_secret_key_is_named_before_anything_starts() {
    let Some(ground) = Ground::require() else { return };
    let shop = village::empty(&ground);
    let kubectl = shop.kubectl(STAGING);
    kubectl.run([
        "patch",
        "secret",
        "village-storefront-r2",
        "--type=json",
        "-p",
        r#"[{"op":"remove","path":"/data/access-key-id"}]"#,
    ]);
    kubectl.run(["delete", "secret", "village-storefront-stripe"]);
    let before = state(&kubectl);
    shop.tag(Release::good("1.2.3"));
    let refused = shop.run("1.2.3");
    assert_ne!(refused.code, 0);
    refused.stderr_has("village-storefront-r2").stderr_has("access-key-id").stderr_has("village-storefront-stripe");
    assert_eq!(state(&kubectl), before);
    assert_eq!(
        shop.staging.sql("select count(*) from pg_tables where schemaname = 'public'"),
        "0",
        "nothing was migrated"
    );
}

/// The smallest definitions of the kinds of operators that production's overlay has.
fn crds(names: &[(&str, &str, &str, &str)]) -> String {
    let crd = |(group, version, kind, plural): &(&str, &str, &str, &str)| {
        let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        let schema = json!({"openAPIV3Schema": {"type": "object", "properties": {"spec": open, "status": open}}});
        json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{plural}.{group}")},
            "spec": {
                "group": group, "scope": "Namespaced",
                "names": {"kind": kind, "plural": plural, "singular": kind.to_lowercase()},
                "versions": [{"name": version, "served": true, "storage": true, "schema": schema}],
            },
        })
    };
    json!({"apiVersion": "v1", "kind": "List", "items": names.iter().map(crd).collect::<Vec<_>>()}).to_string()
}

const OPERATORS: [(&str, &str, &str, &str); 3] = [
    ("monitoring.coreos.com", "v1", "ServiceMonitor", "servicemonitors"),
    ("bitnami.com", "v1alpha1", "SealedSecret", "sealedsecrets"),
    ("external-secrets.io", "v1", "ExternalSecret", "externalsecrets"),
];

/// Production's overlay with what the local one takes away, at the local one's size.
#[track_caller]
fn with_operators(shop: &Shop) {
    shop.edit("k8s/local/prod/kustomization.yaml", |text| {
        let (before, _) = text.split_once("  - patch: |-\n      $patch: delete").expect("what is taken away");
        before.to_owned()
    });
}

#[test]
fn vs11_vs15_sealed_and_external_secrets_pass_where_their_kinds_are_served() {
    let Some(ground) = Ground::require() else { return };
    let shop = village::live(&ground);
    with_operators(&shop);
    let kubectl = shop.kubectl(PRODUCTION);
    kubectl.apply(&crds(&OPERATORS));
    // The guide's version of ExternalSecret is served no more.
    shop.edit("k8s/overlays/prod/external-secret-stripe.yaml", |text| {
        text.replace("external-secrets.io/v1", "external-secrets.io/v1beta1")
    });
    let before = state(&kubectl);
    shop.tag(Release::good("1.2.3"));
    let refused = shop.run("1.2.3");
    assert!(refused.code == 1 || refused.code == 2, "{refused}");
    refused.stderr_has("external-secrets.io/v1beta1").stderr_has("external-secrets.io/v1");
    assert_eq!(state(&kubectl), before);

    shop.edit("k8s/overlays/prod/external-secret-stripe.yaml", |text| text.replace("/v1beta1", "/v1"));
    let load = Load::of(&ground, &shop.url(PRODUCTION, SERVICE), 100, "10%");
    shop.tag(Release::good("1.2.4")).release("1.2.4").success();
    load.end().none_failed(1_000);
    let sealed = kubectl.get(["sealedsecret", "village-storefront-r2"]);
    assert_eq!(sealed["spec"]["encryptedData"]["access-key-id"], "AgBexample", "as it stands in the repository");
    assert_eq!(kubectl.get(["externalsecret", "village-storefront-stripe"])["spec"]["refreshInterval"], "1h");
    assert_eq!(kubectl.names("servicemonitors"), ["village-storefront-workers"]);
}

#[test]
fn vs11_credentials_are_rotated_without_a_pause() {
    let Some(ground) = Ground::require() else { return };
    let mut row = Row::new("VS11", "release.yml: secrets of its workloads; rotate.yml: tagline/rotate-secret@v1");
    let shop = village::live(&ground);
    let kubectl = shop.kubectl(PRODUCTION);
    let whoami = format!("{}api/v1/whoami", shop.url(PRODUCTION, SERVICE));
    // Each request asks the database, and the machine that asks is the one that answers.
    let load = Load::of(&ground, &whoami, 100, "10%");
    village::by_hand(&shop, "rotate.yml", &json!({"force": true})).success();
    let secrets = kubectl.names("secrets");
    let ours: Vec<&String> = secrets.iter().filter(|name| name.starts_with("village-storefront-db")).collect();
    assert_eq!(ours.len(), 2, "the old one stays until the window closes: {secrets:?}");
    let used = kubectl
        .all("deployments")
        .iter()
        .filter(|one| one["spec"]["replicas"] != 1)
        .map(|one| {
            let env = one["spec"]["template"]["spec"]["containers"][0]["env"].as_array().cloned().unwrap_or_default();
            let password = env.iter().find(|each| each["name"] == "DATABASE_PASSWORD").cloned().unwrap_or_default();
            password["valueFrom"]["secretKeyRef"]["name"].as_str().unwrap_or_default().to_owned()
        })
        .collect::<std::collections::BTreeSet<_>>();
    assert_eq!(used.len(), 1, "every workload reads the new one: {used:?}");
    assert!(!used.contains("village-storefront-db"), "{used:?}");
    row.load(load.end().none_failed(1_000)).holds();
}

#[test]
fn vs14_vs19_dev_is_set_up_from_nothing_and_deployed_by_hand() {
    let Some(ground) = Ground::require() else { return };
    let rows = [
        Row::new("VS14", "dev.yml: workflow_dispatch: tagline/image@v1, tagline/deploy@v1"),
        Row::new("VS19", "bootstrap.yml: tagline/deploy@v1 manifests: k8s/bootstrap"),
    ];
    let shop = Shop::new(&ground, "village-storefront");
    shop.repo.write("release.toml", "version = \"0.0.1\"\n");
    let kubectl = shop.kubectl(DEV);
    village::by_hand(&shop, "bootstrap.yml", &json!({})).success();
    let set_up = || {
        let secrets = kubectl.all("secrets").into_iter().chain(kubectl.all("serviceaccounts"));
        let mark = |one: Value| format!("{} {}", one["metadata"]["name"], one["metadata"]["resourceVersion"]);
        secrets.map(mark).collect::<Vec<_>>()
    };
    let first = set_up();
    assert!(
        ["-db", "-r2", "-stripe"]
            .iter()
            .all(|end| first.iter().any(|one| one.contains(&format!("village-storefront{end}")))),
        "{first:?}"
    );
    let service_accounts = kubectl.names("serviceaccounts");
    assert!(service_accounts.contains(&"village-storefront".to_owned()), "{service_accounts:?}");
    village::by_hand(&shop, "bootstrap.yml", &json!({})).success();
    assert_eq!(set_up(), first, "a second time changes nothing");

    village::by_hand(&shop, "dev.yml", &json!({})).success();
    let image = kubectl.get(["deployment", "village-storefront-workers"])["spec"]["template"]["spec"]["containers"][0]
        ["image"]
        .clone();
    let image = image.as_str().unwrap_or_default();
    assert!(image.contains("/village-storefront@sha256:"), "{image}");
    let built = shop.shown(shop.newest(), "/jobs");
    assert!(built.to_string().contains(image), "the digest just built: {image} in {built}");
    // Nobody's current context was used: there is none.
    let load = Load::of(&ground, &shop.url(DEV, SERVICE), 100, "10%");
    // What is in the working tree, committed or not.
    shop.repo.write("release.toml", "version = \"0.0.2\"\n");
    village::by_hand(&shop, "dev.yml", &json!({})).success();
    let report = load.end();
    report.none_failed(200);
    assert!(report.by_version.contains_key("0.0.2"), "{:?}", report.by_version);
    for mut row in rows {
        row.load(&LoadReport { failed: 0, ..report.clone() }).holds();
    }
}

#[test]
fn vs15_missing_rights_registry_and_database_are_named_before_anything_changes() {
    let Some(ground) = Ground::require() else { return };
    let row = Row::new("VS15", "release.yml: every delivery step; tagline doctor");
    let shop = village::empty(&ground);
    let kubectl = shop.kubectl(STAGING);
    let before = state(&kubectl);

    // Whoever may only look is told every right that is missing, and how to get them all.
    let restricted = std::env::var("TAGLINE_TEST_KUBECONFIG_RESTRICTED").expect("the cluster's environment");
    let kubeconfig = tagline_rows::contexts(restricted.as_ref(), &shop.scratch, "restricted");
    let poor = shop.tagline.clone().env("KUBECONFIG", &kubeconfig);
    let who = json!([{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "tagline-restricted"}]);
    let reader = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "look"},
        "rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list", "watch"]}]});
    let bound = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "look"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "look"}, "subjects": who});
    kubectl.apply(&json!({"apiVersion": "v1", "kind": "List", "items": [reader, bound]}).to_string());
    shop.tag(Release::good("1.2.3"));
    let refused = poor.run(["run", "--tag", "v1.2.3"]);
    refused.code(1);
    for right in
        ["may not create jobs.batch", "may not patch deployments.apps", "may not patch services", "doctor --role"]
    {
        refused.stderr_has(right);
    }
    assert_eq!(state(&kubectl), before);

    // A registry that does not take the image.
    shop.variable("REGISTRY", "127.0.0.1:1");
    shop.tag(Release::good("1.2.4"));
    shop.run("1.2.4").code(1).stderr_has("127.0.0.1:1");
    assert_eq!(state(&kubectl), before);
    shop.variable("REGISTRY", &ground.registry);

    // A database that does not answer from the namespace.
    let away = json!({"stringData": {"jdbc-url": "jdbc:postgresql://127.0.0.1:1/nobody"}}).to_string();
    kubectl.run(["patch", "secret", "village-storefront-db", "-p", &away]);
    shop.tag(Release::good("1.2.5"));
    shop.run("1.2.5").code(1).stderr_has("database");
    assert!(kubectl.names("deployments").is_empty(), "nothing was deployed");
    row.holds();
}

#[test]
fn vs16_room_for_two_releases_is_looked_at_first() {
    let Some(ground) = Ground::require() else { return };
    let row = Row::new("VS16", "release.yml: production: capacity-check");
    let shop = village::live(&ground);
    let kubectl = shop.kubectl(PRODUCTION);
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "small"}, "spec": {"hard": {"pods": "6"}}});
    kubectl.apply(&quota.to_string());
    tagline_tests::until("the quota's count", || {
        (!kubectl.get(["resourcequota", "small"])["status"]["used"]["pods"].is_null()).then_some(())
    });
    let before = state(&kubectl);
    shop.tag(Release::good("1.2.3"));
    let refused = shop.run("1.2.3");
    assert!(refused.code == 1 || refused.code == 2, "{refused}");
    refused.stderr_has("quota").stderr_has("small").stderr_has("needs");
    assert_eq!(state(&kubectl), before);

    // With a limit range that no pod of it fits.
    kubectl.run(["delete", "resourcequota", "small"]);
    let limits = json!({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "tiny"},
        "spec": {"limits": [{"type": "Container", "max": {"memory": "8Mi"}}]}});
    kubectl.apply(&limits.to_string());
    shop.tag(Release::good("1.2.4"));
    let refused = shop.run("1.2.4");
    assert!(refused.code == 1 || refused.code == 2, "{refused}");
    refused.stderr_has("tiny");
    assert_eq!(state(&kubectl), before);
    kubectl.run(["delete", "limitrange", "tiny"]);

    // With requests that no node has: nodes may come, so the approver is told and decides.
    shop.edit("k8s/local/prod/kustomization.yaml", |text| text.replace("cpu: 20m", "cpu: '4000'"));
    shop.tag(Release::good("1.2.5"));
    shop.run("1.2.5").code(3);
    shop.tagline.run(["show", &shop.newest().to_string(), "--plan"]).success().stdout_has("warning").stdout_has("cpu");
    assert_eq!(state(&kubectl), before);
    row.holds();
}

#[test]
fn vs15_a_change_by_hand_and_a_wrong_path_are_told_before_the_first_step() {
    let Some(ground) = Ground::require() else { return };
    let shop = village::live_with_staging(&ground);
    let kubectl = shop.kubectl(PRODUCTION);
    let runs = || shop.tagline.runs().len();
    let before = runs();

    // The plan shows what would change, with nothing built yet.
    shop.tag(Release::good("1.2.3"));
    let plan = shop.tagline.run(["plan", "--tag", "v1.2.3"]);
    plan.success().stdout_has("+ Deployment/village-storefront-workers-v1-2-3-…").stdout_has("staging");

    // Production's manifests are looked at before staging is touched.
    let staging = state(&shop.kubectl(STAGING));
    shop.edit(".github/workflows/release.yml", |text| text.replace("MANIFESTS }}/prod", "MANIFESTS }}/prd"));
    shop.tag(Release::good("1.2.4"));
    shop.run("1.2.4").code(2).stderr_has(".github/workflows/release.yml:").stderr_has("did you mean prod?");
    shop.edit(".github/workflows/release.yml", |text| text.replace("MANIFESTS }}/prd", "MANIFESTS }}/prod"));

    let live = kubectl.names("deployments").into_iter().find(|name| name.contains("workers-v1-2-2"));
    let live = format!("deployment/{}", live.expect("what is live"));
    let image = format!("*={}/village-storefront:v1.2.2", ground.registry);
    kubectl.run(["set", "image", &live, &image]);
    shop.tag(Release::good("1.2.5"));
    for refused in [shop.tagline.run(["plan", "--tag", "v1.2.5"]), shop.run("1.2.5")] {
        refused.code(1).stderr_has("drift: ").stderr_has("image changed by kubectl-set");
    }
    assert_eq!(state(&shop.kubectl(STAGING)), staging);
    assert_eq!(runs(), before, "none of them was begun");
}
