//! From a run's state to what an agent gets: one job leg, with everything it needs to finish without the engine.

use indexmap::IndexMap;
use serde_json::Value;
use tagline_executor::registry::Login;
use tagline_executor::{Limits, LimitsError};
use tagline_plan::{EvaluationError, LegContainer, PlannedJob, contexts, scope_of};
use tagline_protocol::{Contexts, EnvLayer, JobPaths, JobSpec, StepAction, StepSpec, StepUser, VERSION};
use tagline_run::{Attempt, JobKey, LegState, RunState};
use tagline_syntax::workflow::{self, Position, Step, Text};

use crate::secrets::SHORTEST;

/// What the state does not know of a job.
#[derive(Debug, Clone)]
pub(crate) struct Surroundings {
    /// The secrets its steps name, opened.
    pub(crate) secrets: IndexMap<String, String>,
    /// What is masked beside them.
    pub(crate) masks: Vec<String>,
    /// Where things are inside.
    pub(crate) paths: JobPaths,
    /// Who the steps run as.
    pub(crate) user: Option<StepUser>,
    /// It runs in its own image.
    pub(crate) in_container: bool,
}

/// The container of a leg, as it is launched.
#[derive(Default)]
pub(crate) struct Container {
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) limits: Limits,
    pub(crate) login: Option<Login>,
}

impl Container {
    /// What its login must not be seen by in logs, however it is written: secrets are masked, but a password may be
    /// worked out from one, or stand in the file.
    pub(crate) fn masks(&self) -> Vec<String> {
        match &self.login {
            Some(Login::Password { password, .. }) if password.len() >= SHORTEST => vec![password.clone()],
            _ => Vec::new(),
        }
    }
}

/// What the leg's `container` comes to with the job's secrets; that of a leg without one is empty.
///
/// # Errors
/// One sentence, with the key and its place.
pub(crate) fn container(
    state: &RunState,
    key: &JobKey,
    secrets: &IndexMap<String, String>,
) -> Result<Container, String> {
    let total = |id| Some(state.jobs.get(id)?.ready.as_ref()?.legs.len());
    let known = (state.plan.jobs.get(&key.job), state.leg(key), total(&key.job));
    let (Some(job), Some(leg), Some(total)) = known else {
        return Err(format!("the run has no job {key}"));
    };
    let made = tagline_plan::container(&state.plan, job, &leg.ready.leg, total, &state.facts(), secrets);
    let LegContainer { env, options, login } = made.map_err(|error| error.to_string())?;
    let place = |error: LimitsError| {
        let at = job.job.container.as_ref().and_then(|container| container.options.as_ref()).map(|text| text.at);
        let Position { line, column } = at.unwrap_or_default();
        format!("container.options at line {line}, column {column}: {error}")
    };
    Ok(Container {
        environment: env,
        limits: options.parse().map_err(place)?,
        login: login.map(|(user, password)| Login::Password { user, password }),
    })
}

/// The specification of a leg. None when the state has no such leg.
pub(crate) fn specification(
    state: &RunState,
    key: &JobKey,
    attempt: Attempt,
    around: Surroundings,
) -> Option<Result<JobSpec, EvaluationError>> {
    let job = state.plan.jobs.get(&key.job)?;
    let leg = state.leg(key)?;
    let total = state.jobs.get(&key.job)?.ready.as_ref()?.legs.len();
    Some(build(state, job, leg, total, attempt, around))
}

fn build(
    state: &RunState,
    planned: &PlannedJob,
    leg: &LegState,
    total: usize,
    attempt: Attempt,
    around: Surroundings,
) -> Result<JobSpec, EvaluationError> {
    let plan = &state.plan;
    let job = &planned.job;
    let ready = &leg.ready;
    let facts = state.facts();
    let scope = scope_of(plan, planned, &ready.leg, total, &facts)?;
    let fail_fast = scope.boolean("fail-fast", job.strategy.fail_fast.as_ref(), true)?;
    let max_parallel = state.jobs[&job.id].ready.as_ref().and_then(|r| r.max_parallel);
    let mut github = contexts::github(plan, &facts);
    github.insert("job".to_owned(), Value::String(job.id.clone()));
    let environment = ready.leg.environment.as_deref();
    let defaults = |pick: fn(&workflow::Defaults) -> Option<&Text>| {
        pick(&job.defaults).or_else(|| pick(&plan.defaults)).map(|text| text.text.clone())
    };
    Ok(JobSpec {
        version: VERSION,
        run: state.run.0,
        job: job.id.clone(),
        name: ready.leg.name.clone(),
        attempt: attempt.0,
        contexts: Contexts {
            github,
            inputs: plan.inputs.clone(),
            vars: contexts::vars(plan, environment),
            needs: contexts::needs(planned, &facts),
            matrix: ready.leg.matrix.clone(),
            matrix_from_outside: tagline_plan::matrix_from_outside(planned),
            strategy: contexts::strategy(&ready.leg, total, fail_fast, max_parallel),
            secrets: around.secrets,
        },
        env: vec![layer(&plan.env), layer(&job.env)],
        steps: job.steps.iter().map(step).collect(),
        outputs: layer(&job.outputs),
        environment_url: url(plan, job, environment),
        has_environment: environment.is_some(),
        timeout_seconds: ready.timeout_seconds,
        default_shell: defaults(|d| d.shell.as_ref()),
        default_working_directory: defaults(|d| d.working_directory.as_ref()),
        in_container: around.in_container,
        masks: around.masks,
        paths: around.paths,
        user: around.user,
    })
}

/// The address a job gives, else its environment's.
fn url(plan: &tagline_plan::Plan, job: &workflow::Job, environment: Option<&str>) -> Option<String> {
    let own = job.environment.as_ref().and_then(|e| e.url.as_ref()).map(|url| url.text.clone());
    own.or_else(|| plan.environment(environment?)?.url.clone())
}

fn layer(env: &IndexMap<String, Text>) -> EnvLayer {
    env.iter().map(|(name, text)| (name.clone(), text.text.clone())).collect()
}

fn step(step: &Step) -> StepSpec {
    let text = |text: &Option<Text>| text.as_ref().map(|t| t.text.clone());
    StepSpec {
        id: step.id.clone(),
        name: text(&step.name),
        condition: text(&step.condition),
        env: layer(&step.env),
        continue_on_error: text(&step.continue_on_error),
        timeout_minutes: text(&step.timeout_minutes),
        line: step.at.line,
        action: match &step.action {
            workflow::StepAction::Run { script, shell, working_directory } => StepAction::Run {
                script: script.text.clone(),
                shell: text(shell),
                working_directory: text(working_directory),
            },
            workflow::StepAction::Uses { uses, with } => {
                StepAction::Uses { uses: uses.text.clone(), with: layer(with) }
            }
        },
    }
}
