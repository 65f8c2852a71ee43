//! One job: its steps in order, and what comes of it.
//!
//! Invariants: every step leaves a `StepStarted` and a `StepFinished`; the last record is `JobFinished`, whatever
//! happens; when it is written, no process of the job is left.

mod action;
mod commands;
mod delivery;
mod effects;
mod files;
mod hash;
mod injection;
mod process;
mod scope;
mod script;
mod step;
mod vars;
mod watch;

use std::io;
use std::time::Duration;

use indexmap::IndexMap;
use tagline_protocol::{Conclusion, JobPaths, JobResult, JobSpec, Record, StepUser};
use tagline_syntax::expression::Value;

pub use self::effects::refusal;
pub use self::hash::main as hash_files_helper;

use self::files::Exchange;
pub(crate) use self::files::FILE_COMMANDS;
use self::hash::Hasher;
use self::process::Processes;
use self::scope::Scope;
use self::watch::Watch;
use crate::clock;
use crate::control::Control;
use crate::journal::Journal;
use crate::kill;
use crate::output::matcher::Matchers;
use crate::places::Places;
use crate::reap::Reaper;
use crate::wake::Wake;

/// Most bytes of a job's outputs, GitHub's limit.
const MOST_OUTPUTS: usize = 1024 * 1024;

/// What a job is run with.
pub struct Means {
    /// The job folder.
    pub places: Places,
    /// The engine's side.
    pub control: Control,
    /// Children.
    pub reaper: Reaper,
    /// The bell.
    pub wake: Wake,
    /// Variables below all others.
    pub base: Vec<(String, String)>,
    /// Who steps run as.
    pub user: Option<StepUser>,
    /// Where the folders are.
    pub paths: JobPaths,
    /// What the log begins with.
    pub warning: Option<String>,
}

/// A running job.
struct Job {
    spec: JobSpec,
    journal: Journal,
    watch: Watch,
    processes: Processes,
    scope: Scope,
    exchange: Exchange,
    hasher: Hasher,
    matchers: Matchers,
    base: IndexMap<String, String>,
    user: Option<StepUser>,
    paths: JobPaths,
    /// Folders steps have put before PATH.
    added: Vec<String>,
    /// Why the job fails.
    why: String,
    places: Places,
    control: Control,
}

/// Runs the job to its end. An error means that the result could not be written.
pub fn run(spec: JobSpec, means: Means, mut journal: Journal) -> io::Result<()> {
    journal.mask(spec.contexts.secrets.values().chain(&spec.masks).map(String::as_str));
    journal.record(&Record::JobStarted { at: clock::now(), attempt: spec.attempt });
    if let Some(warning) = &means.warning {
        journal.warn(warning);
    }
    let reaper = means.reaper.clone();
    let (result, journal) = match Job::begin(spec, means, journal) {
        Ok(mut job) => {
            job.steps();
            // What the job left running has no business any more, and may not hold its outputs back.
            let clean = kill::everything(&job.processes.reaper);
            let mut result = job.result();
            if !clean {
                result.conclusion = Conclusion::Failure;
                "processes of the job could not be killed".clone_into(&mut result.why);
            }
            (result, job.journal)
        }
        Err(failed_to_begin) => {
            let (why, journal) = *failed_to_begin;
            kill::everything(&reaper);
            (failed(why), journal)
        }
    };
    let result = masked(result, &journal);
    journal.finish_job(&Record::JobFinished { result, at: clock::now() })
}

fn failed(why: String) -> JobResult {
    JobResult { conclusion: Conclusion::Failure, outputs: IndexMap::new(), url: String::new(), why, timed_out: false }
}

/// A result's reason may quote a value; a disk that is full has no room for outputs.
fn masked(mut result: JobResult, journal: &Journal) -> JobResult {
    if let Some(failure) = journal.failure() {
        result = failed(failure.to_owned());
    }
    result.why = journal.masked(&result.why);
    result
}

