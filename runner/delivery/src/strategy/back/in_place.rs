//! Back from a release that was applied in place.

use super::super::put::{Moved, Rules, moved_fields, put, scale};
use super::super::survey::{id_in, settled};
use super::super::{evidence, waits};
use super::Back;
use super::remove::remove_object;
use crate::cluster::Labels;
use crate::rollout::status;
use crate::unit::{DIGEST, RELEASE, RUN, RollingShape};
use crate::{DeliveryError, Object};

/// The steps, in order: configuration and workloads as they were, waiting for them and for the end of the release's pods,
/// and only then what the release added is removed. Evidence is taken from its pods while they are replaced.
pub(super) async fn go(back: &Back<'_>, shape: &RollingShape) -> Result<(), DeliveryError> {
    let (pods, workloads) = leaving(back, shape).await?;
    if pods.is_empty() {
        return as_it_was(back, shape).await;
    }
    let kept = evidence::keep(&back.cluster, back.progress, &pods, &workloads, back.evidence);
    evidence::alongside(kept, as_it_was(back, shape), back.progress).await
}

async fn as_it_was(back: &Back<'_>, shape: &RollingShape) -> Result<(), DeliveryError> {
    for kept in &back.to.objects {
        restore_one(back, &kept.object, Moved::Replicas).await?;
    }
    let mut workloads = Vec::new();
    for kept in back.to.workloads.values() {
        restore_one(back, &kept.object, Moved::Replicas).await?;
        let Some(now) = back.cluster.get(&id_in(&kept.object, &back.cluster)).await? else { continue };
        if status(&now).is_some() && now.kind() != "DaemonSet" && now.number("/spec/replicas") == Some(0) {
            scale(&back.cluster, &now, kept.replicas()).await?;
        }
        workloads.push(now);
    }
    let running: Vec<Object> = workloads.into_iter().filter(|each| each.number("/spec/replicas") != Some(0)).collect();
    waits::ready(&back.cluster, &running, back.timeout, back.progress).await?;
    let leaving = back.leaving.release.as_str();
    let stays = |pod: &Object| pod.labels().get(RELEASE).is_none_or(|each| each != leaving);
    waits::others_gone(&back.cluster, &shape.objects, back.progress, stays).await?;
    for object in shape.objects.iter().rev().filter(|object| back.to.was_absent(&object.id())) {
        remove_object(back, object).await?;
    }
    Ok(())
}

/// Objects as they were; what was not there goes, the last first.
pub(super) async fn restore<'a>(
    back: &Back<'_>,
    objects: impl DoubleEndedIterator<Item = &'a Object>,
) -> Result<(), DeliveryError> {
    for object in objects.rev() {
        match back.to.object(object.kind(), object.name()) {
            Some(kept) => restore_one(back, &kept.object, Moved::Replicas).await?,
            None if back.to.was_absent(&object.id()) => remove_object(back, object).await?,
            None => {}
        }
    }
    Ok(())
}

/// An object as it was, unless it is so.
pub(super) async fn restore_one(back: &Back<'_>, object: &Object, moved: Moved) -> Result<(), DeliveryError> {
    if object.kind() == "Secret" {
        // Its values are kept nowhere; one of a release's own bears its content in its name and is as it was.
        return Ok(());
    }
    let now = back.cluster.get(&id_in(object, &back.cluster)).await?;
    let stays = |now: Object| same(&settled(&now), object, moved) || (!back.by_hand && !written(&now, object));
    if now.is_some_and(stays) {
        return Ok(());
    }
    put(&back.cluster, object, moved, Rules::BACK).await?;
    Ok(())
}

/// The release that goes applied it: its marks are others than before.
fn written(now: &Object, was: &Object) -> bool {
    let marks = |object: &Object| [DIGEST, RUN].map(|mark| object.annotations().get(mark).cloned());
    marks(now) != marks(was)
}

/// Nothing differs but what is moved by steps of its own.
fn same(now: &Object, was: &Object, moved: Moved) -> bool {
    let plain = |object: &Object| {
        let mut object = object.clone();
        for pointer in moved_fields(&object, moved) {
            object.remove(pointer);
        }
        object
    };
    plain(now) == plain(was)
}

/// The release's pods, and its workloads as they are.
async fn leaving(back: &Back<'_>, shape: &RollingShape) -> Result<(Vec<Object>, Vec<Object>), DeliveryError> {
    let labels = Labels::from([(RELEASE.to_owned(), back.leaving.release.0.clone())]);
    let pods = back.cluster.pods(&labels).await?;
    let mut workloads = Vec::new();
    for object in shape.objects.iter().filter(|object| status(object).is_some()) {
        workloads.extend(back.cluster.get(&id_in(object, &back.cluster)).await?);
    }
    Ok((pods, workloads))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn what_the_release_has_not_applied_bears_the_marks_of_before() {
        let object = |digest: Value, run: Value, mode: &str| {
            Object(json!({"kind": "ConfigMap", "metadata": {"name": "a", "annotations": {DIGEST: digest, RUN: run}},
                "data": {"mode": mode}}))
        };
        let was = object(json!("d1"), json!("1"), "old");
        assert!(!written(&object(json!("d1"), json!("1"), "by hand"), &was), "somebody else's change");
        assert!(written(&object(json!("d2"), json!("2"), "new"), &was));
        assert!(written(&object(json!("d1"), json!("2"), "new"), &was), "the same content, taken over");
        assert!(written(&was, &object(Value::Null, Value::Null, "adopted")));
    }
}
