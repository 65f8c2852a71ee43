//! Support of the acceptance tests: they run the real `tagline` on real repositories, terminals and daemons.
//!
//! - [`Scratch`] is a folder of one test, gone at its end; [`Repo`] a Git repository in it.
//! - [`Tagline`] runs the binary with its home, store and XDG folders in the scratch, as anyone or as uid 1000.
//! - [`Background`] is a `tagline` that goes on running; [`Terminal`] one on a pseudo terminal.
//! - [`gate`] says what this machine has: a test that needs more notes a skip with its reason, and fails in CI.
//!
//! Nothing here sleeps for a guessed time: it waits for a line, an exit, a file or a condition, each with a limit.

mod background;
mod binary;
pub mod gate;
mod outcome;
mod project;
mod repo;
mod scratch;
mod tagline;
mod terminal;
mod wait;

pub use background::Background;
pub use binary::{binary, workspace};
pub use outcome::Outcome;
pub use project::TAG;
pub use repo::Repo;
pub use scratch::Scratch;
pub use tagline::Tagline;
pub use terminal::Terminal;
pub use wait::{LIMIT, ended, holds, until};
