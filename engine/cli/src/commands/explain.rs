//! `tagline explain`: why a job ran, waits, or did not run.

use tagline_run::{RunState, view};

use crate::args::ExplainArgs;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::output::Style;
use crate::words::plain;

/// Columns after which the place stands on a line of its own.
const PLACE_COLUMN: usize = 66;

/// Runs it.
pub(crate) fn run(context: &Context, args: &ExplainArgs) -> Outcome {
    let (_, state) = context.run_state(args.run)?;
    // A job without a leg's number means all its legs, as for `logs`.
    let all = match args.job.leg {
        0 => view::explain_all(&state, &args.job.job),
        _ => view::explain(&state, &args.job).into_iter().collect(),
    };
    match all.as_slice() {
        [] => Err(unknown(&state, args)),
        [one] if args.json => {
            context.output.json(one);
            Ok(Exit::Done)
        }
        several if args.json => {
            context.output.json(&several);
            Ok(Exit::Done)
        }
        several => {
            for one in several {
                print(context, one);
            }
            Ok(Exit::Done)
        }
    }
}

fn unknown(state: &RunState, args: &ExplainArgs) -> Failure {
    let known: Vec<&str> = state.plan.jobs.keys().map(String::as_str).collect();
    Failure::unusable("unknown-job", format!("run {} has no job {}", args.run, args.job))
        .why(format!("its jobs are {}", known.join(", ")))
        .next(format!("tagline show {}", args.run))
}

fn print(context: &Context, explanation: &view::Explanation) {
    let out = &context.output;
    let place = format!("{}:{}:{}", plain(&explanation.file), explanation.line, explanation.column);
    let sentence = plain(&explanation.sentence);
    out.line(format!("{sentence:<PLACE_COLUMN$} {}", out.out.paint(Style::Dim, place)));
    let width = explanation.clauses.iter().map(|clause| clause.text.chars().count()).max().unwrap_or_default();
    for clause in &explanation.clauses {
        let style = if clause.holds { Style::Good } else { Style::Bad };
        let holds = out.out.paint(style, format!("{:<5}", clause.holds));
        let line = format!("  {holds}  {:<width$}    {}", plain(&clause.text), plain(&clause.note));
        out.line(line.trim_end());
    }
    if let Some(next) = &explanation.next {
        out.line(format!("  {}   {}", out.out.paint(Style::Strong, "next"), plain(&context.at_store(next))));
    }
}
