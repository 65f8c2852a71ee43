//! Built-in actions, each in a process of its own with the steps' user: what lies in the workspace is a step's doing,
//! and a link in it must not lead anywhere the step itself could not go.
//!
//! The helper has no job folder and no engine. It asks the agent over a socket, its standard input ([`wire`]); files
//! come and go as descriptors.

mod actions;
pub(crate) mod wire;

pub(crate) use self::actions::unknown;

use std::process::ExitCode;

use rustix::process::DumpableBehavior;

use self::wire::{Ask, Line, Order};

/// Reads the order from standard input, carries it out and says what came of it.
pub(crate) fn main() -> ExitCode {
    // The steps' user owns other processes; they must not reach into this one.
    let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let result = Line::standard_input().and_then(|mut line| {
        let order: Order = line.order()?;
        if let Err(why) = actions::carry_out(&order, &mut line) {
            line.tell(&Ask::Fail { why })?;
        }
        Ok(())
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
