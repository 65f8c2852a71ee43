//! One example in a repository of its own, with namespaces, a database and a store of its own.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};
use tagline_tests::{Outcome, Repo, Scratch, Tagline, workspace};

use crate::{Database, Ground, Kubectl, fault};

/// The one object of the examples that belongs to no namespace: its PriorityClass.
const CRITICAL: &str = "village-storefront-critical";

/// An example, ready to be tagged.
#[derive(Debug)]
pub struct Shop {
    /// Where everything lies.
    pub scratch: Scratch,
    /// The example's repository.
    pub repo: Repo,
    /// The command, working in it.
    pub tagline: Tagline,
    /// What the machine has.
    pub ground: Ground,
    /// The database of production, and of all environments but staging.
    pub database: Database,
    /// That of staging.
    pub staging: Database,
    /// What is put behind the names of its namespaces.
    suffix: String,
}

/// A version of the demo application: its faults are part of its image.
#[derive(Debug, Clone, Copy)]
pub struct Release<'a> {
    /// `1.2.3`.
    pub version: &'a str,
    /// Lines of `release.toml`'s faults, such as `error_rate = 0.08`.
    pub faults: &'a str,
}

impl<'a> Release<'a> {
    /// One without faults.
    pub fn good(version: &'a str) -> Self {
        Self { version, faults: "" }
    }
}

impl Shop {
    /// The example of that name: its files with namespaces of this test, committed, nothing tagged.
    ///
    /// # Panics
    /// When the cluster cannot be reached.
    #[track_caller]
    pub fn new(ground: &Ground, example: &str) -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let suffix = format!("{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let scratch = Scratch::new();
        let repo = scratch.repo(example);
        let (database, staging) = (Database::new(ground), Database::new(ground));
        let kubeconfig = contexts(&ground.kubeconfig, &scratch, "kubeconfig");
        let tagline = scratch.tagline().dir(repo.path()).env("KUBECONFIG", &kubeconfig);
        let shop = Self { scratch, repo, tagline, ground: ground.clone(), database, staging, suffix };
        shop.copy(&workspace().join("examples").join(example), Path::new(""), example);
        let demo = shop.repo.path().join("bin/demo");
        fs::create_dir_all(demo.parent().expect("it has a folder")).expect("a folder in the repository");
        fs::copy(&ground.demo, &demo).expect("the demo application is built");
        shop.repo.commit("Begin");
        shop
    }

