//! Smoke checks: requests that every pod of a release must answer well before it gets traffic.

mod check;
mod json;
mod knobs;

pub use check::{Expect, JsonTest, SmokeCheck, StatusTest, TextTest};
pub use json::{JsonPath, same_value};
pub(super) use knobs::Keys;
pub use knobs::{LogLimit, SmokeInputs, SmokeTarget, SmokeTestInputs};
