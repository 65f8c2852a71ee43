//! Removing what a release has added.
//!
//! Invariant: only what bears the unit's label goes, and neither what has no namespace nor what holds data: that stays, and
//! it is said. A volume that is deleted does not come back with the release.

use super::super::put::scale;
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
    /// It is the unit's, and stays; why.
    Stays(&'static str),
    /// It stays without pods: with it its volumes would go.
    Emptied,
    /// It is deleted.
    Goes,
}

/// What becomes of it, as the cluster has it.
fn end_of(now: &Object, unit: &str) -> End {
    let ours = now.labels().get(UNIT).is_some_and(|of| of == unit);
    let deletes = |when: &str| now.text(&format!("/spec/persistentVolumeClaimRetentionPolicy/{when}")) == "Delete";
    match now.kind() {
        _ if !ours => End::None,
        // A PriorityClass may be used by others by now, a Namespace has more than the release in it.
        _ if now.namespace().is_none() => End::Stays("it is not of this namespace alone"),
        _ if now.is_terminating() => End::None,
        "PersistentVolumeClaim" => End::Stays("it holds data; delete it by hand when nobody needs that"),
        "StatefulSet" if deletes("whenDeleted") && deletes("whenScaled") => {
            End::Stays("its volumes would go with it or with its pods (persistentVolumeClaimRetentionPolicy)")
        }
        "StatefulSet" if deletes("whenDeleted") => End::Emptied,
        _ => End::Goes,
    }
}

/// Deletes an object of the unit that is there.
pub(super) async fn remove_object(back: &Back<'_>, object: &Object) -> Result<(), DeliveryError> {
    let id = id_in(object, &back.cluster);
    let Some(now) = back.cluster.get(&id).await? else { return Ok(()) };
    match end_of(&now, &back.leaving.unit) {
        End::None => {}
        End::Stays(why) => back.progress.say(format!("{id} stays: {why}")),
        End::Emptied => {
            scale(&back.cluster, &now, 0).await?;
            let why = "its volumes would go with it (persistentVolumeClaimRetentionPolicy)";
            back.progress.say(format!("{id} stays without pods: {why}"));
        }
        End::Goes => {
            back.cluster.delete(&id, &Precondition::same(&now), Propagation::Background).await?;
            back.progress.say(format!("{id} is removed"));
            if !now.list("/spec/volumeClaimTemplates").is_empty() {
                back.progress.say(format!("the volumes of {id} stay: they hold data"));
            }
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
            assert!(matches!(object(kind, json!({})), End::Stays(_)), "{kind}");
            assert_eq!(object(kind, json!({"labels": {UNIT: "other"}})), End::None, "{kind}");
        }
        assert_eq!(object("ConfigMap", json!({"namespace": "prod"})), End::Goes);
        let going = json!({"namespace": "prod", "deletionTimestamp": "2026-11-19T14:00:00Z"});
        assert_eq!(object("ConfigMap", going), End::None);
        assert_eq!(object("ConfigMap", json!({"namespace": "prod", "labels": {}})), End::None);
    }

    #[test]
    fn what_holds_data_stays() {
        let object = |kind: &str, spec: Value| {
            let metadata = json!({"name": "db", "namespace": "prod", "labels": {UNIT: "shop"}});
            end_of(&Object(json!({"kind": kind, "metadata": metadata, "spec": spec})), "shop")
        };
        let policy = |deleted: &str, scaled: &str| json!({"persistentVolumeClaimRetentionPolicy": {"whenDeleted": deleted, "whenScaled": scaled}});
        assert!(matches!(object("PersistentVolumeClaim", json!({})), End::Stays(why) if why.contains("data")));
        assert_eq!(object("StatefulSet", json!({})), End::Goes, "its volumes stay by themselves");
        assert_eq!(object("StatefulSet", policy("Retain", "Retain")), End::Goes);
        assert_eq!(object("StatefulSet", policy("Delete", "Retain")), End::Emptied);
        assert!(matches!(object("StatefulSet", policy("Delete", "Delete")), End::Stays(_)));
    }
}
