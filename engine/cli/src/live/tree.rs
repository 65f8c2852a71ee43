//! A run as a tree on a terminal: lines that are printed for good, and the live area below them. Pure: state and time in,
//! text out.
//!
//! Invariants: the area has at most as many lines as it is given; no line is wider than the terminal; text from outside
//! is made harmless.

use std::collections::BTreeMap;

use jiff::Timestamp;
use tagline_run::view::{JobView, Status, StepView, jobs};
use tagline_run::{Gate, GateStatus, RunState};

use crate::output::{Facts, Mark, Style};
use crate::words::{self, plain};

/// Columns of a duration, with the two blanks before it.
const TIME: usize = 10;
/// Names are cut here.
const LONGEST_NAME: usize = 40;
/// `usually …` ends in this column where there is room.
const USUALLY: usize = 92;
/// Frames of the spinner, ten a second.
const SPINNER: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
/// Nothing spins before this many milliseconds.
const SPIN_AFTER: i64 = 200;

/// How long the jobs of this workflow usually take, in milliseconds, by job.
pub(crate) type Usual = BTreeMap<String, i64>;

/// How a state is shown.
pub(crate) fn mark(status: Status) -> Mark {
    match status {
        Status::Queued => Mark::Queued,
        Status::Waiting => Mark::Waiting,
        Status::InProgress => Mark::InProgress,
        Status::Success => Mark::Success,
        Status::Failure | Status::TimedOut => Mark::Failure,
        Status::Cancelled => Mark::Cancelled,
        Status::Skipped => Mark::Skipped,
        Status::Lost => Mark::Unknown,
    }
}

/// What the tree is drawn with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look<'l> {
    /// The terminal.
    pub(crate) facts: &'l Facts,
    /// Columns of a job's name.
    pub(crate) name: usize,
}

impl<'l> Look<'l> {
    /// Wide enough for every job's name.
    pub(crate) fn of(facts: &'l Facts, state: &RunState) -> Self {
        let longest = jobs(state).iter().map(|job| console::measure_text_width(&plain(&job.name))).max();
        Self { facts, name: longest.unwrap_or(0).clamp(16, LONGEST_NAME) }
    }

    /// Wide enough for the names of running steps, too, where there is room.
    fn widened(self, running: &[&JobView]) -> Self {
        let steps = running.iter().flat_map(|job| &job.steps);
        let longest = steps.map(|step| console::measure_text_width(&plain(&step.name)) + 2).max().unwrap_or(0);
        let most = (self.facts.width / 3).min(LONGEST_NAME);
        Self { name: self.name.max(longest.min(most)), ..self }
    }

    /// A job that has ended, as it is printed for good.
    pub(crate) fn ended(&self, state: &RunState, job: &JobView) -> String {
        let took = took(job.started_at, job.ended_at);
        let detail = match job.status {
            Status::Success => made(state, job),
            Status::Skipped => format!("skipped: {}", because(&job.why, "its `if` is false")),
            status => because(&job.why, status.word()),
        };
        self.row(&self.facts.mark(mark(job.status)), 0, &job.name, &took, &detail, "")
    }

    /// The live area: what is under way with its steps, what waits, and a line of totals.
    pub(crate) fn area(&self, state: &RunState, now: Timestamp, usual: &Usual, lines: usize) -> Vec<String> {
        let all = jobs(state);
        let total = self.totals(state, &all, now);
        let room = lines.saturating_sub(1);
        let mut area = Vec::new();
        let running: Vec<&JobView> = all.iter().filter(|job| job.status == Status::InProgress).collect();
        let waiting: Vec<&JobView> =
            all.iter().filter(|job| matches!(job.status, Status::Waiting | Status::Queued)).collect();
        // Each running job has its line; steps share what is left beside what waits.
        let mut spare = room.saturating_sub(running.len() + waiting.len().min(3));
        let look = self.widened(&running);
        for job in &running {
            area.push(look.running(state, job, now, usual));
            let steps = steps(job, spare.min(5));
            spare -= steps.len();
            area.extend(steps.into_iter().map(|step| look.step(step, now)));
        }
        area.extend(waiting.iter().map(|job| look.waiting(job)));
        if area.len() > room {
            let hidden = area.len() - room.saturating_sub(1);
            area.truncate(room.saturating_sub(1));
            let more = self.facts.paint(Style::Dim, format!("  and {}", words::count(hidden, "more line")));
            area.extend((room > 0).then(|| self.cut(&more)));
        }
        area.push(total);
        area
    }

    fn totals(&self, state: &RunState, all: &[JobView], now: Timestamp) -> String {
        let over = all.iter().filter(|job| job.status.is_over()).count();
        let keys = if state.cancel.is_some() { "being cancelled · Ctrl-C: kill" } else { "Ctrl-C: cancel" };
        let since = words::between(state.attempt_at, now);
        let text = format!("{over} of {} · {since} · Enter: output · {keys}", words::count(all.len(), "job"));
        self.facts.paint(Style::Dim, self.cut(&text))
    }

