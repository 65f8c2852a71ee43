//! `tagline logs`: what the jobs of a run printed, from their spools; also while they run.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use tagline_executor::LogReader;
use tagline_protocol::{Conclusion, Record, SPOOL, Stream};
use tagline_run::{Attempt, JobKey, RunState};

use crate::args::LogsArgs;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::output::{Facts, Style};
use crate::words::{log_line, plain};

/// How often what is followed is looked at again.
const PACE: Duration = Duration::from_millis(100);

/// Runs it.
pub(crate) fn run(context: &Context, args: &LogsArgs) -> Outcome {
    let (store, mut state) = context.run_state(args.run)?;
    let wanted = args.job.as_ref().or(args.job_flag.as_ref());
    if let Some(job) = wanted.filter(|job| !state.plan.jobs.contains_key(&job.job)) {
        return Err(unknown(&state, job));
    }
    let mut spools: Vec<Spool> = Vec::new();
    let several = wanted.is_none() && state.plan.jobs.len() > 1;
    let printer =
        Printer { facts: context.output.out, debug: context.verbose, several, prefix: several && args.follow };
    if !args.follow {
        for mut spool in found(context, &state, wanted) {
            let failed = if args.failed { Some(spool.failed_steps()?) } else { None };
            spool.print(context, &printer, failed.as_ref())?;
        }
        return Ok(Exit::Done);
    }
    crate::live::block_on(async {
        loop {
            let over = state.finished.is_some();
            for new in found(context, &state, wanted) {
                if !spools.iter().any(|old| old.key == new.key && old.attempt == new.attempt) {
                    spools.push(new);
                }
            }
            for spool in &mut spools {
                spool.print(context, &printer, None)?;
            }
            if over || context.output.is_closed() {
                return Ok(Exit::Done);
            }
            tokio::select! {
                () = tokio::time::sleep(PACE) => {}
                _ = tokio::signal::ctrl_c() => return Ok(Exit::Cancelled),
            }
            state = tagline_server::ledger::state(&store, args.run)?;
        }
    })
}

fn unknown(state: &RunState, job: &JobKey) -> Failure {
    let known: Vec<&str> = state.plan.jobs.keys().map(String::as_str).collect();
    Failure::unusable("unknown-job", format!("run {} has no job {job}", state.run))
        .why(format!("its jobs are {}", known.join(", ")))
        .next(format!("tagline show {}", state.run))
}

/// The spools of the legs that were started, in the plan's order. A job without a leg's number means all its legs.
fn found(context: &Context, state: &RunState, wanted: Option<&JobKey>) -> Vec<Spool> {
    let is_wanted = |key: &JobKey| wanted.is_none_or(|job| job.job == key.job && (job.leg == 0 || job.leg == key.leg));
    let started = state.legs().filter(|(key, leg)| leg.started.is_some() && is_wanted(key));
    let spool = |(key, leg): (JobKey, &tagline_run::LegState)| {
        let path = context.store.job(state.run.0, &key.to_string(), leg.attempt.0).join(SPOOL);
        let name = leg.ready.leg.name.clone();
        Spool { reader: LogReader::new(&path, 0), path, key, attempt: leg.attempt, name, open: false, headed: false }
    };
    started.map(spool).collect()
}

/// The log of one attempt of a leg, read up to some line.
struct Spool {
    path: PathBuf,
    reader: LogReader,
    key: JobKey,
    attempt: Attempt,
    name: String,
    /// The last line printed goes on.
    open: bool,
    /// The job's heading was printed.
    headed: bool,
}

impl Spool {
    /// The steps that did not succeed.
    fn failed_steps(&self) -> Result<BTreeSet<u32>, Failure> {
        let mut reader = LogReader::new(&self.path, 0);
        let mut failed = BTreeSet::new();
        while let Some(line) = reader.next_line().map_err(|error| self.unreadable(&error))? {
            if line.is_log() {
                continue;
            }
            if let Ok(Record::StepFinished { step, outcome: Conclusion::Failure | Conclusion::Cancelled, .. }) =
                serde_json::from_slice(line.bytes)
            {
                failed.insert(step);
            }
        }
        Ok(failed)
    }

    /// Prints what has come since the last time; of `only` these steps where they are given.
    fn print(&mut self, context: &Context, printer: &Printer, only: Option<&BTreeSet<u32>>) -> Result<(), Failure> {
        let mut wrong = None;
        context.output.stream(|out| {
            loop {
                match self.reader.next_line() {
                    Ok(Some(line)) => {
                        // A line that is no record is a torn one: a machine went down while it was written.
                        let Ok(record) = serde_json::from_slice::<Record>(line.bytes) else { continue };
                        if only.is_some_and(|only| step_of(&record).is_none_or(|step| !only.contains(&step))) {
                            continue;
                        }
                        if printer.several && !printer.prefix && !self.headed {
                            self.headed = true;
                            writeln!(
                                out,
                                "{}",
                                printer.facts.paint(Style::Strong, format!("# {}", plain(&self.name)))
                            )?;
                        }
                        self.open = printer.record(out, &self.name, &record, self.open)?;
                    }
                    Ok(None) => return Ok(()),
                    Err(error) => {
                        wrong = Some(error);
                        return Ok(());
                    }
                }
            }
        });
        match wrong {
            Some(error) if error.kind() != io::ErrorKind::NotFound => Err(self.unreadable(&error)),
            _ => Ok(()),
        }
    }

