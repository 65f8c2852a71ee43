//! Whether what was applied really runs.
//!
//! Invariants:
//! - A status that the controller has not caught up with (`observedGeneration`) says nothing, and 0 pods of the new
//!   version are never "rolled out".
//! - What cannot get better by waiting ends the wait at once; what may get better has a grace that is counted.
//! - An API server that is away is neither good nor bad news: the wait goes on until its own deadline.

mod look;
mod pull;
mod status;
mod trouble;
mod wait;

pub(crate) use pull::Pull;
pub use status::{RolloutStatus, State, status};
pub(crate) use trouble::image_of;
pub use trouble::{Trouble, TroubleKind, is_ready, of_template, trouble};
pub use wait::{Wait, WaitError, wait_for, wait_ready};
