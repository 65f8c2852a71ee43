//! Bringing a backup back: nobody writes meanwhile, and the live database is left as it is unless that was asked for.
//!
//! Its Job gets `TAGLINE_BACKUP`, `TAGLINE_INTO` (the new database, where one is named), `TAGLINE_SWAP` (`true` where writers
//! are stopped: the new database takes the live one's name) and `TAGLINE_IN_PLACE`; `{backup}` and `{into}` in its arguments
//! stand for the same.

use std::time::Duration;

use serde_json::json;

use super::apply::{put, settle};
use super::field::{Change, Field, Place};
use super::plan::OperatePlan;
use crate::cluster::Cluster;
use crate::inputs::operate::RestoreKnobs;
use crate::job::{self, Done, Scope, Work};
use crate::progress::{once, recorded};
use crate::{DeliveryError, Failure, Milestone, Object, Progress, Site, Stop};

/// See the module.
pub(super) async fn apply(
    knobs: &RestoreKnobs,
    plan: &OperatePlan,
    site: &Site,
    cluster: &Cluster,
    progress: &dyn Progress,
) -> Result<Done, DeliveryError> {
    let timeout = *plan.inputs.timeout;
    // As many as they were before this step first looked.
    let before: Vec<Change> = once(progress, "begun", "restore begun", replicas(plan, cluster)).await?;
    if knobs.stop_writers {
        stop(&before, cluster, timeout, progress).await?;
    }
    confirm_stopped(plan, cluster).await?;
    let job = plan.job.clone().ok_or_else(|| Failure::new("the plan has no Job", ""))?;
    let into = knobs.into.as_deref().unwrap_or_default();
    let swap = knobs.stop_writers && knobs.in_place.is_none();
    let job = job
        .filled("backup", &knobs.backup)
        .filled("into", into)
        .with_env("TAGLINE_BACKUP", &knobs.backup)
        .with_env("TAGLINE_INTO", into)
        .with_env("TAGLINE_SWAP", &swap.to_string())
        .with_env("TAGLINE_IN_PLACE", &knobs.in_place.is_some().to_string());
    let unit = &site.repository;
    let work = Work { plan: &job, purpose: "restore", unit, scope: Scope::Step, retries: 0, timeout };
    let ended = match job::run(cluster, site, &work, progress).await {
        Ok(ended) => ended,
        Err(error) => return Err(failed(error, knobs, &before, cluster, progress).await),
    };
    let restored = ended.result.unwrap_or_default();
    let text = format!("{} is restored: {restored}", knobs.backup);
    if recorded(progress, "operated").is_none() {
        let data = json!({"restored": restored});
        progress.record(Milestone { name: "operated".to_owned(), text: text.clone(), data }).await?;
    }
    if knobs.stop_writers {
        start(&before, cluster, timeout, progress).await?;
    }
    let done = Done { summary: text, ..Done::default() };
    Ok(done.output("changed", "true").output("backup", knobs.backup.clone()).output("after", restored.to_string()))
}

async fn replicas(plan: &OperatePlan, cluster: &Cluster) -> Result<Vec<Change>, DeliveryError> {
    let mut all = Vec::new();
    for (id, uid) in &plan.workloads {
        let found = cluster.get(id).await?.filter(|found| found.uid() == uid);
        let count = found.as_ref().and_then(|found| found.number("/spec/replicas")).unwrap_or(1);
        all.push(set(&Change { id: id.clone(), uid: uid.clone(), fields: Vec::new() }, count));
    }
    Ok(all)
}

fn set(change: &Change, count: i64) -> Change {
    let field = Field { place: Place::At("/spec/replicas".to_owned()), value: Some(json!(count)) };
    Change { fields: vec![field], ..change.clone() }
}

async fn stop(
    before: &[Change],
    cluster: &Cluster,
    timeout: Duration,
    progress: &dyn Progress,
) -> Result<(), DeliveryError> {
    let mut stopped: Vec<Object> = Vec::new();
    for change in before {
        stopped.push(put(cluster, &set(change, 0)).await?);
    }
    match settle(cluster, &stopped, timeout, progress).await {
        Err(error) if !matches!(error, DeliveryError::Stopped(Stop::EngineEnds)) => {
            for change in before {
                put(cluster, change).await?;
            }
            Err(error)
        }
        other => other,
    }
}

async fn start(
    before: &[Change],
    cluster: &Cluster,
    timeout: Duration,
    progress: &dyn Progress,
) -> Result<(), DeliveryError> {
    let mut started = Vec::new();
    for change in before {
        started.push(put(cluster, change).await?);
    }
    settle(cluster, &started, timeout, progress).await
}

/// Seen, not believed: no writer has a pod.
async fn confirm_stopped(plan: &OperatePlan, cluster: &Cluster) -> Result<(), DeliveryError> {
    let mut running = Vec::new();
    for (id, _) in &plan.workloads {
        let Some(workload) = cluster.get(id).await? else { continue };
        let pods = cluster.pods(&workload.texts("/spec/selector/matchLabels")).await?;
        if !pods.is_empty() {
            running.push(format!("{} ({} pods)", id.name, pods.len()));
        }
    }
    if running.is_empty() {
        return Ok(());
    }
    let why = format!("writers still running: {}", running.join(", "));
    Err(Failure::new("nothing is restored", why)
        .effect("the database is untouched")
        .next("stop them, or stop-writers: true")
        .into())
}

/// The live database is as it was unless it was restored in place: then nobody may write to what is half there.
async fn failed(
    error: DeliveryError,
    knobs: &RestoreKnobs,
    before: &[Change],
    cluster: &Cluster,
    progress: &dyn Progress,
) -> DeliveryError {
    if matches!(error, DeliveryError::Stopped(Stop::EngineEnds)) {
        return error;
    }
    let effect = if knobs.in_place.is_some() {
        "the live database may be half restored; its writers stay stopped".to_owned()
    } else {
        let mut effect = "the live database is as it was".to_owned();
        for change in before.iter().filter(|_| knobs.stop_writers) {
            match put(cluster, change).await {
                Ok(_) => effect = format!("{effect}; {} is started again", change.id),
                Err(error) => effect = format!("{effect}; {} stays stopped: {error}", change.id),
            }
        }
        effect
    };
    progress.say(effect.clone());
    match error {
        DeliveryError::Failed(failure) => failure.effect(effect).into(),
        stopped @ DeliveryError::Stopped(_) => stopped,
    }
}
