//! One step: whether it runs, what it sees, how it ends.

use std::time::{Duration, Instant};

use indexmap::IndexMap;
use tagline_protocol::{AnnotationLevel, Conclusion, Record, StepAction, StepSpec};
use tagline_syntax::expression::{Object, Value};

use super::effects::Effects;
use super::process::Ended;
use super::watch::{Stop, minutes};
use super::{Job, injection};
use crate::clock;
use crate::reap::Exit;

/// What running a step came to, before `continue-on-error`.
pub(super) struct Outcome {
    pub(super) conclusion: Conclusion,
    pub(super) exit_code: Option<i32>,
    /// One sentence, empty on success.
    pub(super) why: String,
}

impl Outcome {
    pub(super) fn failure(why: impl Into<String>) -> Self {
        Self { conclusion: Conclusion::Failure, exit_code: None, why: why.into() }
    }

    fn skipped(why: &str) -> Self {
        Self { conclusion: Conclusion::Skipped, exit_code: None, why: why.to_owned() }
    }
}

impl Job {
    /// Runs the step of that number, or skips it, and records both its ends.
    pub(super) fn step(&mut self, index: usize) {
        let number = u32::try_from(index).expect("a job has fewer steps");
        let spec = self.spec.steps[index].clone();
        self.journal.enter(Some(number));
        self.scope.github.insert("action", Value::string(spec.id.as_str()));
        let job_env = (self.scope.env.clone(), self.scope.tainted.clone());
        let env = self.step_env(&spec);
        let name = self.journal.masked(&self.display_name(&spec));
        self.journal.record(&Record::StepStarted {
            step: number,
            id: spec.id.clone(),
            name: name.clone(),
            at: clock::now(),
        });
        let mut effects = Effects::default();
        let outcome = match env.and_then(|env| Ok((env, self.applies(&spec)?))) {
            Err(why) => Outcome::failure(why),
            Ok((_, false)) => Outcome::skipped("its condition does not hold"),
            Ok((env, true)) => self.carry_out(number, &spec, &env, &mut effects),
        };
        self.scope.status.cancelled = self.watch.is_cancelled();
        // The step's own variables are still in `env`, as on GitHub.
        let tolerated = outcome.conclusion == Conclusion::Failure && self.continues(&spec);
        (self.scope.env, self.scope.tainted) = job_env;
        self.finish(number, &spec.id, &name, &outcome, tolerated, effects);
    }

    /// The step's own variables, which are in `env` from here on to the step's end.
    fn step_env(&mut self, spec: &StepSpec) -> Result<IndexMap<String, String>, String> {
        let mut env = IndexMap::new();
        for (name, template) in &spec.env {
            let value = self.scope.text(template, &self.hasher.function());
            let value = value.map_err(|why| format!("`env.{name}` cannot be evaluated: {why}"))?;
            env.insert(name.clone(), value);
        }
        for (name, template) in &spec.env {
            if injection::is_tainted(&self.scope, template) {
                self.scope.tainted.insert(name.clone());
            } else {
                self.scope.tainted.remove(name);
            }
        }
        self.scope.env.extend(env.clone());
        Ok(env)
    }

    /// The name as GitHub shows it. One that cannot be evaluated is shown as written.
    fn display_name(&self, spec: &StepSpec) -> String {
        if let Some(name) = &spec.name {
            return self.scope.text(name, &self.hasher.function()).unwrap_or_else(|_| name.clone());
        }
        let what = match &spec.action {
            StepAction::Run { script, .. } => script.lines().find(|line| !line.trim().is_empty()).unwrap_or("").trim(),
            StepAction::Uses { uses, .. } => uses,
        };
        let text = self.scope.text(what, &self.hasher.function()).unwrap_or_else(|_| what.to_owned());
        format!("Run {text}")
    }

    fn applies(&self, spec: &StepSpec) -> Result<bool, String> {
        // No time is left, or no place to write to.
        if self.watch.is_over() || self.journal.failure().is_some() {
            return Ok(false);
        }
        let condition = spec.condition.as_deref().unwrap_or_default();
        let holds = self.scope.condition(condition, &self.hasher.function());
        holds.map_err(|why| format!("`if` cannot be evaluated: {why}"))
    }

