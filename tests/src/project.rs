//! What most acceptance tests begin with, a tagged repository, and what they look at in the end, the store.

use std::path::PathBuf;

use serde_json::Value;

use crate::{Repo, Scratch, Tagline};

/// The tag of [`Scratch::project`].
pub const TAG: &str = "v1.2.3";

impl Scratch {
    /// The repository `shop` with one workflow `release.yml`, by jonas, tagged [`TAG`].
    #[track_caller]
    pub fn project(&self, workflow: &str) -> Repo {
        let repo = self.repo("shop");
        repo.workflow("release.yml", workflow).commit("Sell shoes");
        repo.tag(TAG);
        repo
    }

    /// The same with `.tagline/environments.yml`.
    #[track_caller]
    pub fn guarded_project(&self, workflow: &str, environments: &str) -> Repo {
        let repo = self.repo("shop");
        repo.workflow("release.yml", workflow).environments(environments).commit("Sell shoes");
        repo.tag(TAG);
        repo
    }
}

impl Tagline {
    /// `runs --json`: newest first.
    #[track_caller]
    pub fn runs(&self) -> Vec<Value> {
        match self.run(["runs", "--json"]).success().json() {
            Value::Array(runs) => runs,
            other => panic!("`runs --json` is no array: {other}"),
        }
    }

    /// `show RUN --json`.
    #[track_caller]
    pub fn show(&self, run: u64) -> Value {
        self.run(["show", &run.to_string(), "--json"]).success().json()
    }

    /// Asserts that nothing was begun: no run in the store, no job's folder beside it.
    #[track_caller]
    pub fn nothing_began(&self) {
        assert_eq!(self.runs(), Vec::<Value>::new(), "a run was begun");
        let jobs = self.store().join("runs");
        let there = std::fs::read_dir(&jobs).is_ok_and(|mut entries| entries.next().is_some());
        assert!(!there, "{} is not empty", jobs.display());
    }

    /// The permanent log of a job's attempt, one record a line.
    pub fn spool(&self, run: u64, job: &str, attempt: u32) -> PathBuf {
        self.store().join(format!("runs/{run}/{job}/{attempt}/spool.jsonl"))
    }

    /// Whether a job's first attempt was never started.
    pub fn log_is_missing(&self, run: u64, job: &str) -> bool {
        !self.spool(run, job, 1).exists()
    }

    /// What the steps of a job's first attempt printed, and what the agent said to it, a line each.
    #[track_caller]
    pub fn log(&self, run: u64, job: &str) -> String {
        let path = self.spool(run, job, 1);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let records = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("a record a line"));
        let mut log = String::new();
        for record in records {
            for line in record["log"]["lines"].as_array().into_iter().flatten() {
                log.push_str(line.as_str().expect("lines are text"));
                log.push('\n');
            }
        }
        log
    }

    /// The plan digest of an environment's gate, as `approve --plan` takes it.
    #[track_caller]
    pub fn plan(&self, run: u64, environment: &str) -> String {
        let refused = self.run(["approve", &run.to_string(), "--environment", environment]);
        refused.code(2);
        let (_, digest) = refused.stderr.rsplit_once("--plan ").expect("the command to use");
        digest.split_whitespace().next().expect("a digest").to_owned()
    }
}
