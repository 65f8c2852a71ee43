//! A job's `if`: whether the job runs, and why, in pieces a person can read.
//!
//! Evaluated before the matrix and before anyone is asked for an approval: a skipped job never asks (GitHub,
//! "Using conditions to control job execution"). Without a status function the condition is `success() && (…)`.

use serde::{Deserialize, Serialize};
use tagline_syntax::expression::{Expr, ExprKind, Function, Value, convert_if, evaluate};
use tagline_syntax::workflow::Position;

use crate::evaluate::{EvaluationError, JobScope};
use crate::facts::{Facts, NeedResult};
use crate::model::{Plan, PlannedJob};

/// What a condition came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The job runs.
    pub runs: bool,
    /// Where the `if` stands; the job itself where it has none.
    pub at: Position,
    /// The parts joined by `&&` at the top, in order.
    pub clauses: Vec<Clause>,
}

impl Verdict {
    /// The first part that is false, as one line: `vars.SLACK == 'on' is false ('')`.
    pub fn why_not(&self) -> String {
        self.clauses.iter().find(|c| !c.holds).map_or_else(String::new, |c| format!("{} is false: {}", c.text, c.note))
    }
}

/// One part of a condition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Clause {
    /// As written, or `success()` where it is implied.
    pub text: String,
    /// Whether it holds.
    pub holds: bool,
    /// The values behind it, one line: `vars.SLACK is '' (not set)`.
    pub note: String,
}

/// Evaluates the condition of a job whose needs have finished.
///
/// # Errors
/// When the expression fails on its values, such as `fromJSON` of no JSON.
pub fn job_condition(plan: &Plan, job: &PlannedJob, facts: &Facts) -> Result<Verdict, EvaluationError> {
    let scope = JobScope::of_job(plan, job, facts);
    let text = job.job.condition.as_ref();
    let at = text.map_or(job.job.at, |t| t.at);
    let wrong = |why: String| EvaluationError { key: "if", line: at.line, column: at.column, why };
    let source = text.map_or("", |t| t.text.as_str());
    let condition = convert_if(source).map_err(|e| wrong(e.to_string()))?;
    let runs = condition.evaluate(&scope).map_err(|e| wrong(e.to_string()))?;
    let inner = source.trim();
    let inner = inner.strip_prefix("${{").and_then(|s| s.strip_suffix("}}")).map_or(inner, str::trim);
    let mut clauses = Vec::new();
    if condition.implicit_success {
        clauses.push(success_clause(job, facts));
    }
    if !inner.is_empty() {
        match tagline_syntax::expression::parse(inner) {
            Ok(expr) => {
                clauses.extend(conjuncts(&expr).into_iter().map(|part| clause(inner, part, &scope, job, facts)));
            }
            // Text around `${{ }}`: the whole is one clause.
            Err(_) => clauses.push(Clause { text: source.to_owned(), holds: runs, note: String::new() }),
        }
    }
    Ok(Verdict { runs, at, clauses })
}

fn conjuncts(expr: &Expr) -> Vec<&Expr> {
    match &expr.kind {
        ExprKind::And(parts) => parts.iter().flat_map(conjuncts).collect(),
        _ => vec![expr],
    }
}

fn clause(source: &str, expr: &Expr, scope: &JobScope<'_>, job: &PlannedJob, facts: &Facts) -> Clause {
    let text = source.get(expr.start..expr.end).unwrap_or(source).to_owned();
    let holds = evaluate(expr, scope).is_ok_and(|value| value.is_truthy());
    let mut notes: Vec<String> = expr.references().iter().map(|r| reference_note(source, r, scope)).collect();
    if let ExprKind::Call(Function::Success | Function::Failure, _) = &expr.kind {
        notes.push(success_clause(job, facts).note);
    }
    notes.dedup();
    Clause { text, holds, note: notes.join(", ") }
}

fn reference_note(source: &str, reference: &tagline_syntax::expression::Reference, scope: &JobScope<'_>) -> String {
    let text = source.get(reference.start..reference.end).unwrap_or_default();
    let value = tagline_syntax::expression::parse(text).ok().and_then(|expr| evaluate(&expr, scope).ok());
    match value.unwrap_or_default() {
        Value::Null => format!("{text} is '' (not set)"),
        Value::String(value) => format!("{text} is '{}'", shortened(&value)),
        other => format!("{text} is {}", shortened(&other.to_text())),
    }
}

fn shortened(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() <= 60 && line.len() == text.len() {
        return line.to_owned();
    }
    line.chars().take(59).chain(['…']).collect()
}

fn success_clause(job: &PlannedJob, facts: &Facts) -> Clause {
    let result = |id: &String| facts.finished.get(id).map(|f| f.result);
    let bad = job.ancestors.iter().find(|id| result(id) != Some(NeedResult::Success));
    let note = match bad {
        _ if facts.cancelled => "the run was cancelled".to_owned(),
        Some(id) => match result(id) {
            Some(NeedResult::Failure) => format!("{id} failed"),
            Some(NeedResult::Cancelled) => format!("{id} was cancelled"),
            Some(NeedResult::Skipped) => format!("{id} was skipped"),
            _ => format!("{id} has not finished"),
        },
        None if job.job.needs.is_empty() => "nothing comes before it".to_owned(),
        None => format!("{} succeeded", job.job.needs.join(", ")),
    };
    Clause { text: "success()".to_owned(), holds: bad.is_none() && !facts.cancelled, note }
}
