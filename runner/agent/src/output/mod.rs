//! From the bytes a step prints to log lines: cut into lines, commands taken out, control sequences removed, secrets
//! masked, in this order, so that removing a sequence cannot bring a secret together.

pub mod command;
mod encodings;
mod lines;
pub mod mask;
pub mod matcher;
pub mod sanitise;

pub use lines::{LineSink, Lines};
