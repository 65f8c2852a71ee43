//! Removing what a release has added.
//!
//! Invariant: only what bears the unit's label goes, and nothing that has no namespace: that stays, and it is said.

use super::super::survey::id_in;
use super::Back;
use crate::cluster::{Precondition, Propagation};
use crate::unit::UNIT;
use crate::{DeliveryError, Object};

/// What becomes of an object that a release has added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// It is somebody else's by now, or goes already.
    None,
    /// It is the unit's, but not of its namespace alone.
    Stays,
    /// It is deleted.
    Goes,
}

/// What becomes of it, as the cluster has it.
fn end_of(now: &Object, unit: &str) -> End {
    let ours = now.labels().get(UNIT).is_some_and(|of| of == unit);
    if ours && now.namespace().is_none() {
        // A PriorityClass may be used by others by now, a Namespace has more than the release in it.
        End::Stays
    } else if ours && !now.is_terminating() {
        End::Goes
    } else {
        End::None
    }
}

/// Deletes an object of the unit that is there.
pub(super) async fn remove_object(back: &Back<'_>, object: &Object) -> Result<(), DeliveryError> {
    let id = id_in(object, &back.cluster);
    let Some(now) = back.cluster.get(&id).await? else { return Ok(()) };
    match end_of(&now, &back.leaving.unit) {
        End::None => {}
        End::Stays => back.progress.say(format!("{id} stays: it is not of this namespace alone")),
        End::Goes => {
            back.cluster.delete(&id, &Precondition::same(&now), Propagation::Background).await?;
            back.progress.say(format!("{id} is removed"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn what_has_no_namespace_stays_and_what_is_not_ours_is_not_touched() {
        let object = |kind: &str, more: Value| {
            let mut object = Object(json!({"kind": kind, "metadata": {"name": "a", "labels": {UNIT: "shop"}}}));
            for (key, value) in more.as_object().unwrap() {
                object.set(&format!("/metadata/{key}"), value.clone());
            }
            end_of(&object, "shop")
        };
        for kind in ["PriorityClass", "Namespace", "ClusterRole"] {
            assert_eq!(object(kind, json!({})), End::Stays, "{kind}");
            assert_eq!(object(kind, json!({"labels": {UNIT: "other"}})), End::None, "{kind}");
        }
        assert_eq!(object("ConfigMap", json!({"namespace": "prod"})), End::Goes);
        let going = json!({"namespace": "prod", "deletionTimestamp": "2026-11-19T14:00:00Z"});
        assert_eq!(object("ConfigMap", going), End::None);
        assert_eq!(object("ConfigMap", json!({"namespace": "prod", "labels": {}})), End::None);
    }
}
