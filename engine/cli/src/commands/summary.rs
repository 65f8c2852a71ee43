//! `tagline show RUN --summary`: what the steps wrote to GITHUB_STEP_SUMMARY, from the spools of their jobs.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use tagline_executor::LogReader;
use tagline_protocol::{Record, SPOOL};
use tagline_run::{JobKey, LegState, RunState};

use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::output::Style;
use crate::words::{log_line, plain};

/// The summary of one step.
#[derive(Debug, PartialEq, Eq)]
struct Summary {
    job: String,
    name: String,
    attempt: u32,
    step: String,
    /// Markdown, as the step wrote it but for secrets.
    text: String,
}

/// Prints them in the order of the plan; of each leg those of its newest attempt.
pub(super) fn run(context: &Context, state: &RunState, as_json: bool) -> Outcome {
    let mut summaries = Vec::new();
    for (key, leg) in state.legs().filter(|(_, leg)| leg.started.is_some()) {
        summaries.extend(of_leg(context, state, &key, leg)?);
    }
    let out = &context.output;
    if as_json {
        out.json(&summaries.iter().map(Summary::json).collect::<Vec<_>>());
        return Ok(Exit::Done);
    }
    if summaries.is_empty() {
        out.line(format!("No step of run {} has written a summary", state.run));
    }
    for summary in &summaries {
        let heading = format!("# {} / {}", plain(&summary.name), plain(&summary.step));
        out.line(out.out.paint(Style::Strong, heading));
        out.lines(summary.text.lines().map(|line| log_line(line, false)));
    }
    Ok(Exit::Done)
}

fn of_leg(context: &Context, state: &RunState, key: &JobKey, leg: &LegState) -> Result<Vec<Summary>, Failure> {
    let path = context.store.job(state.run.0, &key.to_string(), leg.attempt.0).join(SPOOL);
    let read = read(&path).map_err(|error| {
        Failure::new(Exit::OutOfReach, "log", format!("the log of {key} cannot be read"))
            .why(error)
            .why(path.display())
            .next("tagline doctor")
    })?;
    let summary = |(step, text)| Summary {
        job: key.to_string(),
        name: leg.ready.leg.name.clone(),
        attempt: leg.attempt.0,
        step,
        text,
    };
    Ok(read.into_iter().map(summary).collect())
}

/// Names of steps and what they wrote; nothing where there is no spool yet.
fn read(path: &Path) -> std::io::Result<Vec<(String, String)>> {
    let mut reader = LogReader::new(path, 0);
    let mut names = BTreeMap::new();
    let mut summaries = Vec::new();
    while let Some(line) = reader.next_line()? {
        if line.is_log() {
            continue;
        }
        // A line that is no record is a torn one: a machine went down while it was written.
        match line.decode() {
            Ok(Record::StepStarted { step, name, .. }) => drop(names.insert(step, name)),
            Ok(Record::Summary { step, text }) => {
                let name = names.get(&step).cloned().unwrap_or_else(|| format!("step {}", step + 1));
                summaries.push((name, text));
            }
            _ => {}
        }
    }
    Ok(summaries)
}

impl Summary {
    fn json(&self) -> Value {
        let Self { job, name, attempt, step, text } = self;
        json!({"job": job, "name": name, "attempt": attempt, "step": step, "text": text})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_are_read_with_the_names_of_their_steps() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join(SPOOL);
        assert!(read(&path).unwrap().is_empty());
        let records = [
            Record::StepStarted { step: 0, id: "a".into(), name: "test".into(), at: 0 },
            Record::Summary { step: 0, text: "| a | b |\n".into() },
            Record::Summary { step: 4, text: "late".into() },
        ];
        let lines: Vec<String> = records.iter().map(|record| serde_json::to_string(record).unwrap() + "\n").collect();
        std::fs::write(&path, lines.concat() + "torn\n").unwrap();
        let wanted = [("test", "| a | b |\n"), ("step 5", "late")];
        assert_eq!(read(&path).unwrap(), wanted.map(|(name, text)| (name.to_owned(), text.to_owned())));
    }
}