    /// Makes a namespace of the example with the Secrets that its workloads refer to.
    #[track_caller]
    pub fn namespace_with_secrets(&self, name: &str) -> &Self {
        let namespace = self.namespace(name);
        let database = if name.ends_with("staging") { &self.staging } else { &self.database };
        let secret = |name: &str, pairs: &[(&str, &str)]| {
            let data: serde_json::Map<String, Value> =
                pairs.iter().map(|(key, value)| ((*key).to_owned(), Value::from(*value))).collect();
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}).to_string()
        };
        let kubectl = self.kubectl(name);
        let space = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        kubectl.apply(&space.to_string());
        let (url, user, password) = (database.url(), database.name(), database.password.as_str());
        let of_database = [("jdbc-url", url.as_str()), ("username", user), ("password", password)];
        kubectl.apply(&secret("village-storefront-db", &of_database));
        kubectl.apply(&secret("village-storefront-r2", &[("access-key-id", "id"), ("secret-access-key", "key")]));
        kubectl.apply(&secret("village-storefront-stripe", &[("api-key", "sk_test")]));
        self.backup_volume(&kubectl);
        self
    }

    /// Where backups go: a folder of the node, which is this machine.
    #[track_caller]
    fn backup_volume(&self, kubectl: &Kubectl) {
        let name = kubectl.namespace();
        let folder = self.scratch.join(&format!("backup-{name}"));
        fs::create_dir_all(&folder).expect("a folder in the scratch");
        for open in [self.scratch.path(), &folder] {
            let mode = if open == folder { 0o777 } else { 0o755 };
            fs::set_permissions(open, fs::Permissions::from_mode(mode)).expect("our own folder");
        }
        let room = json!({"storage": "1Gi"});
        let spec = json!({"capacity": room, "accessModes": ["ReadWriteOnce"], "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": "", "hostPath": {"path": folder}});
        let volume = json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec});
        kubectl.apply(&volume.to_string());
        let spec = json!({"accessModes": ["ReadWriteOnce"], "storageClassName": "", "volumeName": name,
            "resources": {"requests": room}});
        let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {"name": "village-storefront-backup"}, "spec": spec});
        kubectl.apply(&claim.to_string());
    }

    /// The name of a namespace of the example in this test.
    pub fn namespace(&self, name: &str) -> String {
        format!("{name}-{}", self.suffix)
    }

    /// `kubectl` in a namespace of the example.
    pub fn kubectl(&self, namespace: &str) -> Kubectl {
        self.ground.kubectl(&self.namespace(namespace))
    }

    /// Commits a version and tags it.
    #[track_caller]
    pub fn tag(&self, release: Release<'_>) -> &Self {
        let Release { version, faults } = release;
        self.repo.write("release.toml", format!("version = \"{version}\"\n[faults]\n{faults}\n"));
        self.repo.commit(&format!("Version {version}"));
        self.repo.tag(&format!("v{version}"));
        self
    }

    /// `tagline run --tag vVERSION`: its end, whatever it is.
    #[track_caller]
    pub fn run(&self, version: &str) -> Outcome {
        self.tagline.run(["run", "--tag", &format!("v{version}")])
    }

    /// Runs a version to its gate, approves it there, and lets it go on: its end.
    #[track_caller]
    pub fn release(&self, version: &str) -> Outcome {
        let waiting = self.run(version);
        waiting.code(3);
        self.approve();
        self.tagline.run(["resume"])
    }

    /// Approves the newest run for production, as a reviewer does.
    #[track_caller]
    pub fn approve(&self) -> &Self {
        let run = self.newest();
        let plan = self.tagline.plan(run, "production");
        let number = run.to_string();
        self.tagline.run(["approve", &number, "--environment", "production", "--plan", &plan]).success();
        self
    }

    /// The number of the newest run.
    #[track_caller]
    pub fn newest(&self) -> u64 {
        self.tagline.runs().first().and_then(|run| run["id"].as_u64()).expect("a run")
    }

    /// The names of the milestones of a run's job, in order.
    #[track_caller]
    pub fn milestones(&self, run: u64, job: &str) -> Vec<String> {
        let all = self.all_milestones(run, job);
        all.iter().filter_map(|milestone| milestone["name"].as_str().map(str::to_owned)).collect()
    }

    /// The first milestone of that name.
    #[track_caller]
    pub fn milestone(&self, run: u64, job: &str, name: &str) -> Value {
        let all = self.all_milestones(run, job);
        all.into_iter().find(|one| one["name"] == name).unwrap_or_else(|| panic!("run {run} has no `{name}` in {job}"))
    }

    fn all_milestones(&self, run: u64, job: &str) -> Vec<Value> {
        let shown = self.tagline.show(run);
        let jobs = shown["jobs"].as_array().cloned().unwrap_or_default();
        let job = jobs.into_iter().find(|one| one["id"] == job).unwrap_or_default();
        job["milestones"].as_array().cloned().unwrap_or_default()
    }

    /// The address of a Service with a node port, on loopback.
    #[track_caller]
    pub fn url(&self, namespace: &str, service: &str) -> String {
        let service = self.kubectl(namespace).get(["service", service]);
        let port = service["spec"]["ports"][0]["nodePort"].as_u64().expect("the service has a node port");
        format!("http://127.0.0.1:{port}/")
    }

    fn copy(&self, from: &Path, below: &Path, example: &str) {
        for entry in fs::read_dir(from.join(below)).expect("the example's folder") {
            let entry = entry.expect("an entry of it");
            let path = below.join(entry.file_name());
            if entry.file_type().expect("its kind").is_dir() {
                self.copy(from, &path, example);
                continue;
            }
            let bytes = fs::read(entry.path()).expect("a file of the example");
            let content = String::from_utf8(bytes).map(|text| self.adapt(&text, example).into_bytes());
            let content = content.unwrap_or_else(std::string::FromUtf8Error::into_bytes);
            self.repo.write(&path.to_string_lossy(), content);
        }
    }

    /// The example's namespaces become those of this test, `namespace: NAME` wherever a file says so, and the variables of
    /// its environments those of this machine, with seconds for minutes and hours.
    fn adapt(&self, text: &str, example: &str) -> String {
        let mut adapted = String::with_capacity(text.len());
        // Names that the whole cluster shares.
        let text = text.replace(CRITICAL, &format!("{CRITICAL}-{}", self.suffix));
        let dev = format!("{example}-dev");
        let text = &text.replace(&format!("  name: {dev}\n"), &format!("  name: {}\n", self.namespace(&dev)));
        for line in text.split_inclusive('\n') {
            let variable = |(name, _): &&(&str, String)| line.starts_with(&format!("  {name}: "));
            if let Some((name, value)) = self.variables().iter().find(variable) {
                adapted.extend(["  ", *name, ": ", value.as_str(), "\n"]);
                continue;
            }
            match line.find("namespace: ") {
                Some(at) if line.get(at + 11..).is_some_and(|rest| rest.starts_with(example)) => {
                    let (key, rest) = line.split_at(at + 11);
                    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(rest.len());
                    let (name, rest) = rest.split_at(end);
                    adapted.extend([key, &self.namespace(name), rest]);
                }
                _ => adapted.push_str(line),
            }
        }
        adapted
    }

    fn variables(&self) -> Vec<(&'static str, String)> {
        let text = str::to_owned;
        vec![
            ("REGISTRY", self.ground.registry.clone()),
            ("PROMETHEUS", self.ground.prometheus.clone()),
            ("MANIFESTS", text("k8s/local")),
            ("MIN_READY", text("1s")),
            ("DRAIN", text("4s")),
            ("STAGING_WATCH", text("0s")),
            ("INTERVAL", text("1s")),
            ("WINDOW", text("10s")),
            ("NO_DATA", text("8s")),
            ("WATCH", text("20s")),
            ("ERRORS_FOR", text("5s")),
            ("ERRORS_WITHIN", text("15s")),
            ("LATENCY_FOR", text("8s")),
            ("MEMORY_FOR", text("8s")),
            ("KEEP_OLD", text("24h")),
        ]
    }

    /// Sets a variable of the example's environments and commits it.
    #[track_caller]
    pub fn variable(&self, name: &str, value: &str) -> &Self {
        self.edit(".tagline/environments.yml", |text| {
            let line = |line: &str| {
                let named = line.starts_with(&format!("  {name}: "));
                if named { format!("  {name}: {value}\n") } else { format!("{line}\n") }
            };
            text.lines().map(line).collect()
        })
    }

    /// Changes a file of the repository and commits it.
    ///
    /// # Panics
    /// When that changes nothing.
    #[track_caller]
    pub fn edit(&self, file: &str, change: impl FnOnce(&str) -> String) -> &Self {
        let text = fs::read_to_string(self.repo.path().join(file)).expect("a file of the example");
        let changed = change(&text);
        assert_ne!(text, changed, "{file} is as it was");
        self.repo.write(file, changed);
        self.repo.commit(&format!("Change {file}"));
        self
    }

    /// Sets faults of every pod of a version in a namespace, from now on: `{"error_rate": 0.05}`.
    #[track_caller]
    pub fn inject(&self, namespace: &str, version: &str, faults: &Value) {
        // Pods of Jobs bear the version as well and have no such port.
        let chosen = |pod: &Value| {
            pod["metadata"]["annotations"]["tagline.dev/version"] == version
                && pod["metadata"]["ownerReferences"][0]["kind"] != "Job"
        };
        fault::set(&self.kubectl(namespace), chosen, faults);
    }

    /// A field of what `show --json` says of a run.
    #[track_caller]
    pub fn shown(&self, run: u64, pointer: &str) -> Value {
        self.tagline.show(run).pointer(pointer).cloned().unwrap_or_default()
    }
}

