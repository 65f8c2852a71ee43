//! Actions that work by Jobs, on the test cluster and a real PostgreSQL: `tagline/migrate`, `operate`, `rotate-secret`.

#[path = "../common/mod.rs"]
mod common;
mod migrate;
mod operate;
mod rotate;
mod support;
