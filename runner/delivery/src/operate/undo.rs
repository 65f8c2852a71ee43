//! Putting back what a note remembers.
//!
//! Invariants:
//! - What somebody else has changed since is left as it is, and said.
//! - A note goes when everything it says is done; until then the next undo goes on.

use std::time::Duration;

use serde_json::json;

use super::field::{Change, Place};
use super::find::workloads;
use super::note::Note;
use super::plan::reading;
use super::put::{find, put, put_as, release, settle};
use super::sql::{self, Row};
use crate::cluster::{Cluster, Precondition, Propagation};
use crate::inputs::operate::Rows;
use crate::job::{self, Scope, Work};
use crate::{DeliveryError, Failure, Milestone, Object, ObjectId, Progress, Site};

/// How long one part of it may take.
const LIMIT: Duration = Duration::from_mins(10);

/// Puts back what a note remembers, and takes the note away.
pub(crate) async fn undo(
    note: &Note,
    there: &Object,
    site: &Site,
    cluster: &Cluster,
    progress: &dyn Progress,
) -> Result<(), DeliveryError> {
    for (id, uid) in &note.delete {
        if cluster.get(id).await?.is_some_and(|now| now.uid() == uid) {
            nobody_reads(note, id, cluster, progress).await?;
        }
    }
    rows_back(note, site, cluster, progress).await?;
    let mut objects = Vec::new();
    for change in note.before.iter().rev() {
        objects.extend(put_back(change, note, cluster, progress).await?);
    }
    let others = readers_anew(note, &objects, cluster).await?;
    objects.extend(others);
    settle(cluster, &objects, LIMIT, progress).await?;
    for (id, uid) in &note.delete {
        if let Some(now) = cluster.get(id).await?.filter(|now| now.uid() == uid) {
            cluster.delete(id, &Precondition::same(&now), Propagation::Background).await?;
            progress.say(format!("{id} is removed"));
        }
    }
    let data = json!({"note": note.what});
    progress.record(Milestone { name: "undone".to_owned(), text: format!("undone: {}", note.what), data }).await?;
    Note::forget(cluster, there).await?;
    Ok(())
}

/// Whoever has begun to read what is to go is sent to what stands for it now.
async fn nobody_reads(
    note: &Note,
    id: &ObjectId,
    cluster: &Cluster,
    progress: &dyn Progress,
) -> Result<(), DeliveryError> {
    let readers = crate::rotate::readers_of(cluster, std::slice::from_ref(&id.name)).await?;
    let Some(first) = readers.first() else { return Ok(()) };
    let successor = match &note.successor {
        Some(name) => cluster.get(&cluster.id("v1", "Secret", name)).await?.filter(|there| !there.is_terminating()),
        None => None,
    };
    let Some(successor) = successor else {
        let why = format!("{} still refers to {id}, and nothing stands for it", first.id());
        return Err(Failure::new(format!("{} cannot be ended", note.what), why).next("release it anew").into());
    };
    let mut sent = Vec::new();
    for reader in &readers {
        progress.say(format!("{} still refers to {id}: it is sent to {}", reader.id(), successor.id()));
        sent.push(crate::rotate::refer(cluster, reader, std::slice::from_ref(&id.name), successor.name()).await?);
    }
    settle(cluster, &sent, LIMIT, progress).await
}

/// Runs the Job: with the statements that put rows back, or as it is.
async fn rows_back(note: &Note, site: &Site, cluster: &Cluster, progress: &dyn Progress) -> Result<(), DeliveryError> {
    let Some(job) = &note.job else { return Ok(()) };
    let statements: Vec<String> = note.rows.iter().map(Row::back).collect();
    let query = sql::transaction(&statements, Rows::AtLeast(0));
    let plan = if statements.is_empty() { job.clone() } else { job.clone().filled("sql", &query) };
    let (unit, scope) = (site.repository.as_str(), Scope::Later);
    let work = Work { plan: &plan, purpose: "undo", unit, scope, retries: 0, timeout: LIMIT };
    let ended = job::run(cluster, site, &work, progress).await?;
    let rows = ended.result.as_ref().and_then(|result| result["rows"].as_u64());
    let all = u64::try_from(statements.len()).unwrap_or(u64::MAX);
    if let Some(left) = rows.map(|rows| all.saturating_sub(rows)).filter(|left| *left > 0) {
        progress.warn(format!(
            "{left} of {all} rows hold something else than {} set: they are left as they are",
            note.what
        ));
    }
    Ok(())
}

/// Puts the places of one object back that hold what was set; the object, where anything of it was.
async fn put_back(
    change: &Change,
    note: &Note,
    cluster: &Cluster,
    progress: &dyn Progress,
) -> Result<Option<Object>, DeliveryError> {
    // A reader that is gone or was started again by others is no loss: whoever reads it now starts again.
    let is_reader = note.reread.as_ref().is_some_and(|map| *map != change.id);
    let warn = |text: String| {
        if !is_reader {
            progress.warn(text);
        }
    };
    // Only what is gone for good is passed over: any other failure keeps the note, and the next undo goes on.
    let Some(now) = find(cluster, change).await? else {
        warn(format!("{} is not there any more; there is nothing to put back", change.id));
        return Ok(None);
    };
    let (back, left) = change.back(&note.set, &now);
    for place in left {
        let why = format!("is not what {} set: somebody has changed it since, and it is left as it is", note.what);
        warn(format!("{}: {place} {why}", change.id));
    }
    if back.fields.is_empty() {
        return Ok(None);
    }
    let object = put_as(cluster, change, |now| change.back(&note.set, now).0.on(now)).await?;
    let places: Vec<Place> = back.fields.into_iter().map(|field| field.place).collect();
    Ok(Some(release(cluster, object, &places).await?))
}

/// Those that read the ConfigMap now and have not started again by being put back: they came with a release since.
async fn readers_anew(note: &Note, done: &[Object], cluster: &Cluster) -> Result<Vec<Object>, DeliveryError> {
    let Some(map) = note.reread.as_ref().filter(|map| done.iter().any(|one| one.id() == **map)) else {
        return Ok(Vec::new());
    };
    let live = workloads(cluster).await?;
    let mut anew = Vec::new();
    for reader in live.readers("ConfigMap", &map.name) {
        if !done.iter().any(|one| one.id() == reader.id()) {
            let change = Change { id: reader.id(), uid: reader.uid().to_owned(), fields: vec![reading(&mark(note))] };
            anew.push(put(cluster, &change).await?);
        }
    }
    Ok(anew)
}

/// The same for this note however often it is undone.
fn mark(note: &Note) -> String {
    crate::unit::digest_of(&Object(json!(["undone", note.what, note.facts, note.before])))[..16].to_owned()
}
