//! `.tagline/environments.yml`: what on GitHub are repository settings.
//!
//! It is read from the default branch, never from the tag being released: a tag cannot rewrite the rules that guard it.

mod model;

pub use model::{Environment, EnvironmentsFile, Reviewers};
