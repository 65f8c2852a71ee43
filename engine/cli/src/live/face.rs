//! How a run is shown while it goes on: a tree on a terminal, lines in a pipe, events as JSON.

use std::time::{Duration, Instant};

use serde_json::Value;
use tagline_run::view::{JobView, Status, job, jobs};
use tagline_run::{Event, Fact, JobKey, RunState};
use tagline_server::clock;
use tagline_store::Store;
use tokio::sync::oneshot;

use super::news::{self, Weight};
use super::screen::{PACE, Screen};
use super::tail::LogLine;
use super::tree::{self, Look, Usual};
use super::{failed, spool, usual};
use crate::context::Context;
use crate::output::Facts;
use crate::words::{log_line, plain};

/// A pipe gets a line at least this often.
const HEARTBEAT: Duration = Duration::from_mins(1);
/// So many log lines of each running step are shown for Enter.
const PEEK: usize = 10;

/// One way to show a run.
pub(crate) struct Face<'c> {
    context: &'c Context,
    began: Instant,
    kind: Kind,
}

enum Kind {
    Tree { screen: Screen, usual: Usual, coming: Option<oneshot::Receiver<Usual>> },
    Pipe { last: Instant, prefix: String },
    Json { number: u64 },
}

impl<'c> Face<'c> {
    /// A tree where standard error is a terminal that can move its cursor, else lines; JSON where it is wanted.
    pub(crate) fn new(context: &'c Context, json: bool, prefix: Option<String>) -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let kind = if json {
            Kind::Json { number: 0 }
        } else if context.output.err.terminal && !dumb {
            Kind::Tree { screen: Screen::new(context.output.err), usual: Usual::new(), coming: None }
        } else {
            Kind::Pipe { last: Instant::now(), prefix: prefix.unwrap_or_default() }
        };
        Self { context, began: Instant::now(), kind }
    }

    /// Shows a run from here on; `past` are its events so far.
    pub(crate) fn begin(&mut self, state: &RunState, past: &[Event]) {
        let facts = self.facts();
        let context = self.context;
        match &mut self.kind {
            Kind::Json { .. } => self.emit(state, past),
            Kind::Pipe { prefix, .. } => {
                context.output.note(tree::head(state, &facts));
                for job in jobs(state).iter().filter(|job| job.status.is_over()) {
                    let (prefix, name) = (prefix.as_str(), plain(&job.name));
                    context.output.note(format!("00:00 {prefix}{name} | {} before", job.status.word()));
                }
            }
            Kind::Tree { screen, coming, .. } => {
                let look = Look::of(&facts, state);
                let mut lines = vec![tree::head(state, &facts)];
                lines.extend(jobs(state).iter().filter(|job| job.status.is_over()).map(|job| look.ended(state, job)));
                screen.print(&lines);
                let (sender, receiver) = oneshot::channel();
                *coming = Some(receiver);
                let (folder, run) = (context.store.clone(), state.run);
                tokio::task::spawn_blocking(move || sender.send(usual::of(&folder, run)));
            }
        }
    }

    /// Shows what has happened; `state` is the run's after all of it.
    pub(crate) fn happened(&mut self, state: &RunState, events: &[Event], store: &Store) {
        if matches!(self.kind, Kind::Json { .. }) {
            self.emit(state, events);
            return;
        }
        let mut lines = Vec::new();
        for event in events {
            lines.extend(news::of(event, state, self.context).and_then(|news| self.told(state, &news, event)));
            if let Some(job) = finished(state, event)
                && let Some(failed) = failed::of(state, &job, store, self.context)
            {
                lines.extend(failed.with_log(&self.facts()));
            }
        }
        self.renew(state);
        self.print(&lines);
    }

    /// The line of a piece of news, where this way to show a run has one.
    fn told(&self, state: &RunState, news: &news::News, event: &Event) -> Option<String> {
        match &self.kind {
            Kind::Pipe { prefix, .. } => Some(format!("{} {prefix}{} | {}", self.elapsed(), news.who, news.text)),
            Kind::Tree { .. } => {
                let facts = self.facts();
                match news.weight {
                    Weight::Job => finished(state, event).map(|job| Look::of(&facts, state).ended(state, &job)),
                    Weight::Always => Some(facts.state(news.mark, &format!("{}: {}", news.who, news.text))),
                    Weight::Detail => None,
                }
            }
            Kind::Json { .. } => None,
        }
    }

    /// What stands below the next lines that are printed is the tree as it is now.
    fn renew(&mut self, state: &RunState) {
        let facts = self.facts();
        if let Kind::Tree { screen, usual, .. } = &mut self.kind {
            let look = Look::of(&facts, state);
            screen.renew(|| look.area(state, clock::now(), usual, Screen::lines()));
        }
    }

    /// A line of a job's log.
    pub(crate) fn log(&mut self, line: &LogLine) {
        let text = log_line(&line.text, self.facts().colour);
        let job = plain(&line.job);
        match &self.kind {
            Kind::Pipe { prefix, .. } => {
                let line = format!("{} {prefix}{job} | {text}", self.elapsed());
                self.print(&[line]);
            }
            Kind::Tree { .. } => self.print(&[format!("  {job} | {text}")]),
            Kind::Json { .. } => {}
        }
    }

    /// Shows the time that has gone by.
    pub(crate) fn frame(&mut self, state: &RunState, store: &Store) {
        let facts = self.facts();
        match &mut self.kind {
            Kind::Json { .. } => {}
            Kind::Pipe { last, .. } if last.elapsed() < HEARTBEAT => {}
            Kind::Pipe { .. } => self.heartbeat(state, store),
            Kind::Tree { screen, usual, coming } => {
                if let Some(found) = coming.as_mut().and_then(|coming| coming.try_recv().ok()) {
                    *usual = found;
                    *coming = None;
                }
                if screen.is_due() {
                    let look = Look::of(&facts, state);
                    screen.draw(look.area(state, clock::now(), usual, Screen::lines()));
                }
            }
        }
    }

    /// How long until the next frame.
    pub(crate) fn pace(&self) -> Duration {
        match &self.kind {
            Kind::Tree { .. } => PACE,
            Kind::Pipe { last, .. } => HEARTBEAT.saturating_sub(last.elapsed()),
            Kind::Json { .. } => HEARTBEAT,
        }
    }

    fn heartbeat(&mut self, state: &RunState, store: &Store) {
        let still = |job: &JobView| match (job.status, job.steps.last()) {
            (Status::InProgress, step) => {
                let total = state.plan.jobs.get(&job.id.job).map_or(0, |planned| planned.job.steps.len());
                let step = step.map_or_else(String::new, |s| format!("{}/{total} {}: ", s.number, plain(&s.name)));
                let silence = spool::silent_for(&spool::path(store.folder(), state.run, &job.id, job.attempt));
                let silent = silence.filter(|silence| *silence >= Duration::from_secs(1));
                let silent = silent.map_or_else(String::new, |s| format!(", silent for {}s", s.as_secs()));
                format!("{step}still running{silent}")
            }
            (status, _) => format!("{}: {}", status.word(), plain(&job.why)),
        };
        let all = jobs(state);
        let mut shown: Vec<&JobView> = all.iter().filter(|job| job.status == Status::InProgress).collect();
        if shown.is_empty() {
            shown = all.iter().filter(|job| !job.status.is_over()).take(1).collect();
        }
        let Kind::Pipe { prefix, .. } = &self.kind else { return };
        let elapsed = self.elapsed();
        let line = |job: &&JobView| format!("{elapsed} {prefix}{} | {}", plain(&job.name), still(job));
        let lines: Vec<String> = shown.iter().map(line).collect();
        self.print(&lines);
    }

    /// Shows the last log lines of the steps that run.
    pub(crate) fn peek(&mut self, state: &RunState, store: &Store) {
        let facts = self.facts();
        let mut lines = Vec::new();
        for job in jobs(state).iter().filter(|job| job.status == Status::InProgress) {
            let Some(step) = job.steps.last() else { continue };
            let path = spool::path(store.folder(), state.run, &job.id, job.attempt);
            let tail = spool::tail(&path, Some(step.number - 1), PEEK).unwrap_or_default();
            lines.push(format!("{} > {}", plain(&job.name), plain(&step.name)));
            if tail.lines.is_empty() {
                lines.push("    | (no output yet)".to_owned());
            }
            lines.extend(tail.lines.iter().map(|line| format!("    | {}", log_line(line, facts.colour))));
        }
        if lines.is_empty() {
            lines.push("No step is running".to_owned());
        }
        self.print(&lines);
    }

    /// Takes the live area away: something else is to be shown.
    pub(crate) fn pause(&mut self) {
        if let Kind::Tree { screen, .. } = &mut self.kind {
            screen.clear();
        }
    }

    /// Says something beside the run.
    pub(crate) fn say(&mut self, text: &str) {
        match &self.kind {
            Kind::Json { .. } => self.context.output.note(text),
            _ => self.print(&[text.to_owned()]),
        }
    }

    fn print(&mut self, lines: &[String]) {
        match &mut self.kind {
            Kind::Tree { screen, .. } => screen.print(lines),
            Kind::Pipe { last, .. } => {
                for line in lines {
                    self.context.output.note(line);
                }
                *last = Instant::now();
            }
            Kind::Json { .. } => {}
        }
    }

    fn emit(&mut self, state: &RunState, events: &[Event]) {
        let Kind::Json { number } = &mut self.kind else { return };
        for event in events {
            *number += 1;
            self.context.output.json_line(&as_json(state, *number, event));
        }
    }

    fn facts(&self) -> Facts {
        let facts = self.context.output.err;
        let width = Screen::width().filter(|_| facts.terminal).unwrap_or(facts.width);
        Facts { width, ..facts }
    }

    fn elapsed(&self) -> String {
        let seconds = self.began.elapsed().as_secs();
        format!("{:02}:{:02}", seconds / 60, seconds % 60)
    }
}

