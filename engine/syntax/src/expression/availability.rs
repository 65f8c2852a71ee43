//! Which contexts and functions each key may use.
//!
//! The facts are those of GitHub's published schema, `workflow-v1.0.json` and `action-v1.0.json` of
//! `actions/languageservices` (their `context` lists), which its documentation page "Contexts" repeats.

use super::ast::{Expr, ExprKind};
use super::error::ExprError;
use super::function::{Function, MAX_ARGUMENTS, wrong_count};
use super::suggest::did_you_mean;

/// What an expression at one key may use besides the functions that are everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Availability {
    /// The key, as a message may name it.
    pub key: &'static str,
    /// Names of contexts.
    pub contexts: &'static [&'static str],
    /// Special functions with the fewest and most arguments they take here.
    pub functions: &'static [(Function, usize, usize)],
}

const STATUS: &[(Function, usize, usize)] = &[
    (Function::Always, 0, 0),
    (Function::Cancelled, 0, 0),
    (Function::Success, 0, 0),
    (Function::Failure, 0, 0),
    (Function::HashFiles, 1, MAX_ARGUMENTS),
];
const JOB_STATUS: &[(Function, usize, usize)] = &[
    (Function::Always, 0, 0),
    (Function::Cancelled, 0, 0),
    (Function::Success, 0, MAX_ARGUMENTS),
    (Function::Failure, 0, MAX_ARGUMENTS),
];
const EVERY_FUNCTION: &[(Function, usize, usize)] = &[
    (Function::Always, 0, 0),
    (Function::Cancelled, 0, 0),
    (Function::Success, 0, MAX_ARGUMENTS),
    (Function::Failure, 0, MAX_ARGUMENTS),
    (Function::HashFiles, 1, MAX_ARGUMENTS),
];
const HASH_FILES: &[(Function, usize, usize)] = &[(Function::HashFiles, 1, MAX_ARGUMENTS)];

const WORKFLOW: &[&str] = &["github", "inputs", "vars"];
const NEEDS: &[&str] = &["github", "inputs", "vars", "needs"];
const MATRIX: &[&str] = &["github", "inputs", "vars", "needs", "strategy", "matrix"];
const MATRIX_SECRETS: &[&str] = &["github", "inputs", "vars", "needs", "strategy", "matrix", "secrets"];
const STEP: &[&str] =
    &["github", "inputs", "vars", "needs", "strategy", "matrix", "secrets", "steps", "job", "runner", "env"];
const STEP_NO_SECRETS: &[&str] =
    &["github", "inputs", "vars", "needs", "strategy", "matrix", "steps", "job", "runner", "env"];
const COMPOSITE: &[&str] = &["github", "inputs", "strategy", "matrix", "steps", "job", "runner", "env"];

const fn place(
    key: &'static str,
    contexts: &'static [&'static str],
    functions: &'static [(Function, usize, usize)],
) -> Availability {
    Availability { key, contexts, functions }
}

/// The places, named after their keys.
impl Availability {
    /// Every context there is.
    pub const CONTEXTS: &'static [&'static str] = &[
        "github", "env", "vars", "job", "jobs", "steps", "runner", "secrets", "strategy", "matrix", "needs", "inputs",
    ];
    /// No key: every context and function, for `eval`.
    pub const EVERYTHING: Self = place("an expression", Self::CONTEXTS, EVERY_FUNCTION);

    /// `run-name`
    pub const RUN_NAME: Self = place("run-name", WORKFLOW, &[]);
    /// `concurrency` of the workflow
    pub const WORKFLOW_CONCURRENCY: Self = place("concurrency", WORKFLOW, &[]);
    /// `env` of the workflow
    pub const WORKFLOW_ENV: Self = place("env", &["github", "inputs", "vars", "secrets"], &[]);
    /// `on.workflow_call.inputs.*.default`
    pub const WORKFLOW_CALL_DEFAULT: Self = place("on.workflow_call.inputs.*.default", WORKFLOW, &[]);
    /// `on.workflow_call.outputs.*.value`
    pub const WORKFLOW_CALL_OUTPUT: Self =
        place("on.workflow_call.outputs.*.value", &["github", "inputs", "vars", "jobs"], &[]);

    /// `jobs.*.if`
    pub const JOB_IF: Self = place("jobs.*.if", NEEDS, JOB_STATUS);
    /// `jobs.*.name`
    pub const JOB_NAME: Self = place("jobs.*.name", MATRIX, &[]);
    /// `jobs.*.runs-on`
    pub const RUNS_ON: Self = place("jobs.*.runs-on", MATRIX, &[]);
    /// `jobs.*.strategy`, the matrix included
    pub const STRATEGY: Self = place("jobs.*.strategy", NEEDS, &[]);
    /// `jobs.*.concurrency`
    pub const JOB_CONCURRENCY: Self = place("jobs.*.concurrency", MATRIX, &[]);
    /// `jobs.*.environment` and its `name` and `deployment`
    pub const ENVIRONMENT: Self = place("jobs.*.environment", MATRIX, &[]);
    /// `jobs.*.environment.url`, which is evaluated when the job has run
    pub const ENVIRONMENT_URL: Self = place("jobs.*.environment.url", STEP_NO_SECRETS, &[]);
    /// `jobs.*.env`
    pub const JOB_ENV: Self = place("jobs.*.env", MATRIX_SECRETS, &[]);
    /// `jobs.*.outputs.*`
    pub const JOB_OUTPUT: Self = place("jobs.*.outputs.*", STEP, &[]);
    /// `jobs.*.timeout-minutes`
    pub const JOB_TIMEOUT: Self = place("jobs.*.timeout-minutes", MATRIX, &[]);
    /// `jobs.*.continue-on-error`
    pub const JOB_CONTINUE_ON_ERROR: Self = place("jobs.*.continue-on-error", MATRIX, &[]);
    /// `jobs.*.defaults.run`
    pub const JOB_DEFAULTS: Self =
        place("jobs.*.defaults.run", &["github", "inputs", "vars", "strategy", "matrix", "needs", "env"], &[]);
    /// `jobs.*.container` and `jobs.*.services.*`
    pub const CONTAINER: Self = place("jobs.*.container", MATRIX, &[]);
    /// `env` of a container or service
    pub const CONTAINER_ENV: Self = place("jobs.*.container.env", STEP, &[]);
    /// `credentials` of a container or service
    pub const CREDENTIALS: Self = place(
        "jobs.*.container.credentials",
        &["github", "inputs", "vars", "needs", "strategy", "matrix", "secrets", "env"],
        &[],
    );
    /// `jobs.*.with` of a called workflow
    pub const JOB_WITH: Self = place("jobs.*.with", MATRIX, &[]);
    /// `jobs.*.secrets` of a called workflow
    pub const JOB_SECRETS: Self = place("jobs.*.secrets", MATRIX_SECRETS, &[]);

    /// `jobs.*.steps.*.if`
    pub const STEP_IF: Self = place("jobs.*.steps.*.if", STEP_NO_SECRETS, STATUS);
    /// Every other key of a step: `name`, `run`, `env`, `with`, `working-directory`, `timeout-minutes`, `continue-on-error`
    pub const STEP: Self = place("jobs.*.steps.*", STEP, HASH_FILES);

    /// `inputs.*.default` of an action
    pub const ACTION_INPUT_DEFAULT: Self =
        place("inputs.*.default", &["github", "strategy", "matrix", "job", "runner"], HASH_FILES);
    /// `outputs.*.value` of a composite action
    pub const ACTION_OUTPUT: Self = place("outputs.*.value", COMPOSITE, &[]);
    /// `if` of a composite action's step
    pub const COMPOSITE_STEP_IF: Self = place("runs.steps.*.if", COMPOSITE, STATUS);
    /// Every other key of a composite action's step
    pub const COMPOSITE_STEP: Self = place("runs.steps.*", COMPOSITE, HASH_FILES);
}

