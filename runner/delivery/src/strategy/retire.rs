//! Removal long after: looks again before it removes anything.

use std::collections::BTreeSet;

use super::survey::Survey;
use crate::action::{Fate, Retired, Retirement};
use crate::cluster::{Cluster, ClusterError, Deleted, Labels, MANAGER, Precondition, Propagation, Tries};
use crate::render::config::uses;
use crate::unit::RELEASE;
use crate::{DeliveryError, Milestone, Object, ObjectId, Progress};

/// Kinds that may refer to configuration.
const USERS: [(&str, &str); 6] = [
    ("apps/v1", "Deployment"),
    ("apps/v1", "StatefulSet"),
    ("apps/v1", "DaemonSet"),
    ("batch/v1", "CronJob"),
    ("batch/v1", "Job"),
    ("networking.k8s.io/v1", "Ingress"),
];

/// See [`crate::action::retire`].
pub(crate) async fn retire(
    retirement: &Retirement,
    cluster: &Cluster,
    progress: &dyn Progress,
) -> Result<Retired, DeliveryError> {
    let survey = Survey::take(cluster).await?;
    let mut retired = Retired { removed: Vec::new(), kept: Vec::new() };
    // Asked for when the first configuration is looked at: workloads come first, whatever may be listed.
    let mut users = None;
    let mut going = BTreeSet::new();
    for (id, uid) in &retirement.objects {
        let mut tries = Tries::default();
        let gone = loop {
            let Some(now) = cluster.get(id).await?.filter(|now| now.uid() == uid) else { break Ok(false) };
            let why = if now.template_pointer().is_some() {
                workload_stays(&now, retirement, &survey)
            } else {
                if users.is_none() {
                    users = Some(users_of_configuration(cluster).await?);
                }
                still_used(&now, users.as_deref().unwrap_or_default(), &going)
            };
            if let Some(why) = why {
                break Err(why);
            }
            match remove(retirement.fate, cluster, id, &now).await {
                Ok(gone) => break Ok(gone),
                Err(error) if tries.again(&error) => {}
                Err(error) => return Err(error.into()),
            }
        };
        match gone {
            Ok(true) => {
                progress.say(format!("{id} of {} is removed", retirement.version));
                retired.removed.push(id.to_string());
                going.insert(id.to_string());
            }
            Ok(false) => {}
            Err(why) => {
                progress.say(format!("{id} stays: {why}"));
                retired.kept.push(format!("{id}: {why}"));
            }
        }
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

/// Removes an object as it was looked at; false where there is nothing to remove.
async fn remove(fate: Fate, cluster: &Cluster, id: &ObjectId, now: &Object) -> Result<bool, ClusterError> {
    match fate {
        Fate::Delete => {
            let seen = Precondition::unchanged(now);
            Ok(cluster.delete(id, &seen, Propagation::Background).await? != Deleted::Already)
        }
        Fate::Empty if now.template_pointer().is_some() && now.number("/spec/replicas") != Some(0) => {
            cluster.scale(id, 0, &Precondition::same(now), MANAGER).await?;
            Ok(true)
        }
        Fate::Empty | Fate::Recorded | Fate::RunEnded { .. } => Ok(false),
    }
}

/// Why a workload may not go.
fn workload_stays(now: &Object, retirement: &Retirement, survey: &Survey) -> Option<String> {
    let release = now.pod_labels().remove(RELEASE);
    if let Some(release) = release.filter(|release| *release != retirement.release) {
        return Some(format!("it is of another release now, {release}"));
    }
    selected(now, retirement, survey)
}

/// A Service of the unit selects it, or another one that would be left with nothing.
fn selected(now: &Object, retirement: &Retirement, survey: &Survey) -> Option<String> {
    for service in survey.services.values().filter(|service| survey.routes(service, now)) {
        if retirement.services.iter().any(|each| each == service.name()) {
            return Some(format!("Service/{} selects it: it is live", service.name()));
        }
        let ready = |each: &Object| ["/status/readyReplicas", "/status/numberReady"].map(|at| each.number(at));
        let mut others = survey.workloads().filter(|each| each.id() != now.id() && survey.routes(service, each));
        if !others.any(|each| ready(each).into_iter().flatten().any(|count| count > 0)) {
            return Some(format!("Service/{} selects nothing else that is ready", service.name()));
        }
    }
    None
}

async fn users_of_configuration(cluster: &Cluster) -> Result<Vec<Object>, ClusterError> {
    let mut users = Vec::new();
    for (api_version, kind) in USERS {
        users.extend(cluster.list(api_version, kind, &Labels::new()).await?);
    }
    Ok(users)
}

/// What refers to configuration, which therefore may not go. `going`: what was removed just now.
fn still_used(now: &Object, users: &[Object], going: &BTreeSet<String>) -> Option<String> {
    let key = (now.kind().to_owned(), now.name().to_owned());
    let is_user =
        |each: &&Object| !going.contains(&each.id().to_string()) && !has_ended(each) && uses(each).contains(&key);
    users.iter().find(is_user).map(|user| format!("{} refers to it", user.id()))
}

/// A Job that runs no pod any more.
fn has_ended(user: &Object) -> bool {
    let end = |each: &serde_json::Value| {
        each["status"] == "True" && matches!(each["type"].as_str(), Some("Complete" | "Failed"))
    };
    user.kind() == "Job" && user.list("/status/conditions").iter().any(end)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::Target;

    #[expect(clippy::needless_pass_by_value, reason = "tests hand over what they have just made")]
    fn deployment(name: &str, labels: Value, ready: i64) -> Object {
        Object(json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
            "spec": {"template": {"metadata": {"labels": labels}}}, "status": {"readyReplicas": ready}}))
    }

    fn retirement(services: &[&str]) -> Retirement {
        Retirement {
            environment: "production".to_owned(),
            target: Target { context: "test".to_owned(), namespace: "shop".to_owned() },
            unit: "shop".to_owned(),
            release: "adopted-01234567".to_owned(),
            version: "1.0".to_owned(),
            services: services.iter().map(|each| (*each).to_owned()).collect(),
            objects: Vec::new(),
            fate: Fate::Delete,
            due: jiff::Timestamp::UNIX_EPOCH,
        }
    }

    /// An adopted Deployment behind a Service that was narrowed to its template is live, though no template has that label.
    #[test]
    fn what_a_narrowed_service_selects_stays() {
        let old = deployment("shop", json!({"app": "shop"}), 2);
        let selector = json!({"app": "shop", "pod-template-hash": "h1"});
        let service = Object(json!({"kind": "Service", "metadata": {"name": "shop"}, "spec": {"selector": selector}}));
        let mut survey = Survey::default();
        survey.services.insert("shop".to_owned(), service);
        survey.deployments.insert("shop".to_owned(), old.clone());
        let why = workload_stays(&old, &retirement(&["shop"]), &survey);
        assert_eq!(why.as_deref(), Some("Service/shop selects it: it is live"));
        let why = workload_stays(&old, &retirement(&[]), &survey);
        assert_eq!(why.as_deref(), Some("Service/shop selects nothing else that is ready"));
        let other = deployment("other", json!({"tagline.dev/release": "v2"}), 2);
        assert!(workload_stays(&other, &retirement(&["shop"]), &survey).unwrap().contains("another release"));
    }

    #[test]
    fn configuration_stays_whatever_kind_refers_to_it() {
        let pods = json!({"spec": {"containers": [{"envFrom": [{"secretRef": {"name": "key"}}]}]}});
        let user = |kind: &str| {
            let mut user = Object(json!({"kind": kind, "metadata": {"name": "u"}}));
            match kind {
                "Ingress" => user.set("/spec/tls", json!([{"secretName": "key"}])),
                _ => user.set(user.template_pointer().unwrap(), pods.clone()),
            }
            user
        };
        let key = Object(json!({"kind": "Secret", "metadata": {"name": "key"}}));
        for (_, kind) in USERS {
            let why = still_used(&key, &[user(kind)], &BTreeSet::new());
            assert_eq!(why, Some(format!("{kind}/u refers to it")), "{kind}");
            assert_eq!(still_used(&key, &[user(kind)], &BTreeSet::from([format!("{kind}/u")])), None);
        }
        let mut job = user("Job");
        job.set("/status/conditions", json!([{"type": "Complete", "status": "True"}]));
        assert_eq!(still_used(&key, &[job], &BTreeSet::new()), None, "a Job that has ended");
        assert_eq!(still_used(&key, &[deployment("d", json!({}), 1)], &BTreeSet::new()), None);
    }
}
