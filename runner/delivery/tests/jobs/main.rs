//! Actions that work by Jobs, on the test cluster and a real PostgreSQL: `tagline/migrate`, `operate`, `rotate-secret`; and
//! Jobs as smoke tests.
#![expect(clippy::unwrap_used, reason = "a test that meets something else has failed")]

#[path = "../common/mod.rs"]
mod common;
mod migrate;
mod operate;
mod rotate;
mod smoke;
mod support;
