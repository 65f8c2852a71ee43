//! The job as the agent gets it: everything it needs to finish without the engine.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One job. Job-level expressions are evaluated already; step-level ones are texts with `${{ }}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobSpec {
    /// [`crate::VERSION`].
    pub version: u32,
    /// The run's number.
    pub run: u64,
    /// The job's id in the file.
    pub job: String,
    /// Display name, with matrix values.
    pub name: String,
    /// The job's attempt in the run, from 1.
    pub attempt: u32,
    /// What expressions may see.
    pub contexts: Contexts,
    /// Environment of the workflow, then of the job: texts with `${{ }}`, later layers win.
    pub env: Vec<EnvLayer>,
    /// The steps in order.
    pub steps: Vec<StepSpec>,
    /// `outputs` of the job: texts with `${{ }}`, evaluated at the end.
    pub outputs: IndexMap<String, String>,
    /// `environment.url`, with `${{ }}`.
    pub environment_url: Option<String>,
    /// The job has an environment: `ACTIONS_ALLOW_UNSECURE_COMMANDS` does nothing in it.
    pub has_environment: bool,
    /// Seconds until the job is cancelled for taking too long; GitHub's default is 21,600.
    pub timeout_seconds: u64,
    /// `defaults.run.shell`, job's before workflow's, with `${{ }}`.
    pub default_shell: Option<String>,
    /// `defaults.run.working-directory`, likewise.
    pub default_working_directory: Option<String>,
    /// The job runs in its own image: the unspecified shell is `sh -e {0}`.
    pub in_container: bool,
    /// Values to mask beside the secrets: the password for the image's registry.
    pub masks: Vec<String>,
    /// Where things are, as the steps see them.
    pub paths: JobPaths,
    /// Who the steps run as; none means the agent's own user.
    pub user: Option<StepUser>,
}

/// One layer of environment, in the file's order.
pub type EnvLayer = IndexMap<String, String>;

/// The contexts known before the job starts. `steps`, `job`, `env`, `runner` are the agent's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct Contexts {
    /// `github`, without `action`, `action_path`, `workspace` and the like, which the agent adds.
    pub github: Map<String, Value>,
    /// `inputs`.
    pub inputs: Map<String, Value>,
    /// `vars`.
    pub vars: Map<String, Value>,
    /// `needs`.
    pub needs: Map<String, Value>,
    /// `matrix`.
    pub matrix: Map<String, Value>,
    /// Values of `matrix` were worked out from what comes from outside: outputs, inputs, the event.
    #[serde(default)]
    pub matrix_from_outside: bool,
    /// `strategy`.
    pub strategy: Map<String, Value>,
    /// `secrets`: only those some step of this job names. A step sees only those it names itself.
    pub secrets: IndexMap<String, String>,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepSpec {
    /// Its id, given or made up.
    pub id: String,
    /// `name`, with `${{ }}`.
    pub name: Option<String>,
    /// `if` as written; none is `success()`.
    pub condition: Option<String>,
    /// `env`, with `${{ }}`.
    pub env: EnvLayer,
    /// `continue-on-error`, with `${{ }}`.
    pub continue_on_error: Option<String>,
    /// `timeout-minutes`, with `${{ }}`.
    pub timeout_minutes: Option<String>,
    /// The line of the step in the workflow file, for messages.
    pub line: u32,
    /// What it does.
    pub action: StepAction,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepAction {
    /// A script.
    Run {
        /// With `${{ }}`.
        script: String,
        /// `shell`.
        shell: Option<String>,
        /// `working-directory`.
        working_directory: Option<String>,
    },
    /// A built-in action.
    Uses {
        /// As written, such as `actions/checkout@v4`.
        uses: String,
        /// `with`, values with `${{ }}`.
        with: IndexMap<String, String>,
    },
}

/// Folders, as the job's processes see them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobPaths {
    /// GITHUB_WORKSPACE.
    pub workspace: String,
    /// RUNNER_TEMP.
    pub temp: String,
    /// HOME.
    pub home: String,
    /// RUNNER_TOOL_CACHE.
    pub tool_cache: String,
}

/// A user by numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepUser {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}
