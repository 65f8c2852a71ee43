//! The unit: the objects of one deploy step, what belongs together in them, and how they are shaped for a strategy. Pure.
//!
//! Invariants:
//! - Every object of a unit bears [`UNIT`]; workloads and their pods bear [`RELEASE`]. Pruning looks at the first, traffic
//!   at the second.
//! - A workload's own selector is never changed in place; a blue-green workload's selector holds [`RELEASE`] or its colour,
//!   so that two releases never claim each other's pods.
//! - What the engine moves by itself (a Service's selector, an autoscaler's target, a budget's selector) is no part of what
//!   is applied: it is set to what the cluster has, then moved.

mod around;
mod blue_green;
mod change;
mod members;
mod release;
mod rolling;
mod warnings;

pub use blue_green::{BlueGreenShape, Colour, Swap, beside, colour_of};
pub use change::{Change, ChangeSet, changes, value_at};
pub use members::{Role, Unit, counts, drives, first_pods, least_pods, pods_selector, role, template_labels};
pub use release::{ReleaseId, digest_of, slug};
pub use rolling::RollingShape;
pub use warnings::warnings;

/// Label of every object: the unit's name.
pub const UNIT: &str = "tagline.dev/unit";
/// Label of workloads and pods: the release.
pub const RELEASE: &str = "tagline.dev/release";
/// Label of blue-green workloads: their name in the manifests.
pub const WORKLOAD: &str = "tagline.dev/workload";
/// Label of blue-green workloads and pods with `names: colours`.
pub const COLOUR: &str = "tagline.dev/colour";
/// Label of a Service that selects a release before it is live.
pub const PREVIEW: &str = "tagline.dev/preview";
/// Annotation: the version.
pub const VERSION: &str = "tagline.dev/version";
/// Annotation of workloads: the release that passed all its checks under traffic as this workload, and when:
/// `v1-2-3-1a2b3c4d 2026-11-19T14:00:00Z`.
pub const PROVED: &str = "tagline.dev/proved";
/// Annotation: the run that applied it.
pub const RUN: &str = "tagline.dev/run";
/// Annotation: the digest of the object as it was rendered.
pub const DIGEST: &str = "tagline.dev/digest";
