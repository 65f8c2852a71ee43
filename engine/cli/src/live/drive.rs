//! Driving runs from the command line: as the store's engine where there is none, else beside the one that serves; shown
//! until each has ended or waits for people.

use std::future::Future;

use tagline_run::{RunId, RunState};
use tagline_server::{Engine as Driver, beside, serve};
use tagline_store::StoreError;
use tokio::sync::oneshot;

use super::controls::Controls;
use super::ending::{self, Engine};
use super::face::Face;
use super::follow::{Followed, Stop};
use super::runner;
use super::tail::Tails;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::gate;

/// How runs are driven.
#[derive(Debug, Clone)]
pub(crate) struct Manner {
    /// The command, for a second engine's message: `tagline run`.
    pub(crate) holder: &'static str,
    /// Events as JSON on standard output, nothing else there.
    pub(crate) json: bool,
    /// Asks at gates where somebody can answer.
    pub(crate) ask: bool,
}

/// How a run was left.
enum Left {
    /// With this exit code.
    With(Exit),
    /// Its engine ended under it.
    EngineGone,
}

/// Runs something on a runtime of its own.
///
/// # Errors
/// When the system gives no threads.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let built = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = built.map_err(|error| {
        Failure::new(Exit::OutOfReach, "no-threads", "this machine gives tagline no threads")
            .why(error)
            .next("tagline doctor")
    })?;
    let outcome = runtime.block_on(work);
    // A read of the keyboard or disk that still waits must not hold up the end.
    runtime.shutdown_background();
    outcome
}

/// Drives runs until each has ended or waits for people, and says how they stand.
pub(crate) async fn drive(context: &Context, runs: &[RunId], manner: &Manner) -> Outcome {
    let mut controls = Controls::listen().map_err(|error| {
        Failure::new(Exit::OutOfReach, "no-signals", "this machine gives tagline no signals")
            .why(error)
            .next("tagline doctor")
    })?;
    let mut worst = Exit::Done;
    let mut left: Vec<RunId> = runs.to_vec();
    while !left.is_empty() {
        let started = if all_rest(context, &left)? { None } else { Some(runner::start(context, manner.holder).await?) };
        let gone = match started {
            None => {
                let serves = beside::engine_serves(&context.store).await?;
                let engine = if serves { Engine::Serving } else { Engine::Own };
                watch_all(context, &mut left, manner, engine, &mut controls, &mut worst).await?
            }
            Some(Ok(driver)) => own(context, driver, &mut left, manner, &mut controls, &mut worst).await?,
            Some(Err(busy @ StoreError::Busy { .. })) => {
                if !beside::engine_serves(&context.store).await? {
                    return Err(busy.into());
                }
                for run in &left {
                    beside::take_up(&context.store, *run).await?;
                }
                watch_all(context, &mut left, manner, Engine::Serving, &mut controls, &mut worst).await?
            }
            Some(Err(error)) => return Err(error.into()),
        };
        if gone {
            context.output.note("The engine that drove the run has ended; going on here");
        }
    }
    Ok(worst)
}

