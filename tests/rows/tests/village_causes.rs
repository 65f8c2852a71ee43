//! A stage that fails says why and what to do (VS13): six causes, each with its sentence, and what was not touched.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tagline_rows::village::{self, PRODUCTION, SERVICE, STAGING, finish, start};
use tagline_rows::{Ground, Release, Row, Shop};
use tagline_tests::{Outcome, gate};

/// The sentence is in what the run said, and in what `explain` says of it later.
#[track_caller]
fn says(shop: &Shop, said: &Outcome, job: &str, sentences: &[&str]) {
    said.code(1);
    let run = shop.newest().to_string();
    let explained = shop.tagline.run(["explain", &run, job]);
    for sentence in sentences {
        said.stderr_has(sentence);
        let all = format!("{}{}", explained.stdout, explained.stderr);
        assert!(all.contains(sentence), "`explain` lacks `{sentence}`\n{explained}");
    }
    said.stderr_has("next");
}

#[test]
fn vs13_a_missing_image_is_named_and_production_is_not_touched() {
    let Some(ground) = Ground::require() else { return };
    let shop = village::live(&ground);
    let kubectl = shop.kubectl(PRODUCTION);
    let before = kubectl.names("deployments");
    // Of bytes of its own: the same release gives the same image, which the node may have from another test.
    shop.tag(Release { version: "1.2.4", faults: &format!("# {}", shop.namespace(PRODUCTION)) });
    shop.run("1.2.4").code(3);
    shop.approve();
    // Somebody cleans the registry up while the release waits.
    let outputs = shop.shown(shop.newest(), "/jobs/0/outputs").to_string();
    let (_, digest) = outputs.split_once("@sha256:").expect("the image by digest");
    let digest = digest.get(..64).expect("a digest");
    let manifest = format!("http://{}/v2/village-storefront/manifests/sha256:{digest}", ground.registry);
    let deleted = Command::new("curl").args(["-fsS", "-X", "DELETE", &manifest]).output().expect("curl");
    assert!(deleted.status.success(), "{}", String::from_utf8_lossy(&deleted.stderr));
    let said = finish(shop.tagline.spawn(["resume"]));
    says(&shop, &said, "production", &[digest.get(..12).expect("a digest"), "not found"]);
    assert_eq!(kubectl.names("deployments"), before);
}

#[test]
fn vs13_a_database_that_is_away_and_a_failed_migration_are_told_apart() {
    let Some(ground) = Ground::require() else { return };
    let shop = village::empty(&ground);
    let kubectl = shop.kubectl(STAGING);
    let place = |url: &str| {
        let data = json!({"stringData": {"jdbc-url": url}}).to_string();
        kubectl.run(["patch", "secret", "village-storefront-db", "-p", &data]);
    };
    place("jdbc:postgresql://127.0.0.1:1/nobody");
    shop.tag(Release::good("1.2.3"));
    says(&shop, &shop.run("1.2.3"), "staging", &["database", "refused"]);
    place(&format!("jdbc:{}", shop.staging.url().replacen("postgres:", "postgresql:", 1)));
    shop.repo.write("migrations/003_typo.up.sql", "alter table products add colum sku2 text;\n");
    shop.repo.write("migrations/003_typo.down.sql", "select 1;\n");
    shop.tag(Release::good("1.2.4"));
    says(&shop, &shop.run("1.2.4"), "staging", &["migration", "syntax error", "003_typo"]);
    assert_eq!(shop.staging.sql("select max(version) from schema_migrations"), "2", "what was before it stays");
    assert!(kubectl.names("deployments").is_empty(), "nothing was deployed");
}

