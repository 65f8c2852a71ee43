//! `.tagline/environments.yml`: what on GitHub are repository settings.
//!
//! It is read from the default branch, never from the tag being released: a tag cannot rewrite the rules that guard it.

mod cluster;
mod duration;
mod model;
mod read;
mod reviewers;

pub use model::{Cluster, Environment, EnvironmentsFile, Reviewers};
pub use read::{Outcome, read};
