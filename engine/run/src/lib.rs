//! The run: what has happened, what that adds up to, what follows and what is to be done. Pure: no clock, file, network,
//! environment or async.
//!
//! - [`create`] and [`decide`] turn inputs into [`Event`]s; [`evolve`] turns events into [`RunState`]; [`outstanding`] says
//!   what is to be done now.
//! - The caller stores the events of one or several inputs in one transaction, then does what is outstanding, at least
//!   once. Recovery is the same path: load, ask, do.
//! - [`locks`] arbitrates between runs. [`statement`] is what a voter signs. [`view`] is what people see.

mod advance;
mod artifacts;
mod decide;
mod effect;
mod event;
mod evolve;
mod gates;
mod ids;
mod input;
pub mod locks;
mod milestone;
mod outstanding;
mod query;
mod refusal;
mod rerun;
mod rules;
mod state;
pub mod statement;
mod timers;
pub mod view;

pub use decide::{create, decide};
pub use effect::Effect;
pub use event::{ApprovedBy, Cause, Conclusion, Ending, Event, FORMAT, Fact, ReadyLeg};
pub use evolve::{Corrupt, evolve};
pub use ids::{Attempt, BadId, GateId, Holder, JobKey, Lock, RunId, TimerId, Token};
pub use input::{Input, Report, Rerun, Sender, Start};
pub use milestone::{Milestone, Reached};
pub use outstanding::outstanding;
pub use query::Place;
pub use refusal::Refusal;
pub use rules::{Missing, is_reviewer};
pub use state::{
    Artifact, Cancel, Claim, Deployment, Ended, Finished, Gate, GateStatus, JobCancel, JobState, LegState, Opened,
    Ready, RunState, Started, Step, StepEnd,
};
pub use statement::{Decision, Signature, Statement, VOTE_FORMAT, Vote};
