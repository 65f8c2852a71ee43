//! The legs of a job: its matrix expanded, and what each leg's own keys come to.

use serde_json::Map;
use tagline_syntax::expression::Template;
use tagline_syntax::workflow::{Concurrency, Text};
use thiserror::Error;

use crate::evaluate::{EvaluationError, JobScope, strategy_of, whole};
use crate::facts::Facts;
use crate::image;
use crate::matrix::{self, Combination, MatrixError};
use crate::model::{Group, Leg, Plan, PlannedJob};

/// GitHub's limit of a display name.
const MAX_NAME: usize = 100;

/// Why legs cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LegError {
    /// An expression failed.
    #[error(transparent)]
    Evaluation(#[from] EvaluationError),
    /// The matrix is not usable.
    #[error("strategy.matrix at line {line}, column {column}: {source}")]
    Matrix {
        /// Line of the matrix.
        line: u32,
        /// Column of the matrix.
        column: u32,
        /// What is wrong with it.
        source: MatrixError,
    },
}

/// Whether a job's matrix can be expanded before anything ran: it names no outputs of other jobs.
pub fn is_static(job: &PlannedJob) -> bool {
    job.job.strategy.matrix.as_ref().is_none_or(|matrix| !tree_names(&matrix.tree, &["needs"]))
}

/// Whether a job's matrix takes values from outside: from outputs of other jobs, inputs or the event. A shell must not
/// read them as program text.
pub fn matrix_from_outside(job: &PlannedJob) -> bool {
    let outside = ["needs", "inputs", "github"];
    job.job.strategy.matrix.as_ref().is_some_and(|matrix| tree_names(&matrix.tree, &outside))
}

/// Whether a text names `needs`; one that does not parse was refused by the reader.
pub(crate) fn text_names_needs(text: &str) -> bool {
    text_names(text, &["needs"])
}

fn text_names(text: &str, contexts: &[&str]) -> bool {
    Template::parse(text).is_ok_and(|t| t.references().iter().any(|r| contexts.contains(&r.context.as_str())))
}

fn tree_names(tree: &serde_json::Value, contexts: &[&str]) -> bool {
    match tree {
        serde_json::Value::String(text) => text_names(text, contexts),
        serde_json::Value::Array(items) => items.iter().any(|item| tree_names(item, contexts)),
        serde_json::Value::Object(map) => {
            map.iter().any(|(name, value)| text_names(name, contexts) || tree_names(value, contexts))
        }
        _ => false,
    }
}

/// Expands a job's matrix into legs. A job without a matrix has one leg; a matrix whose combinations are all excluded
/// has none.
pub fn legs(plan: &Plan, job: &PlannedJob, facts: &Facts) -> Result<Vec<Leg>, LegError> {
    let combinations = match &job.job.strategy.matrix {
        None => vec![Combination { values: Map::new(), shown: Vec::new() }],
        Some(matrix) => {
            let at = Text { text: String::new(), at: matrix.at };
            let tree = JobScope::of_job(plan, job, facts).tree("strategy.matrix", &matrix.tree, &at)?;
            matrix::expand(&tree).map_err(|source| LegError::Matrix {
                line: matrix.at.line,
                column: matrix.at.column,
                source,
            })?
        }
    };
    let total = combinations.len();
    let leg = |(index, combination)| one_leg(plan, job, facts, index, total, combination);
    combinations.into_iter().enumerate().map(leg).collect()
}

