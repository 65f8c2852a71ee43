//! Events, state, decide, evolve, outstanding; approvals and protection rules. Pure.
mod effect;
mod event;
mod ids;
mod input;
mod refusal;
mod state;
mod statement;

pub use effect::Effect;
pub use event::{ApprovedBy, Cause, Conclusion, Ending, Event, FORMAT, Fact, ReadyLeg};
pub use ids::{Attempt, BadId, GateId, Holder, JobKey, Lock, RunId, TimerId, Token};
pub use input::{Input, Report, Rerun, Sender, Start};
pub use refusal::Refusal;
pub use state::*;
pub use statement::{Decision, Signature, Statement, VOTE_FORMAT, Vote};
