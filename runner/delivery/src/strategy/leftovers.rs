//! What a release leaves behind: objects that are not rendered any more, and configuration of the release before.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{Delivery, Kept, Snapshot, is_of};
use crate::action::{Fate, Retirement};
use crate::cluster::{ClusterError, Precondition, Propagation};
use crate::inputs::Strategy;
use crate::progress::recorded;
use crate::render::config::{references, uses};
use crate::{Object, ObjectId, Stop};

/// How long the configuration of the release before is kept in a rolling delivery: a way back needs it.
const KEEP: SignedDuration = SignedDuration::from_hours(24);

/// Removes what the plan found of the unit that is not rendered any more. Bound to the UIDs of the plan. What cannot be removed
/// now stays for the next release that prunes: the release has been proved, and is not undone for it.
pub(super) async fn prune(delivery: &Delivery<'_>) {
    for (id, uid) in &delivery.plan.prune {
        match remove(delivery, id, uid).await {
            Ok(true) => delivery.say(format!("{id} is removed: it is not rendered any more")),
            Ok(false) => {}
            Err(error) => delivery.progress.warn(format!("{id} stays until the next release: {error}")),
        }
    }
}

async fn remove(delivery: &Delivery<'_>, id: &ObjectId, uid: &str) -> Result<bool, ClusterError> {
    let now = delivery.cluster.get(id).await?;
    let Some(now) = now.filter(|now| now.uid() == uid && is_of(now, &delivery.plan.unit)) else { return Ok(false) };
    delivery.cluster.delete(id, &Precondition::unchanged(&now), Propagation::Background).await?;
    Ok(true)
}

/// ConfigMaps and Secrets of the unit that only the release before refers to; none, and a warning, where that cannot be told.
pub(super) async fn unused<'a>(
    delivery: &Delivery<'_>,
    old: impl Iterator<Item = &'a Kept>,
) -> Vec<(ObjectId, String)> {
    let mut found = Vec::new();
    for (kind, name) in only_before(&delivery.plan.rendered, old.map(|kept| &kept.object)) {
        let id = ObjectId::new("v1", &kind, delivery.cluster.namespace(), &name);
        match delivery.cluster.get(&id).await {
            Ok(now) => {
                let now = now.filter(|now| is_of(now, &delivery.plan.unit));
                found.extend(now.map(|now| (id, now.uid().to_owned())));
            }
            Err(error) => delivery.progress.warn(format!("{id} is kept: {error}")),
        }
    }
    found
}

/// What old workloads refer to, and no object that is rendered now refers to or is.
fn only_before<'a>(rendered: &[Object], old: impl Iterator<Item = &'a Object>) -> BTreeSet<(String, String)> {
    let mut found: BTreeSet<_> = old.flat_map(references).collect();
    for object in rendered {
        found.remove(&(object.kind().to_owned(), object.name().to_owned()));
        for used in uses(object) {
            found.remove(&used);
        }
    }
    found
}

/// The retirement of a rolling delivery: recorded as `kept`.
pub(super) async fn configuration(delivery: &Delivery<'_>, before: &Snapshot) -> Result<Vec<Retirement>, Stop> {
    if let Some(kept) = recorded(delivery.progress, "kept") {
        return Ok(serde_json::from_value(kept.data["retire"].clone()).unwrap_or_default());
    }
    let objects = unused(delivery, before.workloads.values()).await;
    let retire: Vec<Retirement> = match &before.live {
        Some(live) if !objects.is_empty() => vec![Retirement {
            environment: delivery.site.environment.clone(),
            target: delivery.site.target.clone(),
            unit: delivery.plan.unit.clone(),
            release: live.release.clone(),
            version: live.version.clone(),
            services: Vec::new(),
            objects,
            fate: Fate::Delete,
            due: delivery.progress.now().checked_add(keep(delivery)).unwrap_or(Timestamp::MAX),
        }],
        _ => Vec::new(),
    };
    let text = match retire.first() {
        Some(each) => format!("the configuration of {} is kept until {}", each.version, each.due),
        None => "nothing of an old release is left".to_owned(),
    };
    delivery.record("kept", text, json!({"retire": retire})).await?;
    Ok(retire)
}

fn keep(delivery: &Delivery<'_>) -> SignedDuration {
    match &delivery.plan.inputs.strategy {
        Strategy::BlueGreen(knobs) => SignedDuration::try_from(*knobs.keep_old).unwrap_or(KEEP),
        Strategy::Rolling(_) => KEEP,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_rendered_or_referred_to_now_is_not_left_over() {
        let old = Object(json!({"kind": "Deployment", "spec": {"template": {"spec": {"volumes": [
            {"secret": {"secretName": "tls"}}, {"secret": {"secretName": "outside"}},
            {"configMap": {"name": "conf-old"}}, {"configMap": {"name": "cron"}}]}}}}));
        let rendered = [
            Object(json!({"kind": "Secret", "metadata": {"name": "tls"}})),
            Object(json!({"kind": "Ingress", "spec": {"tls": [{"secretName": "outside"}]}})),
            Object(json!({"kind": "CronJob", "spec": {"jobTemplate": {"spec": {"template": {"spec": {"volumes": [
                {"configMap": {"name": "cron"}}]}}}}}})),
            Object(json!({"kind": "Deployment", "spec": {"template": {"spec": {}}}})),
        ];
        let left = only_before(&rendered, [&old].into_iter());
        assert_eq!(left, BTreeSet::from([("ConfigMap".to_owned(), "conf-old".to_owned())]));
    }
}
