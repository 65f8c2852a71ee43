//! Smoke checks: requests that every pod of a release must answer well before it gets traffic.

mod check;
mod knobs;

pub use check::{Expect, JsonPath, JsonTest, SmokeCheck, StatusTest, TextTest, same_value};
pub(super) use knobs::Keys;
pub use knobs::{LogLimit, SmokeInputs, SmokeTarget, SmokeTestInputs};
