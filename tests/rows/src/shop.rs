//! One example in a repository of its own, with namespaces, a database and a store of its own.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;
use tagline_tests::{Outcome, Repo, Scratch, Tagline, workspace};

use crate::{Database, Ground, Kubectl};

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
    /// The database of both environments.
    pub database: Database,
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
        let database = Database::new(ground);
        let tagline = scratch.tagline().dir(repo.path()).env("KUBECONFIG", &ground.kubeconfig.to_string_lossy());
        let shop = Self { scratch, repo, tagline, ground: ground.clone(), database, suffix };
        shop.copy(&workspace().join("examples").join(example), Path::new(""), example);
        let demo = shop.repo.path().join("bin/demo");
        fs::create_dir_all(demo.parent().expect("it has a folder")).expect("a folder in the repository");
        fs::copy(&ground.demo, &demo).expect("the demo application is built");
        shop.repo.commit("Begin");
        shop
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

    /// The milestones of a run's job, in order.
    #[track_caller]
    pub fn milestones(&self, run: u64, job: &str) -> Vec<String> {
        let shown = self.tagline.show(run);
        let jobs = shown["jobs"].as_array().cloned().unwrap_or_default();
        let job = jobs.into_iter().find(|one| one["id"] == job).unwrap_or_default();
        let list = job["milestones"].as_array().cloned().unwrap_or_default();
        list.iter().filter_map(|milestone| milestone["name"].as_str().map(str::to_owned)).collect()
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
            let content = content.unwrap_or_else(|binary| binary.into_bytes());
            self.repo.write(&path.to_string_lossy(), content);
        }
    }

    /// The example's namespaces become those of this test: `namespace: NAME` wherever a file says so.
    fn adapt(&self, text: &str, example: &str) -> String {
        let mut adapted = String::with_capacity(text.len());
        for line in text.split_inclusive('\n') {
            match line.find("namespace: ") {
                Some(at) if line.get(at + 11..).is_some_and(|rest| rest.starts_with(example)) => {
                    let (key, rest) = line.split_at(at + 11);
                    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(rest.len());
                    let (name, rest) = rest.split_at(end);
                    adapted.push_str(&format!("{key}{}{rest}", self.namespace(name)));
                }
                _ => adapted.push_str(line),
            }
        }
        adapted
    }

    /// A field of what `show --json` says of a run.
    #[track_caller]
    pub fn shown(&self, run: u64, pointer: &str) -> Value {
        self.tagline.show(run).pointer(pointer).cloned().unwrap_or_default()
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        // Not waited for: nothing else bears these names.
        let all = self.ground.kubectl("default").command(["get", "namespaces", "--output", "name"]).output();
        let names = all.map(|out| String::from_utf8_lossy(&out.stdout).into_owned()).unwrap_or_default();
        for name in names.lines().filter(|name| name.ends_with(&format!("-{}", self.suffix))) {
            let _ = self.ground.kubectl("default").command(["delete", "--wait=false", name]).output();
        }
    }
}
