//! `tagline store`: back up, verify, repair.

use tagline_run::RunState;
use tagline_server::ledger::summary;
use tagline_server::lock;
use tagline_store::Verified;

use crate::args::{BackupArgs, StoreCommand};
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Outcome;
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
    }
}

fn backup(context: &Context, args: &BackupArgs) -> Outcome {
    let verified = context.read_store()?.backup(&args.to)?;
    print(context, &verified, &format!("copied to {} and verified", args.to.display()));
    Ok(Exit::Done)
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

fn print(context: &Context, verified: &Verified, what: &str) {
    let entries = if verified.entries == 1 { "entry" } else { "entries" };
    context.output.line(format!("{} {entries} {what}, head {}", number(verified.entries), verified.head));
}
