//! What is wrong with an input.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One thing wrong with one input.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Problem {
    /// The input's name; `uses` where the action itself is meant.
    pub key: String,
    /// The line of a value of several lines, from 0: where in the file to point.
    pub line: Option<usize>,
    /// What is wrong; what is allowed; the nearest that would be right.
    pub message: String,
}

impl Problem {
    /// A problem of a whole value.
    pub fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { key: key.into(), line: None, message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.message)
    }
}
