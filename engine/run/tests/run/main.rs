//! The run core from outside: scenarios by YAML, and properties over generated plans.

mod clock;
mod gates;
mod jobs;
mod locks;
mod properties;
mod support;
