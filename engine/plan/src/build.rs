//! Making a plan: everything that can be refused before the first step is refused here, all of it in one pass.

use std::collections::BTreeSet;

use indexmap::IndexMap;
use serde_json::{Map, Value, json};
use tagline_syntax::environments::{Environment, EnvironmentsFile};
use tagline_syntax::expression::{Template, nearest};
use tagline_syntax::workflow::{Job, Step, StepAction, Text, Workflow};
use thiserror::Error;

use crate::digest::digest_of;
use crate::evaluate::{EvaluationError, JobScope};
use crate::facts::Facts;
use crate::graph;
use crate::legs::{self, LegError};
use crate::model::{FORMAT, Plan, PlannedJob, Policy, Trigger, WorkflowFile};

/// What a plan is made from.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// Name of the repository.
    pub repository: String,
    /// What started it.
    pub trigger: Trigger,
    /// The workflow.
    pub workflow: &'a Workflow,
    /// Its file.
    pub file: WorkflowFile,
    /// The environments file; none where the repository has none.
    pub environments: Option<&'a EnvironmentsFile>,
    /// `sha256:` of that file, and where it was read.
    pub policy_version: String,
    /// Branch and commit of that file.
    pub policy_origin: String,
    /// `inputs` of a dispatch, typed.
    pub inputs: Map<String, Value>,
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PlanError {
    /// A job names an environment that is not in the file.
    #[error("job `{job}` names the environment `{name}`, which is not in .tagline/environments.yml ({origin})")]
    UnknownEnvironment {
        /// The job.
        job: String,
        /// The name.
        name: String,
        /// The nearest name there is.
        nearest: Option<String>,
        /// Where the file was read, or `no such file`.
        origin: String,
        /// Line of the name.
        line: u32,
        /// Column of the name.
        column: u32,
    },
    /// A variable that an environment requires is not there.
    #[error("environment `{environment}` requires the variable `{name}`, which is missing or empty")]
    MissingVariable {
        /// The environment.
        environment: String,
        /// The variable.
        name: String,
    },
    /// A key cannot be evaluated.
    #[error("job `{job}`: {source}")]
    Leg {
        /// The job.
        job: String,
        /// What is wrong.
        source: LegError,
    },
    /// A key of the workflow cannot be evaluated.
    #[error(transparent)]
    Evaluation(#[from] EvaluationError),
}

/// Makes the plan.
///
/// # Errors
/// Every reason at once; nothing can start then.
#[expect(clippy::needless_pass_by_value, reason = "a request is made for one plan")]
pub fn build(request: Request<'_>) -> Result<Plan, Vec<PlanError>> {
    let mut plan = skeleton(&request);
    let mut errors = Vec::new();
    expand(&mut plan, &mut errors);
    check_environments(&plan, request.environments, &mut errors);
    match workflow_concurrency(&plan, request.workflow) {
        Ok(group) => plan.concurrency = group,
        Err(error) => errors.push(error.into()),
    }
    keep_named_environments(&mut plan);
    check_variables(&plan, &mut errors);
    if !errors.is_empty() {
        return Err(errors);
    }
    plan.release_digest = release_digest(&plan);
    Ok(plan)
}

fn skeleton(request: &Request<'_>) -> Plan {
    let workflow = request.workflow;
    let order = graph::order(&workflow.jobs);
    let mut ancestors = graph::ancestors(&workflow.jobs, &order);
    let planned = |id: &String| {
        let job = workflow.jobs[id].clone();
        let secrets = secrets_of(&job, &workflow.env);
        (id.clone(), PlannedJob { ancestors: ancestors.remove(id).unwrap_or_default(), legs: None, secrets, job })
    };
    let file = request.environments;
    Plan {
        format: FORMAT,
        release_digest: String::new(),
        repository: request.repository.clone(),
        trigger: request.trigger.clone(),
        workflow: request.file.clone(),
        policy: Policy {
            version: request.policy_version.clone(),
            origin: request.policy_origin.clone(),
            teams: file.map(|f| f.teams.clone()).unwrap_or_default(),
            variables: file.map(|f| f.variables.clone()).unwrap_or_default(),
            environments: file.map(|f| f.environments.clone()).unwrap_or_default(),
        },
        inputs: request.inputs.clone(),
        env: workflow.env.clone(),
        defaults: workflow.defaults.clone(),
        permissions: workflow.permissions.clone(),
        concurrency: None,
        jobs: order.iter().map(planned).collect(),
    }
}

fn expand(plan: &mut Plan, errors: &mut Vec<PlanError>) {
    let facts = Facts { attempt: 1, ..Facts::default() };
    for id in plan.jobs.keys().cloned().collect::<Vec<_>>() {
        let job = &plan.jobs[&id];
        if !legs::is_static(job) {
            continue;
        }
        match legs::legs(plan, job, &facts) {
            Ok(made) => plan.jobs[&id].legs = Some(made),
            Err(source) => errors.push(PlanError::Leg { job: id, source }),
        }
    }
}

fn check_environments(plan: &Plan, file: Option<&EnvironmentsFile>, errors: &mut Vec<PlanError>) {
    for (id, job) in &plan.jobs {
        let Some(written) = &job.job.environment else {
            continue;
        };
        let named: BTreeSet<&String> = job.legs.iter().flatten().filter_map(|leg| leg.environment.as_ref()).collect();
        for name in named {
            // Without the file only a released tag insists: GitHub would make the environment up, unprotected.
            if plan.environment(name).is_some() || (file.is_none() && plan.trigger.tag.is_none()) {
                continue;
            }
            let known = file.iter().flat_map(|f| f.environments.keys().map(String::as_str));
            errors.push(PlanError::UnknownEnvironment {
                job: id.clone(),
                name: name.clone(),
                nearest: nearest(name, known).map(str::to_owned),
                origin: if file.is_some() { plan.policy.origin.clone() } else { "there is no such file".to_owned() },
                line: written.name.at.line,
                column: written.name.at.column,
            });
        }
    }
}

/// Only the environments that count stay in the plan, so that an edit to another one does not change its digest.
fn keep_named_environments(plan: &mut Plan) {
    let later = plan.jobs.values().any(|job| {
        job.job.environment.is_some()
            && job.legs.as_ref().is_none_or(|legs| legs.iter().any(|leg| leg.environment_later))
    });
    if later {
        return;
    }
    let mut named: BTreeSet<String> = plan
        .jobs
        .values()
        .flat_map(|job| job.legs.iter().flatten())
        .filter_map(|leg| leg.environment.as_ref().map(|name| name.to_lowercase()))
        .collect();
    // `after` reaches further environments.
    loop {
        let further: Vec<String> = plan
            .policy
            .environments
            .iter()
            .filter(|(name, _)| named.contains(&name.to_lowercase()))
            .filter_map(|(_, rules)| rules.after.as_ref().map(|name| name.to_lowercase()))
            .filter(|name| !named.contains(name))
            .collect();
        if further.is_empty() {
            break;
        }
        named.extend(further);
    }
    plan.policy.environments.retain(|name, _| named.contains(&name.to_lowercase()));
}

fn check_variables(plan: &Plan, errors: &mut Vec<PlanError>) {
    let missing = |rules: &Environment, name: &String| {
        let value = rules.variables.get(name).or_else(|| plan.policy.variables.get(name));
        value.is_none_or(String::is_empty)
    };
    for (environment, rules) in &plan.policy.environments {
        for name in rules.required_variables.iter().filter(|name| missing(rules, name)) {
            errors.push(PlanError::MissingVariable { environment: environment.clone(), name: name.clone() });
        }
    }
}

fn workflow_concurrency(plan: &Plan, workflow: &Workflow) -> Result<Option<crate::model::Group>, EvaluationError> {
    let (Some(concurrency), Some(any)) = (&workflow.concurrency, plan.jobs.values().next()) else {
        return Ok(None);
    };
    let facts = Facts { attempt: 1, ..Facts::default() };
    legs::group(&JobScope::of_job(plan, any, &facts), concurrency)
}

/// Names of secrets that a job's steps, environment and outputs name, upper case, sorted.
fn secrets_of(job: &Job, workflow_env: &IndexMap<String, Text>) -> Vec<String> {
    let mut texts: Vec<&Text> = workflow_env.values().chain(job.env.values()).chain(job.outputs.values()).collect();
    job.steps.iter().for_each(|step| step_texts(step, &mut texts));
    if let Some(container) = &job.container {
        texts.extend(container.env.values());
        texts.extend(container.credentials.iter().flat_map(|c| [&c.username, &c.password]));
    }
    let references = texts.iter().filter_map(|t| Template::parse(&t.text).ok()).flat_map(|t| t.references());
    let names: BTreeSet<String> = references
        .filter(|r| r.context == "secrets")
        .filter_map(|r| r.keys().next().map(str::to_uppercase))
        .filter(|name| name != "GITHUB_TOKEN")
        .collect();
    names.into_iter().collect()
}

fn step_texts<'a>(step: &'a Step, texts: &mut Vec<&'a Text>) {
    texts.extend(step.env.values());
    texts.extend([&step.name, &step.continue_on_error, &step.timeout_minutes].into_iter().flatten());
    match &step.action {
        StepAction::Run { script, shell, working_directory } => {
            texts.push(script);
            texts.extend(shell.iter().chain(working_directory));
        }
        StepAction::Uses { with, .. } => texts.extend(with.values()),
    }
}

/// The digest of all that is known before the build. Who asked and when is not in it, so a dry run and the real run of
/// the same tag agree.
fn release_digest(plan: &Plan) -> String {
    let trigger = &plan.trigger;
    digest_of(&json!({
        "format": plan.format,
        "repository": plan.repository,
        "event": trigger.event,
        "commit": trigger.commit,
        "reference": trigger.reference,
        "workflow": plan.workflow,
        "policy": plan.policy,
        "inputs": plan.inputs,
        "env": plan.env,
        "defaults": plan.defaults,
        "permissions": plan.permissions,
        "concurrency": plan.concurrency,
        "jobs": plan.jobs,
    }))
}
