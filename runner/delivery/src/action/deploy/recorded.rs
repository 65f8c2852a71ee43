//! Helm's own record of what was delivered from a chart, so that `helm history`, `helm get` and `helm rollback` agree with
//! the cluster.
//!
//! Written once a release has come live. A release that went back by itself leaves no revision: the one before is still
//! `deployed`, and it is what runs. One that was returned to later is a new revision, as `helm rollback` makes one. Another
//! engine that goes on with the delivery writes it again; a second time changes nothing.

use std::collections::BTreeMap;

use serde_json::json;

use super::DeployPlan;
use crate::cluster::{Cluster, ClusterError, MANAGER, Patch, Precondition, Propagation};
use crate::render::helm::record::{Revision, Status, again, secret, to_prune, version, with_status};
use crate::{Object, Progress};

/// Annotation: the release that a revision records.
const RELEASE: &str = "tagline.dev/release";

/// Records a delivered release as a revision of its chart; a second time changes nothing.
pub(super) async fn record(plan: &DeployPlan, cluster: &Cluster, progress: &dyn Progress) -> Result<(), ClusterError> {
    let Some(chart) = &plan.chart else { return Ok(()) };
    let mut known = known(&chart.release, cluster).await?;
    if !known.last().is_some_and(|newest| is_of(newest, plan.release.as_str()) && is_deployed(newest)) {
        let number = known.last().and_then(version).unwrap_or(0) + 1;
        let made = create(plan, cluster, progress, &known, number).await?;
        progress.say(format!("Helm's record: {} revision {number}", chart.release));
        known.push(made);
    }
    close(&known, chart.history, cluster, progress).await
}

/// Records a release that was returned to: from its plan, else from the revision that the release that went has superseded.
pub(in crate::action) async fn returned(
    leaving: &DeployPlan,
    to: Option<&DeployPlan>,
    release: &str,
    cluster: &Cluster,
    progress: &dyn Progress,
) -> Result<(), ClusterError> {
    if let Some(plan) = to {
        return record(plan, cluster, progress).await;
    }
    let Some(chart) = &leaving.chart else { return Ok(()) };
    let mut known = known(&chart.release, cluster).await?;
    let went = known.last().is_some_and(|newest| is_of(newest, leaving.release.as_str()) && is_deployed(newest));
    let before =
        known.iter().rev().find(|each| has_status(each, "superseded") && !is_of(each, leaving.release.as_str()));
    if let Some(before) = before.filter(|_| went) {
        let number = known.last().and_then(version).unwrap_or(0) + 1;
        let Some(mut made) = again(before, &chart.release, number, progress.now()) else { return Ok(()) };
        mark(&mut made, release);
        let made = make(&made, cluster).await?;
        progress.say(format!("Helm's record: {} revision {number}", chart.release));
        known.push(made);
    }
    close(&known, chart.history, cluster, progress).await
}

/// The revisions of a chart's release, the oldest first.
async fn known(release: &str, cluster: &Cluster) -> Result<Vec<Object>, ClusterError> {
    let labels = BTreeMap::from([("owner".to_owned(), "helm".to_owned()), ("name".to_owned(), release.to_owned())]);
    let mut known = cluster.list("v1", "Secret", &labels).await?;
    known.sort_by_key(version);
    Ok(known)
}

/// Only the newest is deployed, and no more are kept than the chart says.
async fn close(known: &[Object], history: u32, cluster: &Cluster, progress: &dyn Progress) -> Result<(), ClusterError> {
    supersede(known, cluster, progress).await?;
    for old in to_prune(known, history) {
        let Some(secret) = known.iter().find(|one| one.name() == old) else { continue };
        cluster.delete(&secret.id(), &Precondition::same(secret), Propagation::Background).await?;
    }
    Ok(())
}

fn is_of(secret: &Object, release: &str) -> bool {
    secret.annotations().get(RELEASE).is_some_and(|of| of == release)
}

fn mark(secret: &mut Object, release: &str) {
    secret.set(&format!("/metadata/annotations/{}", RELEASE.replace('/', "~1")), release.into());
}

fn has_status(secret: &Object, status: &str) -> bool {
    secret.labels().get("status").is_some_and(|is| is == status)
}

fn is_deployed(secret: &Object) -> bool {
    has_status(secret, "deployed")
}

async fn create(
    plan: &DeployPlan,
    cluster: &Cluster,
    progress: &dyn Progress,
    known: &[Object],
    number: u32,
) -> Result<Object, ClusterError> {
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
    mark(&mut made, plan.release.as_str());
    make(&made, cluster).await
}

/// Makes a revision's Secret, unless an engine that was killed has made it.
async fn make(secret: &Object, cluster: &Cluster) -> Result<Object, ClusterError> {
    match cluster.create(secret, MANAGER).await {
        Ok(made) => Ok(made),
        Err(ClusterError::AlreadyExists { .. }) => {
            let id = cluster.id("v1", "Secret", secret.name());
            Ok(cluster.get(&id).await?.unwrap_or_else(|| secret.clone()))
        }
        Err(error) => Err(error),
    }
}

/// All but the newest are no longer what runs.
async fn supersede(known: &[Object], cluster: &Cluster, progress: &dyn Progress) -> Result<(), ClusterError> {
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
