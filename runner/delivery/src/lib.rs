//! Delivery to Kubernetes: what `tagline/deploy`, `migrate`, `smoke-test`, `analyse`, `operate`, `rotate-secret` and
//! `rollback` do.
//!
//! Each action has two halves. [`plan`](action::ActionPlan) renders, reads and asks the server for a dry run; it is data,
//! and it is what an approval binds. `apply` carries out exactly that data. Invariants:
//! - **Nothing is deleted that a live Service selects**, and every delete bears the UID and resourceVersion it was decided
//!   on.
//! - **Traffic moves only to a selector that has its ready endpoints**, is read back afterwards, and is never on two
//!   releases.
//! - **Missing data is never good news**: no answer, no pods, no samples and NaN hold a delivery up, they never pass it.
//! - **Everything may be done twice.** `apply` is begun again from the start by another engine after a crash: what is
//!   reached already is seen and passed over; what cannot be seen any more was recorded as a [`Milestone`] before it
//!   was acted upon.
//! - This crate never looks at the clock, the environment variables or the store by itself: all that comes in through
//!   [`Progress`] and [`Site`].

pub mod action;
pub mod check;
pub mod cluster;
pub mod diagnose;
mod error;
pub mod inputs;
pub mod job;
pub mod migrate;
pub mod object;
pub mod operate;
pub mod preflight;
pub mod progress;
pub mod render;
pub mod rollout;
pub mod rotate;
mod site;
pub mod status;
pub mod strategy;
#[cfg(test)]
mod testing;
pub mod unit;

pub use error::{DeliveryError, Failure, PlanError, UNCHANGED};
pub use object::{Object, ObjectId};
pub use progress::{Milestone, Progress, Stop};
pub use site::{ImageRef, Site, Target};