/// A kubeconfig with the contexts that the examples name, all of the one test cluster with the credentials of `from`, as a file
/// of that name in the scratch; none is current, so that a command that did not name its context would fail.
#[track_caller]
pub fn contexts(from: &Path, scratch: &Scratch, name: &str) -> String {
    let file = scratch.join(name);
    fs::copy(from, &file).expect("the cluster's kubeconfig");
    let file = file.to_string_lossy().into_owned();
    let config = |args: &[&str]| {
        let mut command = Command::new("kubectl");
        command.args(["config", "--kubeconfig", &file]).args(args);
        let out = command.output().expect("kubectl is on the PATH");
        assert!(out.status.success(), "kubectl config: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).trim().to_owned()
    };
    let current = config(&["current-context"]);
    let of = |what: &str| {
        config(&["view", "-o", &format!("jsonpath={{.contexts[?(@.name==\"{current}\")].context.{what}}}")])
    };
    let (cluster, user) = (of("cluster"), of("user"));
    for name in ["dev-cluster", "staging", "prod"] {
        config(&["set-context", name, "--cluster", &cluster, "--user", &user]);
    }
    config(&["unset", "current-context"]);
    file
}

impl Drop for Shop {
    fn drop(&mut self) {
        // Not waited for: nothing else bears these names.
        let all = self.ground.kubectl("default").command(["get", "namespaces", "--output", "name"]).output();
        let names = all.map(|out| String::from_utf8_lossy(&out.stdout).into_owned()).unwrap_or_default();
        let class = format!("{CRITICAL}-{}", self.suffix);
        let kubectl = self.ground.kubectl("default");
        let _ = kubectl.command(["delete", "--wait=false", "--ignore-not-found", "priorityclass", &class]).output();
        for name in names.lines().filter(|name| name.ends_with(&format!("-{}", self.suffix))) {
            let _ = kubectl.command(["delete", "--wait=false", name]).output();
            let volume = name.trim_start_matches("namespace/");
            let _ =
                kubectl.command(["delete", "--wait=false", "--ignore-not-found", "persistentvolume", volume]).output();
        }
    }
}