/// Whether every run has ended or waits for people, so that no engine is needed to say so.
fn all_rest(context: &Context, runs: &[RunId]) -> Result<bool, Failure> {
    for run in runs {
        let (followed, _) = Followed::open(context, *run)?;
        let asks = followed.stop() == Some(Stop::Waiting) && gate::can_ask(context);
        if followed.stop().is_none() || asks {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Drives as the store's engine. Other commands reach it through its socket, this one too.
async fn own(
    context: &Context,
    driver: Driver,
    left: &mut Vec<RunId>,
    manner: &Manner,
    controls: &mut Controls,
    worst: &mut Exit,
) -> Result<bool, Failure> {
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = serve(driver, async {
        let _ = stopped.await;
    });
    tokio::pin!(serving);
    let watching = watch_all(context, left, manner, Engine::Own, controls, worst);
    let outcome = tokio::select! {
        // The socket is there before anybody is told to use it.
        biased;
        served = &mut serving => return Err(no_socket(context, served)),
        outcome = watching => outcome,
    };
    drop(stop);
    match serving.await {
        Ok(()) => outcome,
        Err(error) => Err(no_socket(context, Err(error))),
    }
}

fn no_socket(context: &Context, served: std::io::Result<()>) -> Failure {
    let why = served.err().map_or_else(|| "it ended".to_owned(), |error| error.to_string());
    let socket = context.store.socket();
    Failure::new(Exit::OutOfReach, "no-socket", format!("the engine cannot listen on {}", socket.display()))
        .why(why)
        .effect("what runs goes on by itself")
        .next(context.command("resume"))
}

/// Shows runs one after the other; those that are through leave the list. True when the engine went away.
async fn watch_all(
    context: &Context,
    left: &mut Vec<RunId>,
    manner: &Manner,
    engine: Engine,
    controls: &mut Controls,
    worst: &mut Exit,
) -> Result<bool, Failure> {
    let several = left.len() > 1;
    while let Some(run) = left.first().copied() {
        match watch(context, run, several, manner, engine, controls).await? {
            Left::With(Exit::Told) => {
                *worst = Exit::Told;
                say_told(context, left, engine);
                left.clear();
            }
            Left::With(exit) => {
                *worst = worse(*worst, exit);
                left.remove(0);
            }
            Left::EngineGone => return Ok(true),
        }
    }
    Ok(false)
}

async fn watch(
    context: &Context,
    run: RunId,
    several: bool,
    manner: &Manner,
    engine: Engine,
    controls: &mut Controls,
) -> Result<Left, Failure> {
    let (mut followed, past) = Followed::open(context, run)?;
    let prefix = several.then(|| format!("{run}/"));
    let mut face = Face::new(context, manner.json, prefix);
    face.begin(&followed.state, &past);
    let logs = context.verbose && !manner.json;
    let mut tails = logs.then(|| Tails::new(&context.store, &followed.state));
    loop {
        let stop = followed.watch(context, &mut face, controls, &mut tails).await?;
        face.pause();
        match stop {
            Stop::EngineGone => return Ok(Left::EngineGone),
            Stop::Ended => return Ok(Left::With(end(context, &followed, manner))),
            Stop::Told => return Ok(Left::With(Exit::Told)),
            Stop::Waiting if manner.ask && gate::can_ask(context) => {
                let asking = gate::Asking { driven: true, stay: true, ..gate::Asking::default() };
                match gate::prompt(context, &mut followed, controls, &asking).await? {
                    gate::Answered::GoesOn | gate::Answered::Voted(_) => {}
                    gate::Answered::EngineGone => return Ok(Left::EngineGone),
                    gate::Answered::Quit => {
                        say_waiting(context, &followed.state, engine, manner);
                        return Ok(Left::With(Exit::Waiting));
                    }
                }
            }
            Stop::Waiting => {
                say_waiting(context, &followed.state, engine, manner);
                return Ok(Left::With(Exit::Waiting));
            }
        }
    }
}

fn end(context: &Context, followed: &Followed, manner: &Manner) -> Exit {
    let Some(finished) = &followed.state.finished else { return Exit::Done };
    let facts = if manner.json { &context.output.err } else { &context.output.out };
    let lines = ending::ended(&followed.state, finished, &followed.store, context, facts);
    say(context, &lines, manner);
    ending::exit(finished)
}

fn say_waiting(context: &Context, state: &RunState, engine: Engine, manner: &Manner) {
    say(context, &ending::waiting(state, engine, context), manner);
}

/// Says what becomes of runs that are left while they go on.
fn say_told(context: &Context, left: &[RunId], engine: Engine) {
    for run in left {
        context.output.note(match engine {
            Engine::Serving => format!("Run {run} goes on by itself"),
            Engine::Own => {
                let resume = context.command(format!("resume {run}"));
                format!("Told to end. What runs of run {run} goes on; after it: {resume}")
            }
        });
    }
}

fn say(context: &Context, lines: &[String], manner: &Manner) {
    for line in lines {
        if manner.json { context.output.note(line) } else { context.output.line(line) }
    }
}

/// The exit code of two runs: the one that needs a person more.
pub(crate) fn worse(one: Exit, other: Exit) -> Exit {
    let weight = |exit: Exit| match exit {
        Exit::Done => 0,
        Exit::Waiting => 1,
        Exit::Rejected => 2,
        Exit::Cancelled => 3,
        Exit::Failed => 4,
        Exit::Unusable => 5,
        Exit::OutOfReach => 6,
        Exit::Told => 7,
    };
    if weight(other) > weight(one) { other } else { one }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_runs_the_failure_counts() {
        assert_eq!(worse(Exit::Waiting, Exit::Failed), Exit::Failed);
        assert_eq!(worse(Exit::Waiting, Exit::Done), Exit::Waiting);
        assert_eq!(worse(Exit::Done, Exit::Rejected), Exit::Rejected);
    }
}