    fn running(&self, state: &RunState, job: &JobView, now: Timestamp, usual: &Usual) -> String {
        let total = state.plan.jobs.get(&job.id.job).map_or(0, |planned| planned.job.steps.len());
        let detail = match job.steps.last() {
            _ if !job.why.is_empty() => job.why.clone(),
            None => String::new(),
            Some(step) if step.number as usize <= total => format!("step {} of {total}", step.number),
            Some(_) => "cleaning up".to_owned(),
        };
        let usually = usual.get(&job.id.job).map(|ms| format!("usually {}", words::duration(*ms)));
        let took = took(job.started_at, Some(now));
        let spinner = self.spinner(job.started_at, now);
        self.row(&spinner, 0, &job.name, &took, &detail, &usually.unwrap_or_default())
    }

    fn step(&self, step: &StepView, now: Timestamp) -> String {
        let took = took(Some(step.started_at), step.ended_at.or(Some(now)));
        let symbol = match step.status {
            Status::InProgress => self.spinner(Some(step.started_at), now),
            status => self.facts.mark(mark(status)),
        };
        let took = if step.status == Status::Skipped { String::new() } else { took };
        self.row(&symbol, 1, &step.name, &took, &step.why, "")
    }

    fn waiting(&self, job: &JobView) -> String {
        self.row(&self.facts.mark(mark(job.status)), 0, &job.name, "", &job.why, "")
    }

    fn spinner(&self, since: Option<Timestamp>, now: Timestamp) -> String {
        let ms = since.map_or(0, |since| now.as_millisecond() - since.as_millisecond());
        if !self.facts.symbols || ms < SPIN_AFTER {
            return self.facts.mark(Mark::InProgress);
        }
        let frame = usize::try_from(ms / 100).unwrap_or(0) % SPINNER.len();
        self.facts.paint(Style::Accent, SPINNER[frame])
    }

    fn row(&self, symbol: &str, depth: usize, name: &str, time: &str, detail: &str, usually: &str) -> String {
        let indent = 2 * depth;
        let columns = self.name.saturating_sub(indent).max(8);
        let name = fit(&plain(name), columns);
        // A mark that is a word pushes the columns; they stay in line with each other.
        let symbol = pad(symbol, if self.facts.symbols { 1 } else { 11 });
        let left = format!("{:indent$}{symbol} {name}{time:>TIME$}  ", "");
        let width = self.facts.width.saturating_sub(1);
        let used = console::measure_text_width(&left);
        let room = width.saturating_sub(used);
        let end = USUALLY.min(width).saturating_sub(used);
        let detail = plain(detail);
        if usually.is_empty() || end < detail.chars().count() + usually.len() + 2 {
            // However narrow the terminal, a line is one line: the area's height is counted on.
            return self.cut(format!("{left}{}", cut(&detail, room)).trim_end());
        }
        let gap = end - console::measure_text_width(&detail) - usually.len();
        format!("{left}{detail}{:gap$}{}", "", self.facts.paint(Style::Dim, usually))
    }

    fn cut(&self, text: &str) -> String {
        cut(text, self.facts.width.saturating_sub(1))
    }
}

/// The first line of a run.
pub(crate) fn head(state: &RunState, facts: &Facts) -> String {
    let trigger = &state.plan.trigger;
    let what = words::reference(&trigger.reference);
    let file = state.plan.workflow.path.rsplit('/').next().unwrap_or_default();
    let commit =
        if trigger.working_tree { "working tree".to_owned() } else { words::short_commit(&trigger.commit).to_owned() };
    let run = facts.paint(Style::Strong, format!("Run {}", state.run));
    let attempt = if state.attempt.0 > 1 { format!("  attempt {}", state.attempt) } else { String::new() };
    let (repository, subject) = (plain(&state.plan.repository), plain(&trigger.subject));
    format!("{run}  {repository} {what}  {commit} \"{subject}\"  {}{attempt}", plain(file))
}

/// The steps of a job worth their lines: the newest.
fn steps(job: &JobView, room: usize) -> Vec<&StepView> {
    let skip = job.steps.len().saturating_sub(room);
    job.steps.iter().skip(skip).collect()
}

/// What a job made: its artifacts by digest, or where its environment is.
fn made(state: &RunState, job: &JobView) -> String {
    let own = state.artifacts.iter().filter(|(_, artifact)| artifact.by == job.id && artifact.attempt == job.attempt);
    let mut made: Vec<String> =
        own.map(|(name, artifact)| format!("{name} sha256:{}", words::short_digest(&artifact.digest))).collect();
    made.extend((!job.url.is_empty()).then(|| job.url.clone()));
    made.join("  ")
}