#[test]
fn vs13_an_oom_kill_and_absent_metrics_are_named() {
    let Some(ground) = Ground::require() else { return };
    let row = Row::new("VS13", "release.yml: each step; tagline explain RUN JOB");
    let shop = village::empty(&ground);
    shop.edit(".github/workflows/release.yml", |text| {
        text.replace(
            "          min-ready: ",
            "          timeout: 1m\n          progress-deadline: 15s\n          min-ready: ",
        )
    });
    shop.tag(Release { version: "1.2.3", faults: "oom = true" });
    says(&shop, &shop.run("1.2.3"), "staging", &["memory", "limit"]);
    shop.tag(Release { version: "1.2.4", faults: "no_metrics = true" });
    says(&shop, &shop.run("1.2.4"), "staging", &["/q/metrics", "404"]);
    assert!(shop.kubectl(STAGING).names("deployments").is_empty(), "both are gone again");
    row.holds();
}

#[test]
fn vs13_metrics_that_nobody_scrapes_are_named() {
    if !gate::all() {
        return;
    }
    let Some(ground) = Ground::require() else { return };
    let shop = village::live(&ground);
    for pool in ["workers", "workers-critical"] {
        shop.edit(&format!("k8s/base/deployment-{pool}.yaml"), |text| {
            text.replace("prometheus.io/scrape: 'true'", "prometheus.io/scrape: 'false'")
        });
    }
    let load = tagline_rows::Load::of(&ground, &shop.url(PRODUCTION, SERVICE), 200, "10%");
    shop.tag(Release::good("1.2.3"));
    let (_, engine) = start(&shop, "1.2.3");
    says(&shop, &finish(engine), "production", &["cannot be told", "metric not found at http://"]);
    load.end().none_failed(1_000);
}

/// A server with a certificate of yesterday; ended with this value.
struct Expired(Child, u16);

impl Expired {
    #[track_caller]
    fn start(shop: &Shop) -> Self {
        let (key, certificate) = (shop.scratch.join("key.pem"), shop.scratch.join("certificate.pem"));
        let folder = shop.scratch.path().display();
        shop.scratch.write("index.txt", "");
        let config = format!(
            "[ca]\ndefault_ca = own\n[own]\ndatabase = {folder}/index.txt\nnew_certs_dir = {folder}\nrand_serial = yes\n\
             default_md = sha256\npolicy = any\nx509_extensions = names\n[any]\ncommonName = supplied\n\
             [names]\nsubjectAltName = DNS:localhost, IP:127.0.0.1\n"
        );
        let config = shop.scratch.write("ca.cnf", config);
        let request = shop.scratch.join("request.pem");
        let openssl = |command: &mut Command| {
            let made = command.output().expect("openssl is on the PATH");
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        };
        let mut ask = Command::new("openssl");
        ask.args(["req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"]);
        openssl(ask.arg("-keyout").arg(&key).arg("-out").arg(&request));
        let mut sign = Command::new("openssl");
        sign.args([
            "ca",
            "-batch",
            "-selfsign",
            "-notext",
            "-startdate",
            "20250101000000Z",
            "-enddate",
            "20250102000000Z",
        ]);
        sign.arg("-config").arg(&config).arg("-keyfile").arg(&key).arg("-in").arg(&request);
        openssl(sign.arg("-out").arg(&certificate));
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
        let mut serve = Command::new("openssl");
        serve.args(["s_server", "-www", "-quiet", "-accept", &format!("127.0.0.1:{port}")]);
        serve.arg("-key").arg(&key).arg("-cert").arg(&certificate).stdin(Stdio::null()).stdout(Stdio::null());
        let server = Self(serve.stderr(Stdio::null()).spawn().expect("openssl is on the PATH"), port);
        tagline_tests::until("the server", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
        server
    }
}

impl Drop for Expired {
    fn drop(&mut self) {
        if self.0.kill().is_ok() {
            let _ = self.0.wait();
        }
    }
}

#[test]
fn vs13_an_expired_certificate_is_named() {
    if !gate::all() {
        return;
    }
    let Some(ground) = Ground::require() else { return };
    let shop = village::live(&ground);
    let server = Expired::start(&shop);
    let url: Value = format!("https://127.0.0.1:{}", server.1).into();
    let said = village::by_hand(&shop, "verify.yml", &json!({ "public-url": url }));
    says(&shop, &said, "verify", &["certificate", "expired"]);
}