    fn carry_out(
        &mut self,
        number: u32,
        spec: &StepSpec,
        env: &IndexMap<String, String>,
        effects: &mut Effects,
    ) -> Outcome {
        let limit = match self.time_limit(spec) {
            Ok(limit) => limit,
            Err(why) => return Outcome::failure(why),
        };
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        let ended = match &spec.action {
            StepAction::Run { .. } => self.run_script(number, spec, env, deadline, effects),
            StepAction::Uses { .. } => self.run_action(number, spec, deadline, effects),
        };
        match ended {
            // A helper's exit code says nothing about the action.
            Ok(ended) if matches!(spec.action, StepAction::Uses { .. }) => {
                Outcome { exit_code: None, ..judge(&ended, limit, effects.failure.take(), self.watch.reason()) }
            }
            Ok(ended) => judge(&ended, limit, effects.failure.take(), self.watch.reason()),
            Err(why) => Outcome::failure(why),
        }
    }

    fn time_limit(&self, spec: &StepSpec) -> Result<Option<Duration>, String> {
        let Some(template) = &spec.timeout_minutes else {
            return Ok(None);
        };
        let value = self.scope.value(template, &self.hasher.function());
        let value = value.map_err(|why| format!("`timeout-minutes` cannot be evaluated: {why}"))?;
        let number = value.to_number();
        if number.is_nan() || number <= 0.0 {
            return Err(format!("`timeout-minutes` must be a number above 0, not `{}`", value.to_text()));
        }
        // A limit no clock can count is none.
        Ok(Duration::try_from_secs_f64(number * 60.0).ok())
    }

    fn continues(&self, spec: &StepSpec) -> bool {
        let Some(template) = &spec.continue_on_error else {
            return false;
        };
        // An error here leaves it false, as on GitHub.
        let value = self.scope.value(template, &self.hasher.function());
        value.is_ok_and(|value| match value {
            Value::String(text) => text.eq_ignore_ascii_case("true"),
            other => other.is_truthy(),
        })
    }

    /// Hands the step's effects on and records its end; a failure that is tolerated is a success for the job.
    fn finish(&mut self, number: u32, id: &str, name: &str, outcome: &Outcome, tolerated: bool, effects: Effects) {
        let conclusion = if tolerated { Conclusion::Success } else { outcome.conclusion };
        let why = self.journal.masked(&outcome.why);
        if outcome.conclusion == Conclusion::Failure {
            self.journal.annotate(AnnotationLevel::Error, &why, &IndexMap::new());
        }
        if conclusion == Conclusion::Failure && !self.scope.status.failed {
            self.scope.status.failed = true;
            self.why = format!("step `{name}` failed: {why}");
        }
        self.scope.tainted.extend(effects.env.keys().cloned());
        self.scope.env.extend(effects.env);
        self.added.extend(effects.paths);
        let outputs = effects.outputs.into_iter().map(|(name, value)| (name, Value::string(value)));
        let mut context = Object::new();
        context.insert("outputs", Value::object(outputs));
        context.insert("outcome", Value::string(outcome.conclusion.word()));
        context.insert("conclusion", Value::string(conclusion.word()));
        self.scope.steps.insert(id, Value::Object(context.into()));
        self.journal.finish_step(&Record::StepFinished {
            step: number,
            outcome: outcome.conclusion,
            conclusion,
            exit_code: outcome.exit_code,
            why,
            at: clock::now(),
        });
    }
}

/// What a process's end means for its step.
fn judge(ended: &Ended, limit: Option<Duration>, failure: Option<String>, reason: &str) -> Outcome {
    let exit_code = match ended.exit {
        Exit::Code(code) => Some(code),
        Exit::Signal(_) => None,
    };
    let (conclusion, why) = match (&ended.stop, ended.exit, failure) {
        (Some(Stop::Cancel | Stop::Kill), _, failure) => (Conclusion::Cancelled, also(reason.to_owned(), failure)),
        (Some(Stop::StepTime), _, failure) => {
            let limit = minutes(limit.unwrap_or_default());
            (Conclusion::Failure, also(format!("it ran longer than its limit of {limit}"), failure))
        }
        (Some(Stop::Disk(why)), ..) => (Conclusion::Failure, why.clone()),
        (None, Exit::Code(0), None) => (Conclusion::Success, String::new()),
        (None, Exit::Code(0), Some(why)) => (Conclusion::Failure, why),
        (None, Exit::Code(code), _) => (Conclusion::Failure, format!("its process ended with exit code {code}")),
        (None, Exit::Signal(signal), _) => (Conclusion::Failure, format!("its process was ended by signal {signal}")),
    };
    Outcome { conclusion, exit_code, why }
}

/// A reason, and what became of the step then, where it could say so.
fn also(reason: String, failure: Option<String>) -> String {
    match failure {
        Some(failure) => format!("{reason}; {failure}"),
        None => reason,
    }
}
