//! The types of the model. Everything here is plain data that survives JSON, because the plan freezes it in the journal.
//!
//! Invariants: identifiers are checked, unique ignoring case, and `needs` name real jobs without cycles (the reader
//! reports otherwise and makes no model). Text that may hold `${{ }}` is kept as written in [`Text`].

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::triggers::Triggers;

/// A place in a file; both numbers start at 1, columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
pub struct Position {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

/// A scalar of the file after GitHub's coercion to string, perhaps holding `${{ }}`, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Text {
    /// The scalar's value; `null` is the empty string.
    pub text: String,
    /// Where the scalar starts.
    pub at: Position,
}

/// A whole workflow file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Workflow {
    /// `name`, else nothing (GitHub shows the path then).
    pub name: Option<String>,
    /// `run-name`.
    pub run_name: Option<Text>,
    /// `on`.
    pub on: Triggers,
    /// `permissions`.
    pub permissions: Option<Permissions>,
    /// `env`, in the file's order.
    pub env: IndexMap<String, Text>,
    /// `defaults.run`.
    pub defaults: Defaults,
    /// `concurrency`.
    pub concurrency: Option<Concurrency>,
    /// `jobs`, in the file's order.
    pub jobs: IndexMap<String, Job>,
    /// What the file asks for, is valid, and has no place in this model: each with where it stands. The engine does
    /// not carry it out; see `not_carried_out`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub beyond: Vec<(Position, String)>,
}

/// One entry of `jobs`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct Job {
    /// The key.
    pub id: String,
    /// Where the key stands.
    pub at: Position,
    /// `name`.
    pub name: Option<Text>,
    /// `needs`, spelled as the needed jobs spell their ids.
    pub needs: Vec<String>,
    /// `if`, as written, without the implicit `success()`.
    pub condition: Option<Text>,
    /// `runs-on`; nothing for a job that calls a workflow.
    pub runs_on: Option<RunsOn>,
    /// `environment`.
    pub environment: Option<EnvironmentRef>,
    /// `concurrency`.
    pub concurrency: Option<Concurrency>,
    /// `permissions`.
    pub permissions: Option<Permissions>,
    /// `outputs`.
    pub outputs: IndexMap<String, Text>,
    /// `env`.
    pub env: IndexMap<String, Text>,
    /// `defaults.run`.
    pub defaults: Defaults,
    /// `strategy`.
    pub strategy: Strategy,
    /// `timeout-minutes`, a number or an expression.
    pub timeout_minutes: Option<Text>,
    /// `continue-on-error`, a boolean or an expression.
    pub continue_on_error: Option<Text>,
    /// `container`.
    pub container: Option<Container>,
    /// `services`, by key.
    pub services: IndexMap<String, Service>,
    /// `steps`.
    pub steps: Vec<Step>,
    /// `uses`, `with` and `secrets` of a job that calls a reusable workflow.
    pub call: Option<Call>,
}

/// `runs-on`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunsOn {
    /// The labels; one text that is an expression may yield a list.
    pub labels: Vec<Text>,
    /// `group`.
    pub group: Option<Text>,
}

/// `environment` of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentRef {
    /// `name`.
    pub name: Text,
    /// `url`, evaluated when the job ends.
    pub url: Option<Text>,
    /// `deployment`; false means the gate without a deployment record.
    pub deployment: bool,
}

/// `concurrency`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Concurrency {
    /// `group`.
    pub group: Text,
    /// `cancel-in-progress`, a boolean or an expression.
    pub cancel_in_progress: Option<Text>,
    /// `queue: max`: nothing that waits is dropped.
    pub queue_max: bool,
}

/// `defaults.run`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Defaults {
    /// `shell`.
    pub shell: Option<Text>,
    /// `working-directory`.
    pub working_directory: Option<Text>,
}

/// `strategy`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct Strategy {
    /// `matrix`.
    pub matrix: Option<Matrix>,
    /// `fail-fast`, true unless said otherwise.
    pub fail_fast: Option<Text>,
    /// `max-parallel`.
    pub max_parallel: Option<Text>,
}

/// `strategy.matrix`: a mapping of vectors with `include` and `exclude`, or one expression.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Matrix {
    /// The YAML tree with its scalar types; strings may hold `${{ }}`. A string is an expression for the whole.
    pub tree: serde_json::Value,
    /// Where it stands.
    pub at: Position,
}

/// `permissions`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Permissions {
    /// `read-all`.
    ReadAll,
    /// `write-all`.
    WriteAll,
    /// Scopes by name with `read`, `write` or `none`; a scope not named is `none`.
    Scopes(IndexMap<String, String>),
}

/// `container`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// `image`; empty after evaluation means no container.
    pub image: Text,
    /// `credentials`.
    pub credentials: Option<Credentials>,
    /// `env`.
    pub env: IndexMap<String, Text>,
    /// `ports`.
    pub ports: Vec<Text>,
    /// `volumes`.
    pub volumes: Vec<Text>,
    /// `options`, flags of `docker create`.
    pub options: Option<Text>,
}

/// `credentials` of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// `username`.
    pub username: Text,
    /// `password`.
    pub password: Text,
}

/// One entry of `services`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// What it shares with a job's container.
    pub container: Container,
    /// `command`.
    pub command: Option<Text>,
    /// `entrypoint`.
    pub entrypoint: Option<Text>,
}

/// `uses` of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// `./.github/workflows/FILE` or `OWNER/REPO/.github/workflows/FILE@REF`.
    pub uses: Text,
    /// `with`.
    pub with: IndexMap<String, Text>,
    /// `secrets`.
    pub secrets: Secrets,
}

/// `secrets` of a job that calls a workflow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Secrets {
    /// `inherit`.
    Inherit,
    /// By name.
    Named(IndexMap<String, Text>),
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// `id`, or the id GitHub makes up (`__run`, `__actions_checkout`, with `_2` and so on).
    pub id: String,
    /// Where the step stands.
    pub at: Position,
    /// `name`.
    pub name: Option<Text>,
    /// `if`, as written.
    pub condition: Option<Text>,
    /// `env`.
    pub env: IndexMap<String, Text>,
    /// `continue-on-error`.
    pub continue_on_error: Option<Text>,
    /// `timeout-minutes`.
    pub timeout_minutes: Option<Text>,
    /// What the step does.
    pub action: StepAction,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum StepAction {
    /// `run`.
    Run {
        /// The script.
        script: Text,
        /// `shell`.
        shell: Option<Text>,
        /// `working-directory`.
        working_directory: Option<Text>,
    },
    /// `uses`.
    Uses {
        /// The action as written.
        uses: Text,
        /// `with`, keys as written.
        with: IndexMap<String, Text>,
    },
}
