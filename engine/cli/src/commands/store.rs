//! `tagline store`: back up, verify, repair.

use std::time::Duration;

use tagline_run::RunState;
use tagline_server::ledger::summary;
use tagline_server::{clock, lock};
use tagline_store::Verified;

use crate::args::{BackupArgs, ClockArgs, StoreCommand};
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::words::number;

/// Runs it.
pub(crate) fn run(context: &Context, command: &StoreCommand) -> Outcome {
    match command {
        StoreCommand::Backup(args) => backup(context, args),
        StoreCommand::Verify => {
            let verified = context.read_store()?.verify()?;
            print(context, &verified, "verified");
            Ok(Exit::Done)
        }
        StoreCommand::Rebuild => rebuild(context),
        StoreCommand::Clock(args) => clock(context, args),
    }
}

fn backup(context: &Context, args: &BackupArgs) -> Outcome {
    let copied = context.read_store()?.backup(&args.to)?;
    print(context, &copied.verified, &format!("copied to {} and verified", args.to.display()));
    if copied.damaged.is_empty() {
        return Ok(Exit::Done);
    }
    Err(Failure::new(Exit::Failed, "damaged-blobs", "artifacts are damaged, in the store as in its copy")
        .why(copied.damaged.join(", "))
        .effect("everything else was copied whole")
        .next("take these from an older backup: each is a file below blobs/sha256, named by its digest"))
}

/// The engine keeps what it has read in memory, so it must not run meanwhile.
fn rebuild(context: &Context) -> Outcome {
    context.read_store()?;
    let _lock = lock::take(&context.store, "tagline store rebuild")?;
    let store = context.open_store()?;
    store.rebuild(&|events| RunState::load(events).map(|state| summary(&state)).map_err(|error| error.to_string()))?;
    print(context, &store.verify()?, "read, lists made again");
    Ok(Exit::Done)
}

/// An engine that serves the store notices within a second.
fn clock(context: &Context, args: &ClockArgs) -> Outcome {
    context.read_store()?;
    let wrong = |why: String| Failure::unusable("bad-time", "the clock cannot be moved").why(why);
    let by = Duration::try_from(args.forward).map_err(|_| wrong("it only moves forward".to_owned()))?;
    let moved = clock::forward(&context.store, by).map_err(|error| wrong(error.to_string()))?;
    context.output.line(format!("the clock of this store is {moved:#} ahead"));
    Ok(Exit::Done)
}

fn print(context: &Context, verified: &Verified, what: &str) {
    let entries = if verified.entries == 1 { "entry" } else { "entries" };
    context.output.line(format!("{} {entries} {what}, head {}", number(verified.entries), verified.head));
}
