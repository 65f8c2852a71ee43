//! The executors against real kernels, daemons and registries, and the link against scripted agents.

mod docker;
mod images;
mod link;
mod sandbox;
mod support;
