//! Delivery steps: actions that the engine carries out on a cluster. Their plan is made before an approval and bound by
//! it, so what they are given must be known by then.

use super::{Step, StepAction, Text};

/// The actions, without their version, which is `v1`.
pub const DELIVERIES: [&str; 7] = [
    "tagline/deploy",
    "tagline/migrate",
    "tagline/smoke-test",
    "tagline/analyse",
    "tagline/operate",
    "tagline/rotate-secret",
    "tagline/rollback",
];

/// Whether `uses` names a delivery action.
pub fn is_delivery(uses: &str) -> bool {
    let named = |(name, version): (&str, &str)| {
        version == "v1" && DELIVERIES.iter().any(|delivery| delivery.eq_ignore_ascii_case(name))
    };
    uses.trim().split_once('@').is_some_and(named)
}

impl Step {
    /// The action and inputs of a delivery step; none for any other.
    pub fn delivery(&self) -> Option<(&Text, &indexmap::IndexMap<String, Text>)> {
        match &self.action {
            StepAction::Uses { uses, with } if is_delivery(&uses.text) => Some((uses, with)),
            _ => None,
        }
    }
}
