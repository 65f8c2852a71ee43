//! `tagline/rotate-secret`: new credentials without a moment in which neither works.
//!
//! Invariants:
//! - The new Secret has all keys that any workload reads, and is there before anything refers to it; the old one stays until
//!   nobody refers to it and its time is over.
//! - Nobody is sent to the new values before they were logged in with; what does not come up goes back to the old values,
//!   which work all the time.
//! - No value is in a plan, a milestone or a log.

mod apply;
mod new;
mod plan;
mod required;

pub use apply::apply;
pub(crate) use plan::reader_of;
pub use plan::{RotatePlan, plan};
pub use required::{Needed, needed, required_secrets};

use std::collections::BTreeMap;

use crate::Object;

/// Label of a Secret that stands for another: that one's name in the manifests.
pub const ROTATES: &str = "tagline.dev/rotates";
/// Label: the rotation that made it.
pub(crate) const ROTATION: &str = "tagline.dev/rotation";
/// Annotation: when it was made.
pub(crate) const ROTATED: &str = "tagline.dev/rotated-at";

/// By its name in the manifests: the Secret that stands for it now. What a release refers to is to be rewritten by this.
pub fn current(secrets: &[Object]) -> BTreeMap<String, String> {
    let mut newest: BTreeMap<String, (String, String)> = BTreeMap::new();
    for secret in secrets.iter().filter(|secret| !secret.is_terminating()) {
        let Some(base) = secret.labels().remove(ROTATES) else { continue };
        let made = secret.annotations().remove(ROTATED).unwrap_or_default();
        let entry = newest.entry(base).or_default();
        if made > entry.0 {
            *entry = (made, secret.name().to_owned());
        }
    }
    newest.into_iter().map(|(base, (_, name))| (base, name)).collect()
}
