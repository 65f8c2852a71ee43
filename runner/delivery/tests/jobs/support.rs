//! What the tests of migrations, operations and rotations share: the demo as an image, and a database of their own.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};
use tagline_delivery::{ImageRef, Site};

use crate::common::Space;

/// Ends the process with what it said where it failed.
fn run(command: &mut Command) -> String {
    let output = command.output().expect("it can be started");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {said}{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// The demo's binary and PostgreSQL; None, and a skip noted, where there is none.
#[track_caller]
pub(crate) fn demo() -> Option<String> {
    let found = std::env::var("TAGLINE_TEST_DEMO").ok().filter(|_| std::env::var("TAGLINE_TEST_POSTGRES").is_ok());
    if found.is_none() {
        tagline_tests::gate::skip("demo", "TAGLINE_TEST_DEMO or TAGLINE_TEST_POSTGRES is not set");
    }
    found
}

/// The demo with these migrations as an image in the cluster's registry.
pub(crate) fn image(demo: &str, name: &str, migrations: &[(&str, &str)]) -> ImageRef {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    std::fs::copy(demo, at.join("demo")).expect("the binary is there");
    std::fs::write(at.join("release.toml"), "name = \"demo\"\nversion = \"1.2.3\"\n").expect("a file");
    write_migrations(&at.join("migrations"), migrations);
    let recipe = "FROM scratch\nCOPY demo /demo\nCOPY release.toml /release.toml\nCOPY migrations /migrations\n\
                  ENTRYPOINT [\"/demo\"]\nCMD [\"serve\"]\n";
    std::fs::write(at.join("Dockerfile"), recipe).expect("a file");
    let registry = std::env::var("TAGLINE_TEST_REGISTRY").expect("the cluster's registry is known");
    let repository = format!("{registry}/tagline-test/{name}-{}", std::process::id());
    let tag = format!("{repository}:test");
    run(Command::new("docker").args(["build", "--quiet", "-t", &tag]).arg(at));
    run(Command::new("docker").args(["push", "--quiet", &tag]));
    let digests = run(Command::new("docker").args(["inspect", "--format", "{{json .RepoDigests}}", &tag]));
    let digests: Vec<String> = serde_json::from_str(&digests).expect("it is JSON");
    let digest = digests.iter().find_map(|one| one.strip_prefix(&format!("{repository}@"))).expect("it was pushed");
    ImageRef { repository, digest: digest.to_owned() }
}

pub(crate) fn write_migrations(folder: &Path, migrations: &[(&str, &str)]) {
    std::fs::create_dir_all(folder).expect("a folder");
    for (name, sql) in migrations {
        std::fs::write(folder.join(name), sql).expect("a file");
    }
}

/// A database of one test; removed when dropped.
pub(crate) struct Database {
    demo: String,
    name: String,
}

static NUMBER: AtomicU32 = AtomicU32::new(0);

impl Database {
    pub(crate) fn new(demo: &str) -> Self {
        let name = format!("t{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let database = Self { demo: demo.to_owned(), name };
        database.admin(&format!("create database {}", database.name));
        database
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    fn url(variable: &str, database: &str) -> String {
        let url = std::env::var(variable).expect("PostgreSQL is known");
        let (server, _) = url.rsplit_once('/').expect("it names a database");
        format!("{server}/{database}")
    }

    /// Its address for pods.
    pub(crate) fn in_pods(&self) -> String {
        Self::url("TAGLINE_TEST_POSTGRES_IN_PODS", &self.name)
    }

    fn ask(&self, database: &str, sql: &str) -> String {
        let url = Self::url("TAGLINE_TEST_POSTGRES", database);
        run(Command::new(&self.demo).args(["db", "query", sql, "--json"]).env("DATABASE_URL", url))
    }

    /// As the server's administrator, outside of it.
    pub(crate) fn admin(&self, sql: &str) -> String {
        self.ask("postgres", sql)
    }

    /// Rows as an array of objects of texts.
    pub(crate) fn query(&self, sql: &str) -> Value {
        serde_json::from_str(&self.ask(&self.name, sql)).expect("rows are JSON")
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let url = Self::url("TAGLINE_TEST_POSTGRES", "postgres");
        let sql = format!("drop database if exists {} with (force)", self.name);
        let dropped = Command::new(&self.demo).args(["db", "query", &sql]).env("DATABASE_URL", url).output();
        if !dropped.is_ok_and(|output| output.status.success()) {
            let _ = writeln!(std::io::stderr(), "a test's database could not be removed");
        }
    }
}

/// The Secret `db` and the suspended CronJob `migrations` of the demo.
pub(crate) async fn prepare(space: &Space, database: &Database, image: &ImageRef) {
    let data = json!({"url": database.in_pods()});
    space.apply(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db"}, "stringData": data})).await;
    space.apply(cron_job("migrations", image, true)).await;
}

pub(crate) fn cron_job(name: &str, image: &ImageRef, suspend: bool) -> Value {
    json!({
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": name},
        "spec": {"suspend": suspend, "schedule": "0 0 1 1 *", "jobTemplate": {"spec": {
            "backoffLimit": 6,
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {
                    "restartPolicy": "Never", "terminationGracePeriodSeconds": 2,
                    "containers": [{
                        "name": "demo", "image": image.to_string(), "args": ["migrate", "up", "--dir", "/migrations"],
                        "env": [{"name": "DATABASE_URL", "valueFrom": {"secretKeyRef": {"name": "db", "key": "url"}}}],
                    }],
                },
            },
        }}},
    })
}

/// Attempt 1 of run 7 for version 1.2.3.
pub(crate) fn site(space: &Space, tree: &Path, built: &[&ImageRef]) -> Site {
    Site {
        environment: "production".to_owned(),
        protected: false,
        target: space.cluster.target().clone(),
        kubeconfig: vec![space.kubeconfig.clone()],
        repository: "shop".to_owned(),
        version: "1.2.3".to_owned(),
        commit: "0".repeat(40),
        run: 7,
        identity: String::new(),
        job: "deploy".to_owned(),
        attempt: 1,
        step: 0,
        tree: tree.to_owned(),
        built: built.iter().map(|image| image.digest.clone()).collect(),
    }
}
