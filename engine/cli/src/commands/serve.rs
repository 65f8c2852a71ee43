//! `tagline serve --headless`: the engine of a store, with its socket, until it is told to end.

use std::io;

use tagline_server::serve;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::args::ServeArgs;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::live;

/// The variable that says how much is logged: `debug`, `tagline_server=trace`.
const LOG: &str = "TAGLINE_LOG";

/// Serves until SIGTERM or SIGINT. Jobs that run then go on, and the next engine finds them.
pub(crate) fn run(context: &Context, _args: ServeArgs) -> Outcome {
    log(context);
    live::block_on(async {
        // Before it says that it serves: from then on a signal is to end it well.
        let told_to_end = told_to_end().map_err(|error| {
            Failure::new(Exit::OutOfReach, "no-signals", "this machine gives tagline no signals")
                .why(error)
                .effect("nothing was run")
                .next("tagline doctor")
        })?;
        let engine = live::runner::start(context, "tagline serve").await??;
        let url = context.store.url();
        tracing::info!(store = url, process = std::process::id(), "the engine serves this store");
        let ended = serve(engine, told_to_end).await;
        ended.map_err(|error| {
            let socket = context.store.socket();
            Failure::new(Exit::OutOfReach, "no-socket", format!("the engine cannot listen on {}", socket.display()))
                .why(error)
                .effect("nothing was run")
                .next("tagline doctor")
        })?;
        tracing::info!(store = url, "the engine has ended; jobs that run go on");
        Ok(Exit::Done)
    })
}

/// Logs to standard error, with colours only on a terminal that wants them.
fn log(context: &Context) {
    let filter = EnvFilter::try_from_env(LOG);
    let level = if context.verbose { "debug" } else { "info" };
    let filter = filter.unwrap_or_else(|_| EnvFilter::new(level));
    let written = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    // Another subscriber of this process would do as well.
    let _ = written.with_ansi(context.output.err.colour).try_init();
}

/// Listens for SIGTERM and SIGINT from now on; the future is done when one has come.
fn told_to_end() -> io::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
