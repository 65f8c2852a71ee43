//! Exit codes, with the meaning of each.

use std::process::ExitCode;

/// What an exit code says. The numbers are a promise to scripts and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Done.
    Done = 0,
    /// Failed, or refused for what happened before: a moved tag, a downgrade, a stale plan. For `lint`: errors.
    Failed = 1,
    /// Nothing could start: wrong use, a bad or missing tag, an unusable file, an unknown environment, a missing secret.
    Unusable = 2,
    /// The release waits for an approval.
    Waiting = 3,
    /// The release was rejected, or its approval expired.
    Rejected = 4,
    /// The store or an executor is out of reach.
    OutOfReach = 5,
    /// Cancelled, by Ctrl-C or `tagline cancel`.
    Cancelled = 130,
    /// Told to end by a signal, or by its terminal going away; what runs goes on by itself.
    Told = 143,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
