//! What the `container` of a leg comes to when the leg starts: its variables, its options and the login for its image.
//!
//! Secrets are handed in opened and end up in the result only: nothing of it is stored or shown.

use indexmap::IndexMap;
use serde_json::{Map, Value};
use tagline_syntax::expression::Template;
use tagline_syntax::workflow::{Container, Text};

use crate::contexts;
use crate::evaluate::{EvaluationError, JobScope};
use crate::facts::Facts;
use crate::legs::scope_of;
use crate::model::{Leg, Plan, PlannedJob};

/// A `container`, evaluated. The default is that of a leg without one.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct LegContainer {
    /// `env`.
    pub env: Vec<(String, String)>,
    /// `options`.
    pub options: String,
    /// `credentials`: user and password. None where one of them comes to nothing, as on GitHub.
    pub login: Option<(String, String)>,
}

/// Evaluates the `container` of a leg. `secrets` are those that the job names, by name; `total` is the number of its
/// legs.
///
/// # Errors
/// When an expression fails, or would hand over secrets that it does not name.
pub fn container(
    plan: &Plan,
    job: &PlannedJob,
    leg: &Leg,
    total: usize,
    facts: &Facts,
    secrets: &IndexMap<String, String>,
) -> Result<LegContainer, EvaluationError> {
    // An image that came to nothing is no container.
    let Some(written) = job.job.container.as_ref().filter(|_| leg.image.is_some()) else {
        return Ok(LegContainer::default());
    };
    let vars = contexts::vars(plan, leg.environment.as_deref());
    let scope = scope_of(plan, job, leg, total, facts)?.with("vars", &vars).with_job(&job.job.id);
    let mut scope = scope.with("secrets", &map(secrets));
    if names_env(written) {
        show_env(&mut scope, &[&plan.env, &job.job.env])?;
    }
    let mut env = Vec::with_capacity(written.env.len());
    for (name, text) in &written.env {
        env.push((name.clone(), value(&scope, "container.env", text)?));
    }
    let options = written.options.as_ref().map(|text| value(&scope, "container.options", text));
    let login = match &written.credentials {
        None => None,
        Some(given) => {
            let user = value(&scope, "container.credentials.username", &given.username)?;
            let password = value(&scope, "container.credentials.password", &given.password)?;
            (!user.is_empty() && !password.is_empty()).then_some((user, password))
        }
    };
    Ok(LegContainer { env, options: options.transpose()?.unwrap_or_default(), login })
}

/// Sets `env`; later layers win.
fn show_env(scope: &mut JobScope<'_>, layers: &[&IndexMap<String, Text>]) -> Result<(), EvaluationError> {
    let mut env = IndexMap::new();
    for (name, text) in layers.iter().copied().flatten() {
        env.insert(name.clone(), value(scope, "env", text)?);
    }
    scope.set("env", &map(&env));
    Ok(())
}

/// A text's value. A step gets only secrets that are named, and so does a container.
fn value(scope: &JobScope<'_>, key: &'static str, text: &Text) -> Result<String, EvaluationError> {
    let references = Template::parse(&text.text).map(|template| template.references()).unwrap_or_default();
    let unnamed = references.iter().find(|one| one.context == "secrets" && one.keys().next().is_none());
    if let Some(unnamed) = unnamed {
        let why =
            format!("`{unnamed}` would hand over secrets without naming them; name the one you need: `secrets.NAME`");
        return Err(EvaluationError { key, line: text.at.line, column: text.at.column, why });
    }
    scope.text(key, text)
}

fn names_env(container: &Container) -> bool {
    let credentials = container.credentials.iter().flat_map(|given| [&given.username, &given.password]);
    let mut texts = container.env.values().chain(credentials);
    texts.any(|text| {
        let template = Template::parse(&text.text);
        template.is_ok_and(|parsed| parsed.references().iter().any(|one| one.context == "env"))
    })
}

fn map(values: &IndexMap<String, String>) -> Map<String, Value> {
    values.iter().map(|(name, value)| (name.clone(), Value::String(value.clone()))).collect()
}
