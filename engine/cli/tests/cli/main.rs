//! The real binary, shut off from the machine's configuration.

mod eval;
mod graph;
mod init;
mod lint;
mod look;
mod place;
mod plan;
mod sandbox_run;
mod words;