impl Job {
    /// Prepares the job; an error is one sentence, with the journal to write it to.
    fn begin(spec: JobSpec, means: Means, journal: Journal) -> Result<Self, Box<(String, Journal)>> {
        let paths = means.paths;
        let prepared = Exchange::make(&paths.temp, means.user).and_then(|exchange| {
            let event = spec.contexts.github.get("event").unwrap_or(&serde_json::Value::Null);
            let event_path = exchange.write_event(event)?;
            Ok((exchange, event_path))
        });
        let (exchange, event_path) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => return Err(Box::new((format!("cannot prepare {}: {error}", paths.temp), journal))),
        };
        let runner = vars::runner(&paths).map(|(name, value)| (name, Value::string(value)));
        let mut scope = Scope::new(&spec.contexts, Value::object(runner));
        vars::complete(&mut scope.github, &spec, &paths, &event_path);
        let processes = Processes { reaper: means.reaper, wake: means.wake };
        let hasher = Hasher::new(&processes, means.control.clone(), &paths.workspace, means.user);
        let mut job = Self {
            watch: Watch::start(means.control.clone(), Duration::from_secs(spec.timeout_seconds)),
            base: vars::base(&means.base, &paths),
            journal,
            processes,
            scope,
            exchange,
            hasher,
            matchers: Matchers::new(&paths.workspace),
            user: means.user,
            paths,
            added: Vec::new(),
            why: String::new(),
            places: means.places,
            control: means.control,
            spec,
        };
        match job.environment() {
            Ok(()) => Ok(job),
            Err(why) => Err(Box::new((why, job.journal))),
        }
    }

    /// Evaluates the environment of workflow and job.
    fn environment(&mut self) -> Result<(), String> {
        for layer in &self.spec.env {
            let mut values = IndexMap::new();
            for (name, template) in layer {
                let value = self.scope.text(template, &self.hasher.function());
                let value = value.map_err(|why| format!("`env.{name}` of the job cannot be evaluated: {why}"))?;
                if injection::is_tainted(&self.scope, template) {
                    self.scope.tainted.insert(name.clone());
                }
                values.insert(name.clone(), value);
            }
            self.scope.env.extend(values);
        }
        Ok(())
    }

    /// Runs every step in its turn.
    fn steps(&mut self) {
        for index in 0..self.spec.steps.len() {
            self.look();
            self.step(index);
        }
        self.look();
        self.journal.enter(None);
    }

    /// Sees whether the job is cancelled.
    fn look(&mut self) {
        self.watch.look();
        self.scope.status.cancelled = self.watch.is_cancelled();
        self.hasher.cancelled = self.scope.status.cancelled;
    }

    /// What comes of the job.
    fn result(&mut self) -> JobResult {
        let status = self.scope.status;
        let (conclusion, why) = match (status.cancelled, status.failed) {
            (true, _) => (Conclusion::Cancelled, self.watch.reason().to_owned()),
            (_, true) => (Conclusion::Failure, std::mem::take(&mut self.why)),
            _ => (Conclusion::Success, String::new()),
        };
        let mut result = JobResult {
            conclusion,
            outputs: IndexMap::new(),
            url: String::new(),
            why,
            timed_out: self.watch.timed_out(),
        };
        if let Err(why) = self.outputs(&mut result)
            && result.conclusion == Conclusion::Success
        {
            result.conclusion = Conclusion::Failure;
            result.why = why;
        }
        result
    }

    /// Evaluates outputs and the environment's address; one that holds a secret is dropped.
    fn outputs(&mut self, result: &mut JobResult) -> Result<(), String> {
        let mut size = 0;
        for (name, template) in self.spec.outputs.clone() {
            let value = self.scope.text(&template, &self.hasher.function());
            let value = value.map_err(|why| format!("output `{name}` of the job cannot be evaluated: {why}"))?;
            if self.journal.is_secret(&value) {
                self.journal.warn(&format!("output `{name}` is dropped: it may hold a secret"));
            } else if !value.is_empty() {
                size += name.len() + value.len();
                result.outputs.insert(name, value);
            }
        }
        if size > MOST_OUTPUTS {
            result.outputs.clear();
            return Err(format!("the outputs of the job have {size} bytes, the most is 1 MiB"));
        }
        if let Some(template) = self.spec.environment_url.clone() {
            let url = self.scope.text(&template, &self.hasher.function());
            let url = url.map_err(|why| format!("`environment.url` cannot be evaluated: {why}"))?;
            if self.journal.is_secret(&url) {
                self.journal.warn("the environment's url is dropped: it may hold a secret");
            } else {
                result.url = url;
            }
        }
        Ok(())
    }
}
