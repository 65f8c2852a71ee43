//! How a command fails, and what its exit code says.

use std::fmt;

/// Why a command ended: 1 it did not work or the verdict is no, 2 it was used wrongly.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) exit: u8,
    message: String,
}

impl Failure {
    /// The command was understood and did not work.
    pub(crate) fn new(message: impl fmt::Display) -> Self {
        Self { exit: 1, message: message.to_string() }
    }

    /// The command was not understood; nothing was done.
    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self { exit: 2, message: message.to_string() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)
    }
}

impl From<lexopt::Error> for Failure {
    fn from(error: lexopt::Error) -> Self {
        Self::usage(error)
    }
}

impl From<postgres::Error> for Failure {
    fn from(error: postgres::Error) -> Self {
        Self::new(crate::database::sentence(&error))
    }
}
