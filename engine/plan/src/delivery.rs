//! The delivery steps of a stage with what they are given, worked out before the stage begins.
//!
//! Known by then are `github`, `vars`, `inputs`, `matrix`, `strategy`, the `needs` that have ended, and what `env` makes of
//! them. The agent works the same inputs out again when the step's turn comes; they must come out the same.

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;
use serde_json::{Map, Value};
use tagline_syntax::expression::{Expr, ExprKind, Function, Reference, Template};
use tagline_syntax::workflow::{RUNNER_KEYS, Step, Text};

use crate::contexts;
use crate::evaluate::{EvaluationError, JobScope};
use crate::facts::Facts;
use crate::legs::scope_of;
use crate::model::{Leg, Plan, PlannedJob};

/// A delivery step of a leg.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryStep {
    /// The step's number, from 0.
    pub step: u32,
    /// Its name, or the action.
    pub name: String,
    /// The action, as written: `tagline/deploy@v1`.
    pub uses: String,
    /// It has an `if` of its own.
    pub conditional: bool,
    /// Whether it runs where all before it goes well; none where that is not known yet.
    pub runs: Option<bool>,
    /// What it is given, or why that is not known yet: one clause for each input, `images: it names steps.build…`.
    pub with: Result<IndexMap<String, String>, Vec<String>>,
    /// The same as far as it is known; what is not is `${{ }}`, as the file has it.
    pub so_far: IndexMap<String, String>,
}

/// The delivery steps of a leg, in order. `total` is the number of the job's legs.
///
/// # Errors
/// When an expression fails on values that are known.
pub fn delivery_steps(
    plan: &Plan,
    job: &PlannedJob,
    leg: &Leg,
    total: usize,
    facts: &Facts,
) -> Result<Vec<DeliveryStep>, EvaluationError> {
    let mut found = Vec::new();
    if job.job.steps.iter().all(|step| step.delivery().is_none()) {
        return Ok(found);
    }
    let vars = contexts::vars(plan, leg.environment.as_deref());
    let scope = scope_of(plan, job, leg, total, facts)?.with("vars", &vars).with_job(&job.job.id);
    let mut outer = Known { scope, job, facts, env: BTreeMap::new() };
    outer.layer(&plan.env)?;
    outer.layer(&job.job.env)?;
    for (number, step) in (0u32..).zip(&job.job.steps) {
        if let Some((uses, with)) = step.delivery() {
            let outside = outer.env.clone();
            outer.layer(&step.env)?;
            found.push(one(&mut outer, number, step, &uses.text, with)?);
            outer.env = outside;
        }
    }
    Ok(found)
}

fn one(
    known: &mut Known<'_>,
    number: u32,
    step: &Step,
    uses: &str,
    with: &IndexMap<String, Text>,
) -> Result<DeliveryStep, EvaluationError> {
    let (mut so_far, mut unknown) = (IndexMap::new(), Vec::new());
    known.show_env();
    for (name, text) in with {
        let value = match known.text(text)? {
            Ok(value) => value,
            Err(what) => {
                unknown.push(format!("{name}: {what}"));
                known.partly(text)?
            }
        };
        so_far.insert(name.clone(), value);
    }
    Ok(DeliveryStep {
        step: number,
        name: step.name.as_ref().map_or_else(|| uses.to_owned(), |name| name.text.clone()),
        uses: uses.to_owned(),
        conditional: step.condition.is_some(),
        runs: step.condition.as_ref().map_or(Some(true), |condition| known.condition(condition)),
        with: if unknown.is_empty() { Ok(so_far.clone()) } else { Err(unknown) },
        so_far,
    })
}

/// What is known of a leg before it begins.
struct Known<'a> {
    scope: JobScope<'a>,
    job: &'a PlannedJob,
    facts: &'a Facts,
    /// Variables by name; none where the value is not known.
    env: BTreeMap<String, Option<String>>,
}

impl Known<'_> {
    /// Adds a layer of variables; each sees those of the layers before it.
    fn layer(&mut self, layer: &IndexMap<String, Text>) -> Result<(), EvaluationError> {
        self.show_env();
        let mut values = Vec::with_capacity(layer.len());
        for (name, text) in layer {
            values.push((name.clone(), self.text(text)?.ok()));
        }
        self.env.extend(values);
        Ok(())
    }

    fn show_env(&mut self) {
        let known = self.env.iter().filter_map(|(name, value)| Some((name.clone(), Value::String(value.clone()?))));
        let env: Map<String, Value> = known.collect();
        self.scope.set("env", &env);
    }

    /// A text's value, or what in it is not known.
    fn text(&self, text: &Text) -> Result<Result<String, String>, EvaluationError> {
        let Ok(template) = Template::parse(&text.text) else { return self.scope.text("with", text).map(Ok) };
        let mut missing: BTreeSet<String> = BTreeSet::new();
        for reference in template.references() {
            missing.extend(self.missing(&reference));
        }
        for expression in template.expressions() {
            expression.walk(&mut |expr| {
                if matches!(expr.kind, ExprKind::Call(Function::HashFiles, _)) {
                    missing.insert("files of the workspace".to_owned());
                }
            });
        }
        if missing.is_empty() {
            return self.scope.text("with", text).map(Ok);
        }
        let missing: Vec<String> = missing.into_iter().collect();
        Ok(Err(format!("it names {}, which is not known yet", missing.join(" and "))))
    }

    /// A text with those of its expressions worked out that are known.
    fn partly(&self, text: &Text) -> Result<String, EvaluationError> {
        let Ok(template) = Template::parse(&text.text) else { return Ok(text.text.clone()) };
        let mut made = String::new();
        for part in template.parts() {
            let raw = Text { text: text.text[part.start..part.end].to_owned(), at: text.at };
            made.push_str(&self.text(&raw)?.unwrap_or(raw.text));
        }
        Ok(made)
    }

    /// What an `if` comes to; none where it asks how steps before it end, or for what is not known.
    fn condition(&self, condition: &Text) -> Option<bool> {
        let text = condition.text.trim();
        let text = if text.contains("${{") { text.to_owned() } else { format!("${{{{ {text} }}}}") };
        let template = Template::parse(&text).ok()?;
        let open = template.references().iter().any(|reference| self.missing(reference).is_some());
        if open || template.expressions().any(Expr::calls_status_function) {
            return None;
        }
        self.scope.value("if", &Text { text, at: condition.at }).ok().map(|value| value.is_truthy())
    }

    /// What of a reference is not known.
    fn missing(&self, reference: &Reference) -> Option<String> {
        let context = reference.context.to_ascii_lowercase();
        let first = reference.keys().next().filter(|_| !reference.is_dynamic());
        let finished = |id: &String| self.facts.finished.contains_key(id);
        let known = match (context.as_str(), first) {
            ("vars" | "inputs" | "matrix" | "strategy", _) => true,
            ("github", Some(key)) => !RUNNER_KEYS.iter().any(|own| own.eq_ignore_ascii_case(key)),
            ("needs", Some(id)) => self.job.job.needs.iter().filter(|need| need.eq_ignore_ascii_case(id)).all(finished),
            ("needs", None) => self.job.job.needs.iter().all(finished),
            // A name that no layer gives may come from an earlier step.
            ("env", Some(name)) => self.env.get(name).is_some_and(Option::is_some),
            _ => false,
        };
        let keys: Vec<&str> = reference.keys().collect();
        let dotted = if keys.is_empty() { context } else { format!("{context}.{}", keys.join(".")) };
        (!known).then_some(dotted)
    }
}
