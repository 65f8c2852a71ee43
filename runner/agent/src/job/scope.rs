//! What a step's expressions see.

use std::collections::HashSet;

use indexmap::IndexMap;
use tagline_protocol::Contexts;
use tagline_syntax::expression::{
    Environment, EvalError, Expr, Function, Object, Reference, Template, Value, convert_if,
};

/// How the job stands, for the status functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Status {
    /// A step has failed.
    pub failed: bool,
    /// The job is being cancelled.
    pub cancelled: bool,
}

/// Contexts as values. Those that change, change here.
#[derive(Debug, Clone)]
pub(super) struct Scope {
    fixed: IndexMap<&'static str, Value>,
    secrets: IndexMap<String, String>,
    /// `github`, with what the agent adds for each step.
    pub github: Object,
    /// `steps`.
    pub steps: Object,
    /// `env`: workflow, job, GITHUB_ENV, and during a step its own.
    pub env: IndexMap<String, String>,
    /// Names in `env` whose value came from outside.
    pub tainted: HashSet<String>,
    /// `matrix` came from outside.
    pub matrix_from_outside: bool,
    /// How the job stands.
    pub status: Status,
}

/// An expression or template that could not be evaluated; one sentence.
pub(super) type Failure = String;

/// Answers `hashFiles`.
pub(super) type HashFiles<'h> = dyn Fn(&[Value]) -> Result<Value, EvalError> + 'h;

impl Scope {
    /// The contexts of a job, with `runner` as given.
    pub(super) fn new(contexts: &Contexts, runner: Value) -> Self {
        let object = |map: &serde_json::Map<String, serde_json::Value>| {
            Value::from_json(&serde_json::Value::Object(map.clone()))
        };
        let mut fixed = IndexMap::new();
        fixed.insert("inputs", object(&contexts.inputs));
        fixed.insert("vars", object(&contexts.vars));
        fixed.insert("needs", object(&contexts.needs));
        fixed.insert("matrix", object(&contexts.matrix));
        fixed.insert("strategy", object(&contexts.strategy));
        fixed.insert("runner", runner);
        let github = object(&contexts.github).as_object().cloned().unwrap_or_default();
        Self {
            fixed,
            secrets: contexts.secrets.clone(),
            github,
            steps: Object::new(),
            env: IndexMap::new(),
            tainted: HashSet::new(),
            matrix_from_outside: contexts.matrix_from_outside,
            status: Status::default(),
        }
    }

    /// A template as text.
    pub(super) fn text(&self, template: &str, hash: &HashFiles<'_>) -> Result<String, Failure> {
        if !template.contains("${{") {
            return Ok(template.to_owned());
        }
        let template = Template::parse(template).map_err(|error| error.to_string())?;
        let view = self.view(&template.references(), hash)?;
        template.evaluate_text(&view).map_err(|error| error.to_string())
    }

    /// A template as a value.
    pub(super) fn value(&self, template: &str, hash: &HashFiles<'_>) -> Result<Value, Failure> {
        let template = Template::parse(template).map_err(|error| error.to_string())?;
        let view = self.view(&template.references(), hash)?;
        template.evaluate(&view).map_err(|error| error.to_string())
    }

    /// One expression as text.
    pub(super) fn expression(&self, expression: &Expr, hash: &HashFiles<'_>) -> Result<String, Failure> {
        let view = self.view(&expression.references(), hash)?;
        let value = tagline_syntax::expression::evaluate(expression, &view);
        value.map(|value| value.to_text().into_owned()).map_err(|error| error.to_string())
    }

    /// Whether a step's `if` holds.
    pub(super) fn condition(&self, condition: &str, hash: &HashFiles<'_>) -> Result<bool, Failure> {
        let condition = convert_if(condition).map_err(|error| error.to_string())?;
        let mut view = self.view(&[], hash)?;
        view.secrets = None;
        condition.evaluate(&view).map_err(|error| error.to_string())
    }

    /// What a text with these references sees: of the secrets only those it names.
    fn view<'s>(&'s self, references: &[Reference], hash: &'s HashFiles<'s>) -> Result<View<'s>, Failure> {
        let mut secrets = Object::new();
        for reference in references.iter().filter(|reference| reference.context == "secrets") {
            let Some(name) = reference.keys().next() else {
                return Err(format!(
                    "`{reference}` would hand over secrets without naming them; name the one you need: \
                     `secrets.NAME`"
                ));
            };
            let known = self.secrets.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
            if let Some((_, value)) = known {
                secrets.insert(name, Value::string(value.as_str()));
            }
        }
        Ok(View {
            scope: self,
            github: Value::Object(self.github.clone().into()),
            steps: Value::Object(self.steps.clone().into()),
            env: self.env_value(),
            secrets: Some(Value::Object(secrets.into())),
            hash,
        })
    }

    fn env_value(&self) -> Value {
        let mut env = Object::case_sensitive();
        for (name, value) in &self.env {
            env.insert(name.as_str(), Value::string(value.as_str()));
        }
        Value::Object(env.into())
    }

    fn job(&self) -> Value {
        let status = match (self.status.cancelled, self.status.failed) {
            (true, _) => "cancelled",
            (_, true) => "failure",
            _ => "success",
        };
        Value::object([("status", Value::string(status))])
    }
}

/// One evaluation's view of the scope.
struct View<'s> {
    scope: &'s Scope,
    github: Value,
    steps: Value,
    env: Value,
    /// None where the place has no such context.
    secrets: Option<Value>,
    hash: &'s HashFiles<'s>,
}

impl Environment for View<'_> {
    fn context(&self, name: &str) -> Option<Value> {
        match name {
            "github" => Some(self.github.clone()),
            "steps" => Some(self.steps.clone()),
            "env" => Some(self.env.clone()),
            "secrets" => self.secrets.clone(),
            "job" => Some(self.scope.job()),
            _ => self.scope.fixed.get(name).cloned(),
        }
    }

    fn call(&self, function: Function, arguments: &[Value]) -> Option<Result<Value, EvalError>> {
        let status = self.scope.status;
        let holds = match function {
            Function::Success => !status.failed && !status.cancelled,
            Function::Failure => status.failed && !status.cancelled,
            Function::Always => true,
            Function::Cancelled => status.cancelled,
            Function::HashFiles => return Some((self.hash)(arguments)),
            _ => return None,
        };
        if arguments.is_empty() {
            return Some(Ok(Value::Bool(holds)));
        }
        let message = format!("{}() takes no arguments at a step", function.name());
        Some(Err(EvalError::new(message)))
    }
}
