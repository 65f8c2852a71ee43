//! A small shop: a JSON API over SQLite, with what a release needs to be judged by (health, metrics, version).
//!
//! The same binary migrates its database and talks to the platform that runs it, so that a job of the
//! release needs nothing but this one artifact.

pub mod database;
pub mod flags;
pub mod metrics;
pub mod migrations;
pub mod products;
pub mod release;
pub mod serve;
pub mod service;
pub mod smoke;

/// The version of this build without its `v`: `APP_VERSION` of the build, else Cargo's.
pub fn version() -> &'static str {
    let tag = option_env!("APP_VERSION").filter(|tag| !tag.is_empty());
    let tag = tag.unwrap_or(env!("CARGO_PKG_VERSION"));
    tag.strip_prefix('v').unwrap_or(tag)
}

/// The commit of this build, from `APP_COMMIT`; `unknown` outside a release.
pub fn commit() -> &'static str {
    option_env!("APP_COMMIT").filter(|commit| !commit.is_empty()).unwrap_or("unknown")
}