/// What `expr` uses and `place` does not offer, in the order of the text.
pub fn check(expr: &Expr, place: &Availability) -> Vec<ExprError> {
    let mut errors = Vec::new();
    expr.walk(&mut |node| errors.extend(check_node(node, place)));
    errors.sort_by_key(|error| error.start);
    errors
}

fn check_node(node: &Expr, place: &Availability) -> Option<ExprError> {
    let message = match &node.kind {
        ExprKind::Context(name) => context_error(name, place)?,
        ExprKind::Call(function, arguments) if function.is_special() => {
            function_error(*function, arguments.len(), place)?
        }
        _ => return None,
    };
    Some(ExprError::new(message, node.start, node.end))
}

fn context_error(name: &str, place: &Availability) -> Option<String> {
    let is_name = |known: &&&str| known.eq_ignore_ascii_case(name);
    if place.contexts.iter().any(|known| is_name(&known)) {
        return None;
    }
    if Availability::CONTEXTS.iter().any(|known| is_name(&known)) {
        let offered = place.contexts.join("`, `");
        return Some(format!("`{}` cannot use the context `{name}`, only `{offered}`", place.key));
    }
    let hint = did_you_mean(name, place.contexts.iter().copied());
    Some(format!("unknown context `{name}`{hint}"))
}

fn function_error(function: Function, count: usize, place: &Availability) -> Option<String> {
    let name = function.name();
    let Some((_, min, max)) = place.functions.iter().find(|(offered, ..)| *offered == function) else {
        return Some(format!("`{}` cannot call `{name}`", place.key));
    };
    let fits = (*min..=*max).contains(&count);
    (!fits).then(|| wrong_count(name, (*min, *max), count))
}

#[cfg(test)]
mod tests {
    use super::{Availability, check};
    use crate::expression::parse;

    fn messages(text: &str, place: &Availability) -> Vec<String> {
        let errors = check(&parse(text).unwrap(), place);
        errors.into_iter().map(|error| error.message).collect()
    }

    #[test]
    fn a_key_offers_its_own_contexts_and_functions() {
        assert!(messages("NEEDS.a.result == 'x' || failure('a')", &Availability::JOB_IF).is_empty());
        assert_eq!(
            messages("matrix.os", &Availability::JOB_IF),
            ["`jobs.*.if` cannot use the context `matrix`, only `github`, `inputs`, `vars`, `needs`"]
        );
        assert_eq!(messages("githb.ref", &Availability::STEP), ["unknown context `githb`; did you mean `github`?"]);
        assert_eq!(messages("hashFiles('a')", &Availability::JOB_ENV), ["`jobs.*.env` cannot call `hashFiles`"]);
        assert_eq!(messages("failure('a')", &Availability::STEP_IF), ["`failure` takes no arguments, not 1"]);
    }

    #[test]
    fn errors_stand_where_the_name_stands() {
        let expr = parse("a && contains(b, secrets.c)").unwrap();
        let places: Vec<_> =
            check(&expr, &Availability::STEP_IF).iter().map(|error| (error.start, error.end)).collect();
        assert_eq!(places, [(0, 1), (14, 15), (17, 24)]);
    }
}
