//! Removal long after: looks again before it removes anything.

use std::collections::BTreeSet;

use super::survey::Survey;
use crate::action::{Fate, Retired, Retirement};
use crate::cluster::{Cluster, Deleted, Labels, MANAGER, Precondition, Propagation};
use crate::object::selects;
use crate::render::config::references;
use crate::unit::RELEASE;
use crate::{DeliveryError, Milestone, Object, Progress};

/// See [`crate::action::retire`].
pub(crate) async fn retire(
    retirement: &Retirement,
    cluster: &Cluster,
    progress: &dyn Progress,
) -> Result<Retired, DeliveryError> {
    let survey = Survey::take(cluster).await?;
    let mut retired = Retired { removed: Vec::new(), kept: Vec::new() };
    let mut going = BTreeSet::new();
    for (id, uid) in &retirement.objects {
        let Some(now) = cluster.get(id).await?.filter(|now| now.uid() == uid) else { continue };
        if let Some(why) = reason_to_stay(&now, retirement, &survey, &going) {
            progress.say(format!("{id} stays: {why}"));
            retired.kept.push(format!("{id}: {why}"));
            continue;
        }
        let is_workload = now.template_pointer().is_some();
        match retirement.fate {
            Fate::Empty if is_workload && now.number("/spec/replicas") == Some(0) => continue,
            Fate::Empty if is_workload => cluster.scale(id, 0, &Precondition::same(&now), MANAGER).await?,
            Fate::Empty | Fate::Recorded => continue,
            Fate::Delete => {
                let precondition =
                    Precondition { uid: uid.clone(), resource_version: Some(now.resource_version().to_owned()) };
                if cluster.delete(id, &precondition, Propagation::Background).await? == Deleted::Already {
                    continue;
                }
                going.insert(now.name().to_owned());
            }
        }
        progress.say(format!("{id} of {} is removed", retirement.version));
        retired.removed.push(id.to_string());
    }
    if retired.kept.is_empty() {
        let text = match retired.removed.as_slice() {
            [] => format!("nothing of {} was left", retirement.version),
            removed => format!("{} of {} removed", removed.join(", "), retirement.version),
        };
        let data = serde_json::to_value(&retired).unwrap_or_default();
        progress.record(Milestone { name: "deleted".to_owned(), text, data }).await?;
    }
    Ok(retired)
}

/// Why an object may not go. `going`: the workloads that were removed just now.
fn reason_to_stay(now: &Object, retirement: &Retirement, survey: &Survey, going: &BTreeSet<String>) -> Option<String> {
    if now.template_pointer().is_some() {
        let labels = now.pod_labels();
        let release = labels.get(RELEASE).cloned();
        if release.as_ref().is_some_and(|release| *release != retirement.release) {
            return Some(format!("it is of another release now, {}", release.unwrap_or_default()));
        }
        return selected(&labels, now.name(), retirement, survey);
    }
    let key = (now.kind().to_owned(), now.name().to_owned());
    let users = survey.deployments.values().filter(|each| !going.contains(each.name()));
    let mut users = users.filter(|each| references(each).contains(&key));
    users.next().map(|user| format!("{} refers to it", user.id()))
}

/// A Service of the unit selects it, or another one that would be left with nothing.
fn selected(labels: &Labels, name: &str, retirement: &Retirement, survey: &Survey) -> Option<String> {
    let behind = |service: &Object, labels: &Labels| selects(&service.texts("/spec/selector"), labels);
    for service in survey.services.values().filter(|service| behind(service, labels)) {
        if retirement.services.iter().any(|each| each == service.name()) {
            return Some(format!("Service/{} selects it: it is live", service.name()));
        }
        let others = survey.deployments.values().filter(|each| each.name() != name);
        let mut others = others.filter(|each| {
            behind(service, &each.pod_labels()) && each.number("/status/readyReplicas").unwrap_or(0) > 0
        });
        if others.next().is_none() {
            return Some(format!("Service/{} selects nothing else that is ready", service.name()));
        }
    }
    None
}
