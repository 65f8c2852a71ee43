//! A run as people see it. Terminal, JSON, and later pages and notices are rendered from these values and from nothing
//! else, so they cannot tell different stories. Sentences hold no times; times stand beside them.
//!
//! - [`approval`]: one gate, as its approver reads it.
//! - [`run`]: the run and its jobs.
//! - [`explain`]: why a job ran, waits, or did not.

mod approval;
mod explain;
mod run;
mod stamp;

pub use approval::{
    ApprovalView, ArtifactView, Eligibility, Live, ReviewerView, VoteView, approval, eligibility, outcome,
};
pub use explain::{Explanation, explain, explain_all};
pub use run::{ApprovalLine, GateLine, JobView, MilestoneView, RunView, Status, StepView, job, jobs, run, status};

/// `1 approval`, `2 approvals`.
pub(crate) fn count(n: u32, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}