    fn unreadable(&self, error: &io::Error) -> Failure {
        Failure::new(Exit::OutOfReach, "log", format!("the log of {} cannot be read", self.key))
            .why(error)
            .why(self.path.display())
            .next("tagline doctor")
    }
}

fn step_of(record: &Record) -> Option<u32> {
    match record {
        Record::StepStarted { step, .. } | Record::StepFinished { step, .. } => Some(*step),
        Record::Log { step, .. } => *step,
        _ => None,
    }
}

/// How records become lines.
struct Printer {
    facts: Facts,
    debug: bool,
    /// Of more than one job.
    several: bool,
    /// Each line names its job, because jobs take turns.
    prefix: bool,
}

impl Printer {
    /// Prints a record; says whether its last line goes on in the next one.
    fn record(&self, out: &mut dyn Write, job: &str, record: &Record, open: bool) -> io::Result<bool> {
        match record {
            Record::StepStarted { step, name, .. } => {
                let text = format!("## {} {}", step + 1, plain(name));
                self.line(out, job, &self.facts.paint(Style::Accent, text), open)?;
            }
            Record::StepFinished { outcome, why, .. } if *outcome != Conclusion::Success => {
                let why = if why.is_empty() { String::new() } else { format!(": {}", plain(why)) };
                let text = format!("## {}{why}", outcome.word());
                self.line(out, job, &self.facts.paint(Style::Warn, text), open)?;
            }
            Record::Log { stream: Stream::Debug, .. } if !self.debug => return Ok(open),
            Record::Log { stream: Stream::EndGroup, .. } => return Ok(open),
            Record::Log { stream, lines, open: goes_on, .. } => {
                return self.lines(out, job, *stream, lines, (open, *goes_on));
            }
            _ => return Ok(open),
        }
        Ok(false)
    }

    fn lines(
        &self,
        out: &mut dyn Write,
        job: &str,
        stream: Stream,
        lines: &[String],
        (open, goes_on): (bool, bool),
    ) -> io::Result<bool> {
        for (at, line) in lines.iter().enumerate() {
            let text = log_line(line, self.facts.colour);
            let text = match stream {
                Stream::Group if self.facts.symbols => self.facts.paint(Style::Strong, format!("▸ {text}")),
                Stream::Agent | Stream::Debug => self.facts.paint(Style::Dim, text),
                _ => text,
            };
            if !(open && at == 0) && self.prefix {
                write!(out, "{} | ", plain(job))?;
            }
            out.write_all(text.as_bytes())?;
            if !(goes_on && at + 1 == lines.len()) {
                out.write_all(b"\n")?;
            }
        }
        Ok(goes_on)
    }

    /// A line of ours; it ends one of the job's that was left open.
    fn line(&self, out: &mut dyn Write, job: &str, text: &str, open: bool) -> io::Result<()> {
        if open {
            out.write_all(b"\n")?;
        }
        if self.prefix {
            write!(out, "{} | ", plain(job))?;
        }
        writeln!(out, "{text}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(records: &[Record], prefix: bool) -> String {
        let printer = Printer { facts: Facts::PLAIN, debug: false, several: prefix, prefix };
        let mut out = Vec::new();
        let mut open = false;
        for record in records {
            open = printer.record(&mut out, "build", record, open).unwrap();
        }
        String::from_utf8(out).unwrap()
    }

    fn log(stream: Stream, lines: &[&str], open: bool) -> Record {
        let lines = lines.iter().map(|line| (*line).to_owned()).collect();
        Record::Log { step: Some(0), at: 0, stream, lines, open }
    }

    #[test]
    fn a_long_line_is_one_line() {
        let records = [log(Stream::Output, &["a", "long"], true), log(Stream::Output, &[" line", "b"], false)];
        assert_eq!(print(&records, false), "a\nlong line\nb\n");
        assert_eq!(print(&records, true), "build | a\nbuild | long line\nbuild | b\n");
    }

    #[test]
    fn steps_are_headed_and_debug_is_hidden() {
        let records = [
            Record::StepStarted { step: 0, id: "x".into(), name: "compile\u{1b}[2J".into(), at: 0 },
            log(Stream::Debug, &["secret thoughts"], false),
            log(Stream::Group, &["fetch"], false),
            log(Stream::Output, &["\u{1b}[31mred"], true),
            Record::StepFinished {
                step: 0,
                outcome: Conclusion::Failure,
                conclusion: Conclusion::Failure,
                exit_code: Some(1),
                why: "exit code 1".into(),
                at: 0,
            },
        ];
        assert_eq!(print(&records, false), "## 1 compile\nfetch\nred\n## failure: exit code 1\n");
    }
}
