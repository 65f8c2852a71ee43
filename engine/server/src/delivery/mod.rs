//! Delivery steps: planned before their gate opens, carried out while their job waits, and what they leave for later.
//!
//! - [`Deliverer`] is who knows clusters; the engine knows runs, journal, votes and time.
//! - [`foresee`] looks at all deliveries of a plan before anything of it runs.
//! - [`prepare`] plans the deliveries of a stage: an approval binds their digests.
//! - [`carry_out`] carries one out for a job's step. Milestones are stored before anything follows from them, so an engine
//!   that is killed is followed by one that goes on from there.
//! - [`retire`]: what a delivery leaves to be removed later stands in the outbox, with its time.

mod carry_out;
mod check;
mod deliverer;
mod desk;
mod foresee;
mod kept;
mod kubernetes;
mod past;
mod prepare;
mod reach;
pub(crate) mod retire;
mod site;
mod together;

pub use check::check_deliveries;
pub use deliverer::{Delivered, Deliverer, Due, Earlier, Later, NoCluster, Prepared};
pub use foresee::{Coming, Foreseen, foresee};
pub use kubernetes::Kubernetes;
pub use reach::{OutOfReach, Reached, reach};

pub(crate) use carry_out::{Delivery, carry_out};
pub(crate) use check::check;
pub(crate) use desk::Said;
pub(crate) use kept::DELIVERED;
pub(crate) use past::{Found, find};
pub(crate) use prepare::prepare;
