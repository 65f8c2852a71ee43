//! The executors against real kernels, daemons and registries, and the link against scripted agents.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a failed test")]

mod docker;
mod images;
mod link;
mod registry;
mod sandbox;
mod support;
