//! Jobs of our own: migrations, backups, restores, statements, rotations, tests.
//!
//! Invariants:
//! - A Job is made from a CronJob's template or a manifest, with an image by digest, a name of its own, no owner, one pod
//!   (of a test: as many as it says) and a deadline; the CronJob is never started, and nothing is retried behind our back.
//! - Its pods bear no label by which a unit's own pods are found: they get no traffic.
//! - What a Job does it does once: a Job that is complete counts, however often the step begins again; one that runs is
//!   waited for; one that failed is told, and tried again only under the next number.
//! - It ends before anything else goes on: a step that is cancelled, or that waits no longer, deletes the Job and waits
//!   until its pods are gone.
//! - What it printed is the step's log; what each of its containers printed is kept with the run; its result stays with the
//!   Job.

mod done;
mod end;
mod failed;
mod follow;
mod known;
mod logs;
mod look;
mod make;
mod output;
mod run;
mod source;
mod written;

pub use done::{Done, Later, refused, verbs};
pub use failed::Failed;
pub use make::{Asked, Image, JobPlan};
pub use output::{MARK, result};
pub use run::{Ended, Outcome, Scope, Work, outcome, run};
pub(crate) use source::{of_files, read};
pub(crate) use written::reached;

/// Label of a Job of ours: what it is for (`migrate`).
pub const JOB: &str = "tagline.dev/job";
/// Label of a Job of ours: 16 hex digits over all that makes it this Job and no other.
pub const KEY: &str = "tagline.dev/key";
/// Label of a Job of ours: its number among those with the same key, from 1.
pub const ATTEMPT: &str = "tagline.dev/attempt";
/// Annotation of a Job of ours that is complete: what it printed as its result.
pub const RESULT: &str = "tagline.dev/result";
/// Annotation: the unit it worked for.
pub const OF_UNIT: &str = "tagline.dev/unit";