fn one_leg(
    plan: &Plan,
    job: &PlannedJob,
    facts: &Facts,
    index: usize,
    total: usize,
    combination: Combination,
) -> Result<Leg, LegError> {
    let mut leg = Leg {
        index: u32::try_from(index).unwrap_or(u32::MAX),
        name: String::new(),
        matrix: combination.values,
        environment: None,
        environment_later: false,
        image: None,
    };
    let scope = scope_of(plan, job, &leg, total, facts)?;
    leg.name = display_name(job, &scope, &combination.shown)?;
    if let Some(environment) = &job.job.environment {
        let waits = text_names_needs(&environment.name.text)
            && job.job.needs.iter().any(|need| !facts.finished.contains_key(need));
        if waits {
            leg.environment_later = true;
        } else {
            leg.environment = Some(scope.text("environment", &environment.name)?).filter(|name| !name.is_empty());
        }
    }
    if let Some(container) = &job.job.container {
        leg.image = Some(scope.text("container.image", &container.image)?).filter(|image| !image.is_empty());
        let at = container.image.at;
        let wrong = |why| EvaluationError { key: "container.image", line: at.line, column: at.column, why };
        leg.image.as_deref().map_or(Ok(()), image::check).map_err(wrong)?;
    }
    Ok(leg)
}

/// What the keys of a leg see.
pub fn scope_of<'a>(
    plan: &Plan,
    job: &'a PlannedJob,
    leg: &Leg,
    total: usize,
    facts: &'a Facts,
) -> Result<JobScope<'a>, EvaluationError> {
    let scope = JobScope::of_job(plan, job, facts);
    let strategy = strategy_of(&scope, job, leg, total)?;
    Ok(scope.of_leg(&leg.matrix, &strategy))
}

fn display_name(job: &PlannedJob, scope: &JobScope<'_>, shown: &[String]) -> Result<String, EvaluationError> {
    let written = job.job.name.as_ref();
    let evaluated = match written {
        Some(text) => scope.text("name", text)?,
        None => job.job.id.clone(),
    };
    let has_expression = written.is_some_and(|t| t.text.contains("${{"));
    let full =
        if shown.is_empty() || has_expression { evaluated } else { format!("{evaluated} ({})", shown.join(", ")) };
    if full.chars().count() <= MAX_NAME {
        return Ok(full);
    }
    Ok(full.chars().take(MAX_NAME - 3).chain("...".chars()).collect())
}

/// How a leg's keys that steer its execution come out.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// `timeout-minutes`, in seconds; GitHub's default is 360 minutes.
    pub timeout_seconds: u64,
    /// `continue-on-error`.
    pub continue_on_error: bool,
    /// `strategy.fail-fast`.
    pub fail_fast: bool,
    /// `strategy.max-parallel`.
    pub max_parallel: Option<u32>,
    /// `concurrency`.
    pub concurrency: Option<Group>,
}

/// Evaluates the settings of a leg when its needs have finished.
pub fn settings(
    plan: &Plan,
    job: &PlannedJob,
    leg: &Leg,
    total: usize,
    facts: &Facts,
) -> Result<Settings, EvaluationError> {
    let scope = scope_of(plan, job, leg, total, facts)?;
    let file = &job.job;
    let minutes = scope.number("timeout-minutes", file.timeout_minutes.as_ref())?.unwrap_or(360.0);
    Ok(Settings {
        timeout_seconds: u64::from(whole(minutes * 60.0)),
        continue_on_error: scope.boolean("continue-on-error", file.continue_on_error.as_ref(), false)?,
        fail_fast: scope.boolean("fail-fast", file.strategy.fail_fast.as_ref(), true)?,
        max_parallel: scope.number("max-parallel", file.strategy.max_parallel.as_ref())?.map(whole),
        concurrency: file.concurrency.as_ref().map(|c| group(&scope, c)).transpose()?.flatten(),
    })
}

/// Evaluates a `concurrency`; an empty group is none.
pub(crate) fn group(scope: &JobScope<'_>, concurrency: &Concurrency) -> Result<Option<Group>, EvaluationError> {
    let name = scope.text("concurrency", &concurrency.group)?;
    let cancel_in_progress = scope.boolean("cancel-in-progress", concurrency.cancel_in_progress.as_ref(), false)?;
    Ok((!name.is_empty()).then_some(Group { name, cancel_in_progress, queue: concurrency.queue_max }))
}
