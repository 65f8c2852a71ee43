//! Expressions outside steps: which values and functions a job's keys see.
//!
//! A context that is not known yet is null, as on GitHub; which contexts a key may name at all was checked when the file
//! was read.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};
use tagline_syntax::expression::{Environment, EvalError, Function, Object, Template, Value};
use tagline_syntax::workflow::{Text, is_insert};
use thiserror::Error;

use crate::contexts;
use crate::facts::{Facts, NeedResult};
use crate::model::{Leg, Plan, PlannedJob};

/// A value of the file that cannot be worked out.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{key} at line {line}, column {column}: {why}")]
pub struct EvaluationError {
    /// The key, such as `timeout-minutes`.
    pub key: &'static str,
    /// Line of the value.
    pub line: u32,
    /// Column of the value.
    pub column: u32,
    /// One sentence.
    pub why: String,
}

/// What the keys of one job see.
pub struct JobScope<'a> {
    contexts: BTreeMap<&'static str, Value>,
    job: &'a PlannedJob,
    facts: &'a Facts,
}

impl<'a> JobScope<'a> {
    /// For keys evaluated before the matrix: `if`, `strategy`.
    pub fn of_job(plan: &Plan, job: &'a PlannedJob, facts: &'a Facts) -> Self {
        let contexts = BTreeMap::from([
            ("github", object(&contexts::github(plan, facts))),
            ("inputs", object(&plan.inputs)),
            ("vars", object(&contexts::vars(plan, None))),
            ("needs", object(&contexts::needs(job, facts))),
        ]);
        Self { contexts, job, facts }
    }

    /// For keys of one leg: `name`, `environment`, `concurrency`, `timeout-minutes`, …
    pub fn of_leg(mut self, matrix: &Map<String, Json>, strategy: &Map<String, Json>) -> Self {
        self.contexts.insert("matrix", object(matrix));
        self.contexts.insert("strategy", object(strategy));
        self
    }

    /// With a context in place of what it had of that name.
    pub fn with(mut self, name: &'static str, context: &Map<String, Json>) -> Self {
        self.set(name, context);
        self
    }

    /// With `github.job`.
    pub fn with_job(mut self, id: &str) -> Self {
        if let Some(Value::Object(github)) = self.contexts.get("github") {
            let mut github = (**github).clone();
            github.insert("job", Value::string(id));
            self.contexts.insert("github", github.into());
        }
        self
    }

    /// Replaces a context.
    pub(crate) fn set(&mut self, name: &'static str, context: &Map<String, Json>) {
        self.contexts.insert(name, object(context));
    }

    /// Evaluates a text; one that is only `${{ }}` keeps its type.
    pub fn value(&self, key: &'static str, text: &Text) -> Result<Value, EvaluationError> {
        let wrong = |why: String| EvaluationError { key, line: text.at.line, column: text.at.column, why };
        let template = Template::parse(&text.text).map_err(|e| wrong(e.to_string()))?;
        template.evaluate(self).map_err(|e| wrong(e.to_string()))
    }

    /// Evaluates a text to text.
    pub fn text(&self, key: &'static str, text: &Text) -> Result<String, EvaluationError> {
        Ok(self.value(key, text)?.to_text().into_owned())
    }

    /// Evaluates a boolean; nothing is `default`.
    pub fn boolean(&self, key: &'static str, text: Option<&Text>, default: bool) -> Result<bool, EvaluationError> {
        let Some(text) = text else { return Ok(default) };
        match self.value(key, text)? {
            Value::Bool(value) => Ok(value),
            Value::Null => Ok(default),
            other => match other.to_text().trim() {
                "" => Ok(default),
                "true" | "True" | "TRUE" => Ok(true),
                "false" | "False" | "FALSE" => Ok(false),
                found => Err(EvaluationError {
                    key,
                    line: text.at.line,
                    column: text.at.column,
                    why: format!("`{found}` is neither true nor false"),
                }),
            },
        }
    }

    /// Evaluates a number above zero; nothing is none.
    pub fn number(&self, key: &'static str, text: Option<&Text>) -> Result<Option<f64>, EvaluationError> {
        let Some(text) = text else { return Ok(None) };
        let value = self.value(key, text)?;
        if value == Value::Null || value.to_text().trim().is_empty() {
            return Ok(None);
        }
        let number = value.to_number();
        if number.is_finite() && number > 0.0 {
            return Ok(Some(number));
        }
        let why = format!("`{}` is no number above zero", value.to_text());
        Err(EvaluationError { key, line: text.at.line, column: text.at.column, why })
    }

