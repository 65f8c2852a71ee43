//! The run core from outside: scenarios by YAML, and properties over generated plans.
#![expect(clippy::unwrap_used, reason = "what a test builds on fails where it stands")]

mod clock;
mod gates;
mod jobs;
mod locks;
mod milestones;
mod properties;
mod support;
