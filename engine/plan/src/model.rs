//! The plan: one value that a dry run prints, an approval binds and an execution follows.
//!
//! It is made once, frozen into the first event of its run, and never made again for that run, so a newer engine goes on
//! with the plan the run began with. [`FORMAT`] names its shape.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tagline_syntax::environments::Environment;
use tagline_syntax::workflow::{Concurrency, Defaults, Job, Permissions, Text};

/// The plan's format. A newer one is refused with a message that names both.
pub const FORMAT: u32 = 1;

/// All that will happen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// [`FORMAT`].
    pub format: u32,
    /// `sha256:` and 64 hex digits over everything in the plan that is known before the build: commit, workflow, jobs,
    /// static matrix, gates and rules. Not in it: who asked, times, the runner.
    pub release_digest: String,
    /// Name of the repository, the last part of its path or origin.
    pub repository: String,
    /// What started it.
    pub trigger: Trigger,
    /// The workflow file.
    pub workflow: WorkflowFile,
    /// The rules in force.
    pub policy: Policy,
    /// `inputs` of a dispatch, typed.
    pub inputs: Map<String, Value>,
    /// `env` of the workflow.
    pub env: IndexMap<String, Text>,
    /// `defaults.run` of the workflow.
    pub defaults: Defaults,
    /// `permissions` of the workflow.
    pub permissions: Option<Permissions>,
    /// `concurrency` of the workflow, evaluated: group and whether it cancels what is in progress.
    pub concurrency: Option<Group>,
    /// The jobs, in an order in which each stands after its needs, else the file's.
    pub jobs: IndexMap<String, PlannedJob>,
}

/// An evaluated concurrency group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Name, compared ignoring case.
    pub name: String,
    /// A newcomer cancels what runs.
    pub cancel_in_progress: bool,
    /// What waits is never dropped. True for `queue: max`, and for environments.
    pub queue: bool,
}

/// What started a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trigger {
    /// `push`, `workflow_dispatch`, `schedule`, …
    pub event: String,
    /// The commit, 40 hex digits; all zeros for a working tree without one.
    pub commit: String,
    /// First line of the commit's message.
    pub subject: String,
    /// `refs/tags/v1.2.3` or `refs/heads/main`.
    pub reference: String,
    /// The tag as written, when a tag started it.
    pub tag: Option<String>,
    /// The tag's version without its prefix.
    pub version: Option<String>,
    /// The working tree, with files not committed, stands for the commit.
    pub working_tree: bool,
    /// Who asked for the run.
    pub actor: Person,
    /// Who else may not approve their own release, by why: `tagger`, `author`, `workflow-editor`.
    pub involved: BTreeMap<String, Person>,
    /// `github.event`.
    pub payload: Value,
}

/// A person, known by e-mail address in lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Default)]
pub struct Person {
    /// Display name.
    pub name: String,
    /// E-mail address, lower case.
    pub email: String,
}

/// The workflow file of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkflowFile {
    /// Path in the repository.
    pub path: String,
    /// `name`, else the path.
    pub name: String,
    /// `sha256:` of the file's bytes.
    pub digest: String,
}

/// The rules in force when the plan was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Policy {
    /// `sha256:` of the environments file; `none` where there is none.
    pub version: String,
    /// Where it was read: branch and commit, such as `main, 71aa0c3`.
    pub origin: String,
    /// Members by team.
    pub teams: IndexMap<String, Vec<String>>,
    /// `vars` of the repository.
    pub variables: IndexMap<String, String>,
    /// The environments the jobs name (all of the file when a name is only known later).
    pub environments: IndexMap<String, Environment>,
}

/// One job of the plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedJob {
    /// As the file has it.
    pub job: Job,
    /// All jobs that come before it, direct and indirect.
    pub ancestors: Vec<String>,
    /// Its legs; none while its matrix depends on outputs of jobs.
    pub legs: Option<Vec<Leg>>,
    /// Names of the secrets its steps name.
    pub secrets: Vec<String>,
}

impl PlannedJob {
    /// `concurrency` as the file has it.
    pub fn concurrency(&self) -> Option<&Concurrency> {
        self.job.concurrency.as_ref()
    }
}

/// One leg of a matrix; a job without one has a single leg with no values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Leg {
    /// Number in the matrix, from 0: `strategy.job-index`.
    pub index: u32,
    /// Display name: `test (ubuntu, 20)`.
    pub name: String,
    /// `matrix`.
    pub matrix: Map<String, Value>,
    /// The environment's name, evaluated; none when there is none or it is not known before its needs end.
    pub environment: Option<String>,
    /// The environment's name depends on what earlier jobs put out.
    pub environment_later: bool,
    /// The image of the job's container, evaluated as far as known before the build.
    pub image: Option<String>,
}

impl Plan {
    /// The rules of an environment, its name compared as GitHub does, ignoring case.
    pub fn environment(&self, name: &str) -> Option<&Environment> {
        self.policy.environments.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, rules)| rules)
    }

    /// The ids of jobs that need this one directly.
    pub fn dependants<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a str> {
        self.jobs.iter().filter(move |(_, j)| j.job.needs.iter().any(|n| n == id)).map(|(k, _)| k.as_str())
    }
}
