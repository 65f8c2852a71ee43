//! Why a request is not carried out.

use std::fmt;

/// A status and a sentence for whoever asked.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) status: u16,
    pub(crate) message: String,
}

impl Fault {
    pub(crate) fn new(status: u16, message: impl fmt::Display) -> Self {
        let message = message.to_string();
        Self { status, message }
    }

    /// The machine is at fault, not the request.
    pub(crate) fn internal(what: impl fmt::Display, error: impl fmt::Display) -> Self {
        Self::new(500, format_args!("{what}: {error}"))
    }
}
