//! Staging: by Helm or by setting the image, verified, and its gates.

use serde_json::{Value, json};
use tagline_rows::retail::{BACKEND, COMPONENTS, PRODUCTION, Retail, STAGING};
use tagline_rows::{Ground, Row};

/// What a Deployment is made of, without the names, times and image of one release of it.
#[track_caller]
fn made_of(retail: &Retail, component: &str) -> Value {
    let deployment = retail.kubectl(STAGING).get(["deployment", component]);
    let spec = &deployment["spec"];
    let container = &spec["template"]["spec"]["containers"][0];
    json!({"replicas": spec["replicas"], "selector": spec["selector"], "strategy": spec["strategy"],
        "env": container["env"], "probe": container["readinessProbe"], "resources": container["resources"]})
}

#[track_caller]
fn image_of(retail: &Retail, component: &str) -> String {
    let deployment = retail.kubectl(STAGING).get(["deployment", component]);
    let image = &deployment["spec"]["template"]["spec"]["containers"][0]["image"];
    image.as_str().unwrap_or_default().to_owned()
}

/// Asserts that a component runs the image that the newest run has built, and gives it.
#[track_caller]
fn runs_what_was_built(retail: &Retail, component: &str) -> String {
    let image = image_of(retail, component);
    let built = retail.shown(retail.newest(), "/jobs").to_string();
    assert!(image.contains("@sha256:") && built.contains(&image), "{image} is not among what was built: {built}");
    image
}

/// The revisions of a release in Helm's own record, the newest last.
#[track_caller]
fn revisions(retail: &Retail, component: &str) -> Vec<Value> {
    let mut command = std::process::Command::new("helm");
    command.arg("--kubeconfig").arg(&retail.ground.kubeconfig).args(["--namespace", &retail.namespace(STAGING)]);
    let out = command.args(["history", component, "--output", "json"]).output().expect("helm is on the PATH");
    serde_json::from_slice(&out.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&out.stderr)))
}

#[test]
fn ra2_ra3_staging_by_helm_and_by_the_image_ends_in_the_same_and_is_verified() {
    let Some(ground) = Ground::require() else { return };
    let rows = [
        Row::new("RA2", "release.yml: staging: if: helm: chart, values; if: set-image: deployment, container"),
        Row::new(
            "RA3",
            "release.yml: smoke, public-url; staging-verified, production: tagline/smoke-test@v1 jobs, log-limits",
        ),
    ];
    let retail = Retail::found(&ground);
    let load = retail.load("/");
    let run = retail.deliver("1.0.1");
    for component in COMPONENTS {
        let revisions = revisions(&retail, component);
        assert_eq!(revisions.last().expect("a revision")["status"], "deployed", "{revisions:?}");
    }
    let said = retail.tagline.run(["logs", &run.to_string(), "production"]).success().stdout.clone();
    for check in ["/api/v1/health", "/actuator/health/redis", "/api/v1/version", "public"] {
        assert!(said.contains(check), "{check} is not among what was verified:\n{said}");
    }
    load.end().none_failed(10_000);

    // One version by the one way, the next by the other: they differ in the image, each its own build's, and in nothing else.
    retail.set(&[("STAGING_BY", "set-image")]);
    retail.tag("1.0.2", "");
    retail.run("1.0.2").code(3);
    let by_image = COMPONENTS.map(|component| made_of(&retail, component));
    let images = COMPONENTS.map(|component| runs_what_was_built(&retail, component));
    retail.set(&[("STAGING_BY", "helm")]);
    retail.tag("1.0.3", "");
    retail.run("1.0.3").code(3);
    assert_eq!(by_image, COMPONENTS.map(|component| made_of(&retail, component)));
    for (component, before) in COMPONENTS.iter().zip(images) {
        assert_ne!(runs_what_was_built(&retail, component), before);
    }

    // One that says it is another version does not get far.
    retail.tag("1.0.4", "wrong_version = \"1.0.1\"");
    retail.run("1.0.4").code(1).stderr_has("1.0.1");
    // One that never gets ready leaves Helm's record and the cluster at the version before.
    let before = (made_of(&retail, BACKEND), image_of(&retail, BACKEND));
    retail.tag("1.0.5", "never_ready = true");
    retail.run("1.0.5").code(1);
    assert_eq!((made_of(&retail, BACKEND), image_of(&retail, BACKEND)), before, "staging is what it was");
    let revisions = revisions(&retail, BACKEND);
    let deployed = revisions.iter().rfind(|one| one["status"] == "deployed");
    assert!(deployed.is_some(), "{revisions:?}");
    for row in &rows {
        row.holds();
    }
}

#[test]
fn ra12_a_dependency_that_is_away_closes_the_gate_and_is_named() {
    let Some(ground) = Ground::require() else { return };
    let row = Row::new("RA12", "release.yml: smoke: /actuator/health/{mongo,redis,elasticsearch} json status = UP");
    let retail = Retail::found(&ground);
    let kubectl = retail.kubectl(STAGING);
    kubectl.run(["patch", "service", "redis", "--patch", "{\"spec\":{\"selector\":{\"app\":\"nothing\"}}}"]);
    retail.tag("1.0.1", "");
    let refused = retail.run("1.0.1");
    refused.code(1).stderr_has("/actuator/health/redis");
    assert!(!refused.stderr.contains("health/mongo is"), "{refused}");
    assert_eq!(retail.live().0, "retail-backend-blue", "production is not touched");
    assert_eq!(
        retail.kubectl(PRODUCTION).names("deployments"),
        ["retail-backend-blue", "retail-backend-green", "stand-ins"]
    );
    row.holds();
}

#[test]
fn ra20_a_release_that_does_not_bear_twice_the_traffic_does_not_reach_the_gate() {
    let Some(ground) = Ground::require() else { return };
    let row = Row::new("RA20", "release.yml: staging-verified: tagline/smoke-test@v1 jobs: k8s/jobs/load.yaml");
    let retail = Retail::found(&ground);
    retail.tag("1.0.1", "error_rate = 0.01\nonly_path = \"/api/v1/orders\"");
    retail.run("1.0.1").code(1).stderr_has("load");
    assert_eq!(retail.live().0, "retail-backend-blue", "production is not touched");
    retail.tag("1.0.2", "");
    retail.run("1.0.2").code(3);
    row.holds();
}

#[test]
fn ra17_a_failed_release_says_why_and_what_to_do() {
    let Some(ground) = Ground::require() else { return };
    let row = Row::new("RA17", "release.yml: every delivery step; tagline logs, tagline explain");
    let retail = Retail::found(&ground);
    // A process that ends as soon as it is started.
    retail.tag("1.0.1", "exit_code = 3");
    let crash = retail.run("1.0.1");
    crash.code(1).stderr_has("exit").stderr_has("3").stderr_has("next");
    // A database that cannot be reached.
    let kubectl = retail.kubectl(STAGING);
    let wrong = json!({"stringData": {"postgres-url": "postgres://shop:wrong@postgres.tagline-services:1/shop"}});
    kubectl.run(["patch", "secret", BACKEND, "--patch", &wrong.to_string()]);
    retail.tag("1.0.2", "");
    let database = retail.run("1.0.2");
    database.code(1).stderr_has("database").stderr_has("next");
    row.holds();
}
