//! What a step gives a delivery action in `with:`, read into types.
//!
//! Pure: texts in, values or [`Problem`]s out, **all problems at once**. Names, kinds and defaults are listed in
//! `tagline-actions` (one table, lint reads it too); what a value may be beyond that, and what values must hold together,
//! is here. What only a cluster can tell (a quota, a selector that matches nothing) is checked by the parts that ask it.
//!
//! Common to all inputs: durations are `500ms 30s 10m 24h 7d` ([`Period`]), shares `5%` or `0.05` ([`Share`]), sizes `1MiB`
//! ([`Quantity`]). A text of several lines is a list; blank lines and lines that begin with `#` are passed over. A value
//! that still holds `${{ }}` is checked as far as it is known ([`Action::check`]).

mod action;
pub mod analyse;
pub mod deploy;
mod expression;
mod limit;
pub mod measure;
pub mod migrate;
mod nearest;
pub mod operate;
mod problem;
mod reader;
pub mod rollback;
pub mod rotate;
pub mod rule;
pub mod signal;
pub mod smoke;
pub mod source;
mod stand_in;
mod units;
mod words;

pub use action::{Action, is_delivery};
pub use analyse::AnalyseInputs;
pub use deploy::{
    BlueGreenKnobs, ConfigOwner, DeployInputs, Drift, EvidenceHook, Follow, Names, OnFailure, RollingKnobs, Strategy,
};
pub use measure::MeasureKnobs;
pub use migrate::MigrateInputs;
pub use nearest::{did_you_mean, nearest};
pub use operate::OperateInputs;
pub use problem::Problem;
pub use rollback::RollbackInputs;
pub use rotate::RotateInputs;
pub use rule::RollbackRule;
pub use smoke::{SmokeInputs, SmokeTestInputs};
pub use source::{ImageInput, Source};
pub use stand_in::with_stand_ins;
pub use units::{Amount, JobSource, Period, Quantity, Replicas, Share, WorkloadRef};