/// The job an event ended.
fn finished(state: &RunState, event: &Event) -> Option<JobView> {
    match &event.fact {
        Fact::JobFinished { key, .. } | Fact::JobLost { key, .. } => job(state, key),
        Fact::JobSkipped { job: id, .. } => job(state, &JobKey::new(id, 0)),
        _ => None,
    }
}

/// An event on one line: run, number in the run, time, name, then what belongs to it; steps are numbered from 1. Agents'
/// secrets stay out.
pub(crate) fn as_json(state: &RunState, number: u64, event: &Event) -> Value {
    let mut line = serde_json::Map::new();
    line.insert("run".to_owned(), state.run.0.into());
    line.insert("number".to_owned(), number.into());
    line.insert("at".to_owned(), Value::String(format!("{:.3}", event.at)));
    line.insert("event".to_owned(), event.fact.name().into());
    let fact = serde_json::to_value(&event.fact).unwrap_or_default();
    if let Some(fields) = fact.get(event.fact.name()).and_then(Value::as_object) {
        let open = fields.iter().filter(|(name, _)| !matches!(name.as_str(), "token" | "run"));
        line.extend(open.map(|(name, value)| match (name.as_str(), value.as_u64()) {
            ("step", Some(number)) => (name.clone(), (number + 1).into()),
            _ => (name.clone(), value.clone()),
        }));
    }
    Value::Object(line)
}