    /// A tree with every `${{ }}` in it evaluated, names included.
    ///
    /// As in GitHub's template evaluator, an item of a list that comes to a list puts its items in its place, and the
    /// name `${{ insert }}` puts the keys of its mapping in its place.
    pub fn tree(&self, key: &'static str, tree: &Json, at: &Text) -> Result<Json, EvaluationError> {
        Ok(match tree {
            Json::String(text) => self.value(key, &Text { text: text.clone(), at: at.at })?.to_json(),
            Json::Array(items) => Json::Array(self.items(key, items, at)?),
            Json::Object(map) => Json::Object(self.entries(key, map, at)?),
            scalar => scalar.clone(),
        })
    }

    fn items(&self, key: &'static str, items: &[Json], at: &Text) -> Result<Vec<Json>, EvaluationError> {
        let mut found = Vec::with_capacity(items.len());
        for item in items {
            match (item, self.tree(key, item, at)?) {
                (Json::String(_), Json::Array(inner)) => found.extend(inner),
                (_, value) => found.push(value),
            }
        }
        Ok(found)
    }

    fn entries(
        &self,
        key: &'static str,
        map: &Map<String, Json>,
        at: &Text,
    ) -> Result<Map<String, Json>, EvaluationError> {
        let mut found = Map::new();
        for (name, value) in map {
            let value = self.tree(key, value, at)?;
            if !is_insert(name) {
                found.insert(self.text(key, &Text { text: name.clone(), at: at.at })?, value);
            } else if let Json::Object(inner) = value {
                found.extend(inner);
            } else {
                let why = "the value of `${{ insert }}` is no mapping".to_owned();
                return Err(EvaluationError { key, line: at.at.line, column: at.at.column, why });
            }
        }
        Ok(found)
    }

    fn results<'s>(&'s self, arguments: &[Value]) -> Vec<Option<NeedResult>>
    where
        'a: 's,
    {
        let result = |id: &str| self.facts.finished.get(id).map(|f| f.result);
        if arguments.is_empty() {
            return self.job.ancestors.iter().map(|id| result(id)).collect();
        }
        let named = |argument: &Value| {
            let wanted = argument.to_text();
            self.job.ancestors.iter().find(|id| id.eq_ignore_ascii_case(&wanted)).and_then(|id| result(id))
        };
        arguments.iter().map(named).collect()
    }
}

impl Environment for JobScope<'_> {
    fn context(&self, name: &str) -> Option<Value> {
        Some(self.contexts.get(name).cloned().unwrap_or_default())
    }

    fn call(&self, function: Function, arguments: &[Value]) -> Option<Result<Value, EvalError>> {
        let all = |wanted| self.results(arguments).into_iter().all(|r| r == Some(wanted));
        let any = |wanted| self.results(arguments).into_iter().any(|r| r == Some(wanted));
        let value = match function {
            Function::Success => !self.facts.cancelled && all(NeedResult::Success),
            Function::Failure => !self.facts.cancelled && any(NeedResult::Failure),
            Function::Cancelled => self.facts.cancelled,
            Function::Always => true,
            _ => return None,
        };
        Some(Ok(Value::Bool(value)))
    }
}

/// The `strategy` of a leg while its job's other keys are worked out.
pub(crate) fn strategy_of(
    scope: &JobScope<'_>,
    job: &PlannedJob,
    leg: &Leg,
    legs: usize,
) -> Result<Map<String, Json>, EvaluationError> {
    let strategy = &job.job.strategy;
    let fail_fast = scope.boolean("fail-fast", strategy.fail_fast.as_ref(), true)?;
    let max_parallel = scope.number("max-parallel", strategy.max_parallel.as_ref())?;
    Ok(contexts::strategy(leg, legs, fail_fast, max_parallel.map(whole)))
}

/// A positive number as a count, at least 1.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates, which is meant")]
pub(crate) fn whole(number: f64) -> u32 {
    (number.max(1.0)) as u32
}

fn object(map: &Map<String, Json>) -> Value {
    let object: Object = map.iter().map(|(k, v)| (k.as_str(), Value::from_json(v))).collect();
    object.into()
}
