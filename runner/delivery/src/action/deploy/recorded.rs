//! Helm's own record of what was delivered from a chart, so that `helm history`, `helm get` and `helm rollback` agree with
//! the cluster.
//!
//! Written once a release has come live. A release that went back leaves no revision: the one before is still `deployed`,
//! and it is what runs.

use std::collections::BTreeMap;

use serde_json::json;

use super::DeployPlan;
use crate::cluster::{Cluster, ClusterError, MANAGER, Patch, Precondition, Propagation};
use crate::render::helm::record::{Revision, Status, name, secret, to_prune, version, with_status};
use crate::{DeliveryError, Object, Progress};

/// Annotation: the release that a revision records.
const RELEASE: &str = "tagline.dev/release";

/// Records a delivered release as a revision of its chart; a second time changes nothing.
pub(super) async fn record(plan: &DeployPlan, cluster: &Cluster, progress: &dyn Progress) -> Result<(), DeliveryError> {
    let Some(chart) = &plan.chart else { return Ok(()) };
    let labels = BTreeMap::from([("owner".to_owned(), "helm".to_owned()), ("name".to_owned(), chart.release.clone())]);
    let mut known = cluster.list("v1", "Secret", &labels).await?;
    known.sort_by_key(version);
    let ours = |secret: &Object| secret.annotations().get(RELEASE).is_some_and(|id| id == plan.release.as_str());
    if !known.last().is_some_and(|newest| ours(newest) && is_deployed(newest)) {
        let number = known.last().and_then(version).unwrap_or(0) + 1;
        let made = create(plan, cluster, progress, &known, number).await?;
        progress.say(format!("Helm's record: {} revision {number}", chart.release));
        known.push(made);
    }
    supersede(&known, cluster, progress).await?;
    for old in to_prune(&known, chart.history) {
        let Some(secret) = known.iter().find(|one| one.name() == old) else { continue };
        cluster.delete(&secret.id(), &Precondition::same(secret), Propagation::Background).await?;
    }
    Ok(())
}

fn is_deployed(secret: &Object) -> bool {
    secret.labels().get("status").is_some_and(|status| status == "deployed")
}

async fn create(
    plan: &DeployPlan,
    cluster: &Cluster,
    progress: &dyn Progress,
    known: &[Object],
    number: u32,
) -> Result<Object, DeliveryError> {
    let chart = plan.chart.as_ref().expect("only a chart is recorded");
    let first = known.first().map(|secret| secret.text("/metadata/creationTimestamp"));
    let first = first.and_then(|time| time.parse().ok()).unwrap_or_else(|| progress.now());
    let mut made = secret(&Revision {
        chart,
        namespace: cluster.namespace(),
        objects: &plan.rendered,
        version: number,
        status: Status::Deployed,
        description: "delivered by Tagline",
        first_deployed: first,
        now: progress.now(),
    });
    made.set(&format!("/metadata/annotations/{}", RELEASE.replace('/', "~1")), plan.release.as_str().into());
    match cluster.create(&made, MANAGER).await {
        Ok(made) => Ok(made),
        // An engine that was killed had made it.
        Err(ClusterError::AlreadyExists { .. }) => {
            let id = cluster.id("v1", "Secret", &name(&chart.release, number));
            Ok(cluster.get(&id).await?.unwrap_or(made))
        }
        Err(error) => Err(error.into()),
    }
}

/// All but the newest are no longer what runs.
async fn supersede(known: &[Object], cluster: &Cluster, progress: &dyn Progress) -> Result<(), DeliveryError> {
    let Some((_, before)) = known.split_last() else { return Ok(()) };
    for old in before.iter().filter(|old| is_deployed(old)) {
        let Some(changed) = with_status(old, Status::Superseded, "delivered by Tagline", progress.now()) else {
            continue;
        };
        let patch = json!({
            "metadata": { "labels": changed.labels(), "resourceVersion": old.resource_version() },
            "data": changed.0["data"],
        });
        cluster.patch(&old.id(), MANAGER, &Patch::Merge(patch)).await?;
    }
    Ok(())
}