/// Whether the run waits for people and for nothing else: no job is under way or about to be, no gate is overdue.
pub(crate) fn holds(state: &RunState, now: Timestamp) -> bool {
    use tagline_run::Place;
    let expires = |gate: &Gate| gate.opened.as_ref().and_then(|opened| opened.expires);
    let open = |gate: &Gate| gate.status == GateStatus::Open && expires(gate).is_none_or(|at| at > now);
    let rests = |place: &Place| match place {
        Place::Ended => true,
        Place::Gate(Some(gate)) => state.gates.get(gate).is_some_and(open),
        _ => false,
    };
    state.finished.is_none()
        && state.gates.values().any(open)
        && !state.gates.values().any(|gate| gate.status == GateStatus::Requested)
        && state.jobs.keys().all(|id| state.places(id).iter().all(rests))
}

fn because(why: &str, otherwise: &str) -> String {
    if why.is_empty() { otherwise.to_owned() } else { why.to_owned() }
}

/// How long something took; empty for what never began.
pub(crate) fn took(from: Option<Timestamp>, to: Option<Timestamp>) -> String {
    from.zip(to).map_or_else(String::new, |(from, to)| words::between(from, to))
}

fn cut(text: &str, columns: usize) -> String {
    console::truncate_str(text, columns, "…").into_owned()
}

fn pad(text: &str, columns: usize) -> String {
    console::pad_str(text, columns, console::Alignment::Left, None).into_owned()
}

fn fit(text: &str, columns: usize) -> String {
    pad(&cut(text, columns), columns)
}

#[cfg(test)]
mod tests {
    use super::super::sample::{Sample, at};
    use super::*;

    const WIDE: Facts = Facts { terminal: true, colour: false, symbols: true, width: 120 };

    #[test]
    fn the_tree_shows_what_is_done_what_runs_and_what_waits() {
        let sample = Sample::staging();
        let look = Look::of(&WIDE, &sample.state);
        let ended: Vec<String> = jobs(&sample.state)
            .iter()
            .filter(|job| job.status.is_over())
            .map(|job| look.ended(&sample.state, job))
            .collect();
        let usual = Usual::from([("deploy-staging".to_owned(), 91_000)]);
        let area = look.area(&sample.state, at("14:23:05"), &usual, 12);
        let shown = [vec![head(&sample.state, &WIDE)], ended, area].concat().join("\n");
        let expected = r#"
Run 418  village-storefront v1.2.3  4f9c2ab "Fix tenant cache"  release.yml
✓ quality               21.4s
✓ build                1m 48s  image sha256:9b9b9b9b9b9b
⠋ deploy-staging        52.0s  step 2 of 3                                    usually 1m 31s
  ✓ migrate              6.0s
  ⠋ smoke tests         46.0s
○ deploy-production            after deploy-staging, then 2 approvals
2 of 4 jobs · 3m 05s · Enter: output · Ctrl-C: cancel
"#;
        assert_eq!(shown, expected.trim());
    }

    #[test]
    fn the_area_fits_any_terminal() {
        let sample = Sample::staging();
        for width in [20, 40, 60, 80, 200] {
            let facts = Facts { width, ..WIDE };
            for lines in 1..=12 {
                let usual = Usual::from([("deploy-staging".to_owned(), 91_000)]);
                let area = Look::of(&facts, &sample.state).area(&sample.state, at("14:23:05"), &usual, lines);
                assert!(!area.is_empty() && area.len() <= lines, "{lines}: {area:#?}");
                let widest = area.iter().map(|line| console::measure_text_width(line)).max().unwrap_or(0);
                assert!(widest < width, "{width}: {area:#?}");
            }
        }
    }

    #[test]
    fn names_of_steps_are_whole_where_there_is_room() {
        let mut sample = Sample::staging();
        let name = "Run cargo test --workspace";
        sample.step("deploy-staging", 2, name, "14:22:40");
        let area = |width: usize| {
            let facts = Facts { width, ..WIDE };
            Look::of(&facts, &sample.state).area(&sample.state, at("14:23:05"), &Usual::new(), 12).join("\n")
        };
        assert!(area(120).contains(name), "{}", area(120));
        assert!(!area(60).contains(name), "{}", area(60));
    }

    #[test]
    fn without_symbols_words_stand_for_them() {
        let sample = Sample::staging();
        let look = Look::of(&Facts::PLAIN, &sample.state);
        let area = look.area(&sample.state, at("14:23:05"), &Usual::new(), 12);
        assert!(area[0].starts_with("in progress deploy-staging"), "{area:#?}");
        assert!(area.iter().any(|line| line.starts_with("queued      deploy-production")), "{area:#?}");
        assert!(area.concat().is_ascii() || area.concat().contains('·'), "{area:#?}");
    }

    #[test]
    fn a_run_holds_when_only_people_are_waited_for() {
        assert!(!holds(&Sample::staging().state, at("14:23:05")));
        let waiting = Sample::gate();
        assert!(holds(&waiting.state, at("14:25:00")));
        // Overdue: the engine is to say that it expired.
        assert!(!holds(&waiting.state, at("14:25:00") + jiff::SignedDuration::from_hours(100)));
    }
}
