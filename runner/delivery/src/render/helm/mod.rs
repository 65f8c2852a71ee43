//! Helm charts, by `helm template` of the real program, and Helm's own record of releases.
//!
//! Nothing is installed by Helm: objects are applied as those of every other source, and [`record`] makes the Secret by which `helm history`,
//! `helm get` and `helm rollback` know of it.

mod chart;
pub mod record;
mod template;

pub use chart::Chart;
pub(crate) use chart::values_file;
pub(super) use template::{template, without_hooks};
