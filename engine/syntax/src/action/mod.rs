//! `action.yml`: the metadata of an action.

mod model;
mod read;

pub use model::{Action, ActionInput, Runs};
pub use read::{Outcome, read};
