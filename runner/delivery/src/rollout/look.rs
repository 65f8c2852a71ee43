//! What the objects seen so far mean for a wait: pure, with the time given in.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::status::{RolloutStatus, State, status};
use super::trouble::{Trouble, is_ready, of_template, trouble};
use super::wait::{Wait, WaitError, after};
use crate::{Object, ObjectId};

/// For so long after a change a condition may still speak of what was before: of an older ReplicaSet, of an earlier scale.
const STALE: Duration = Duration::from_secs(2);

/// What a look means.
pub(super) enum Verdict {
    /// All is ready: these pods.
    Ready(Vec<Object>),
    /// Waiting longer does not help; why.
    Failed(String),
    /// Look again then, even if nothing changes.
    Wait(Option<Timestamp>),
}

/// What is known so far.
pub(super) struct Look {
    wait: Wait,
    pub(super) ids: Vec<ObjectId>,
    /// As last seen, by kind and name; the pods that the templates' labels fit.
    workloads: BTreeMap<(String, String), Object>,
    pods: Vec<Object>,
    pods_seen: bool,
    kinds_seen: Vec<&'static str>,
    /// Since when each trouble is there, by pod and kind or by workload.
    since: BTreeMap<String, Timestamp>,
    ready_since: Option<Timestamp>,
    said: String,
}

impl Look {
    pub(super) fn new(workloads: &[Object], wait: &Wait) -> Self {
        let ids = workloads.iter().filter(|each| status(each).is_some()).map(Object::id).collect();
        Self {
            wait: *wait,
            ids,
            workloads: BTreeMap::new(),
            pods: Vec::new(),
            pods_seen: false,
            kinds_seen: Vec::new(),
            since: BTreeMap::new(),
            ready_since: None,
            said: String::new(),
        }
    }

    pub(super) fn take(&mut self, kind: &'static str, set: Vec<Object>) {
        if kind == "Pod" {
            (self.pods, self.pods_seen) = (set, true);
            return;
        }
        if !self.kinds_seen.contains(&kind) {
            self.kinds_seen.push(kind);
        }
        self.workloads.retain(|(of_kind, _), _| of_kind != kind);
        self.workloads.extend(set.into_iter().map(|object| ((kind.to_owned(), object.name().to_owned()), object)));
    }

    fn workload(&self, id: &ObjectId) -> Option<&Object> {
        self.workloads.get(&(id.kind.clone(), id.name.clone()))
    }

    fn status(&self) -> Vec<RolloutStatus> {
        self.ids.iter().filter_map(|id| self.workload(id)).filter_map(status).collect()
    }

    /// The new pods of one workload, those on their way out left away.
    fn pods_of<'a>(&'a self, workload: &'a Object) -> impl Iterator<Item = &'a Object> {
        self.pods.iter().filter(move |pod| !pod.is_terminating() && of_template(workload, pod))
    }

    fn new_pods(&self) -> Vec<Object> {
        let workloads = self.ids.iter().filter_map(|id| self.workload(id));
        workloads.flat_map(|workload| self.pods_of(workload)).cloned().collect()
    }

    pub(super) fn verdict(&mut self, now: Timestamp) -> Verdict {
        if !self.pods_seen || self.ids.iter().any(|id| !self.kinds_seen.contains(&id.kind.as_str())) {
            return Verdict::Wait(None);
        }
        if let Some(gone) = self.ids.iter().find(|id| self.workload(id).is_none()) {
            return Verdict::Failed(format!("{gone} is not there (any more)"));
        }
        let status = self.status();
        for each in &status {
            match &each.state {
                // A Job's end is the end.
                State::Failed(why) if each.id.kind == "Job" => return Verdict::Failed(format!("{}: {why}", each.id)),
                State::Empty => return Verdict::Failed(format!("{} wants 0 pods: nothing would run", each.id)),
                _ => {}
            }
        }
        let (failed, mut next) = self.troubles(&status, now);
        if let Some(why) = failed {
            return Verdict::Failed(why);
        }
        let Some(pods) = self.ready_pods(&status) else {
            self.ready_since = None;
            return Verdict::Wait(next);
        };
        let stays = after(*self.ready_since.get_or_insert(now), self.wait.min_ready);
        if now >= stays {
            return Verdict::Ready(pods);
        }
        next = Some(next.map_or(stays, |next| next.min(stays)));
        Verdict::Wait(next)
    }

    /// All ready pods, where everything is done and as many pods are ready as are wanted.
    fn ready_pods(&self, status: &[RolloutStatus]) -> Option<Vec<Object>> {
        let mut ready = Vec::new();
        for each in status {
            let workload = self.workload(&each.id)?;
            if !each.is_done() {
                return None;
            }
            if each.id.kind == "Job" {
                continue;
            }
            let pods: Vec<_> = self.pods_of(workload).filter(|pod| is_ready(pod)).cloned().collect();
            if i64::try_from(pods.len()).unwrap_or(0) < each.wanted {
                return None;
            }
            ready.extend(pods);
        }
        Some(ready)
    }

    /// What ends the wait now, or when what is there would end it.
    fn troubles(&mut self, status: &[RolloutStatus], now: Timestamp) -> (Option<String>, Option<Timestamp>) {
        let mut present = Vec::new();
        for each in status {
            if let State::Failed(why) = &each.state {
                present.push((format!("{} failed", each.id), Some(STALE), format!("{}: {why}", each.id)));
            }
            if let Some(why) = &each.blocked {
                // Only its own old pods could make room.
                let grace = if each.old == 0 { STALE } else { self.wait.blocked };
                present.push((format!("{} blocked", each.id), Some(grace), format!("{}: {why}", each.id)));
            }
        }
        for trouble in self.pod_troubles() {
            let key = format!("{} {:?}", trouble.pod, trouble.kind);
            present.push((key, trouble.grace, trouble.to_string()));
        }
        self.since.retain(|key, _| present.iter().any(|(each, ..)| each == key));
        let mut next = None;
        for (key, grace, why) in present {
            let since = *self.since.entry(key).or_insert(now);
            let Some(grace) = grace else { continue };
            let end = after(since, grace);
            if end <= now {
                return (Some(why), None);
            }
            next = Some(next.map_or(end, |next: Timestamp| next.min(end)));
        }
        (None, next)
    }

    fn pod_troubles(&self) -> Vec<Trouble> {
        self.new_pods().iter().filter_map(|pod| trouble(pod, self.wait.restarts)).collect()
    }

    /// A line where it differs from the last.
    pub(super) fn news(&mut self) -> Option<String> {
        let counts = self.ids.iter().filter_map(|id| {
            let workload = self.workload(id)?;
            let status = status(workload)?;
            let ready = match id.kind.as_str() {
                "Job" => status.ready,
                _ => i64::try_from(self.pods_of(workload).filter(|pod| is_ready(pod)).count()).unwrap_or(0),
            };
            Some(format!("{} {ready}/{}", id.name, status.wanted))
        });
        let line = counts.collect::<Vec<_>>().join(", ");
        if !self.pods_seen || line.is_empty() || line == self.said {
            return None;
        }
        self.said.clone_from(&line);
        Some(line)
    }

    /// Why it was not ready in time.
    pub(super) fn late(&self, timeout: Duration) -> String {
        let within = crate::cluster::short(timeout);
        let troubles = self.pod_troubles();
        if let Some(worst) = troubles.first() {
            return format!("not ready within {within}: {worst}");
        }
        let behind = self.status().into_iter().find_map(|each| match &each.state {
            State::Progressing(why) => Some(format!("{each}: {why}")),
            _ => None,
        });
        let behind = behind.unwrap_or_else(|| "the API server did not say how it stands".to_owned());
        format!("not ready within {within}: {behind}")
    }

    pub(super) fn not_ready(&self, why: String, late: bool) -> WaitError {
        WaitError::NotReady { why, late, status: self.status(), pods: self.new_pods() }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const START: Timestamp = Timestamp::UNIX_EPOCH;

    fn at(seconds: u64) -> Timestamp {
        after(START, Duration::from_secs(seconds))
    }

    /// A Deployment of two pods, seen by its controller, with these status fields.
    fn deployment(status: &Value) -> Object {
        let labels = json!({"app": "w", "tagline.dev/release": "r2"});
        let mut object = Object(json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "w", "namespace": "shop", "generation": 2},
            "spec": {"replicas": 2, "template": {"metadata": {"labels": labels}}}, "status": {"observedGeneration": 2}}));
        for (key, value) in status.as_object().unwrap() {
            object.set(&format!("/status/{key}"), value.clone());
        }
        object
    }

    fn pod(name: &str, release: &str, ready: bool) -> Object {
        let status = if ready { "True" } else { "False" };
        Object(
            json!({"kind": "Pod", "metadata": {"name": name, "labels": {"app": "w", "tagline.dev/release": release}},
            "status": {"conditions": [{"type": "Ready", "status": status}]}}),
        )
    }

    fn look(status: &Value, pods: Vec<Object>) -> Look {
        let object = deployment(status);
        let mut look =
            Look::new(std::slice::from_ref(&object), &Wait { min_ready: Duration::from_secs(5), ..Wait::default() });
        look.take("Deployment", vec![object]);
        look.take("Pod", pods);
        look
    }

    fn done() -> Value {
        json!({"replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2})
    }

    #[test]
    fn nothing_is_decided_before_everything_was_seen() {
        let object = deployment(&done());
        let mut look = Look::new(std::slice::from_ref(&object), &Wait::default());
        assert!(matches!(look.verdict(START), Verdict::Wait(None)));
        look.take("Deployment", vec![object]);
        assert!(matches!(look.verdict(START), Verdict::Wait(None)));
        look.take("Deployment", Vec::new());
        look.take("Pod", Vec::new());
        assert!(matches!(look.verdict(START), Verdict::Failed(why) if why.contains("not there")));
    }

    #[test]
    fn ready_is_ready_only_with_its_own_pods_and_for_its_time() {
        let mut look = look(&done(), vec![pod("a", "r2", true), pod("old", "r1", true)]);
        assert!(matches!(look.verdict(START), Verdict::Wait(None)));
        let both = vec![pod("a", "r2", true), pod("b", "r2", true)];
        look.take("Pod", both.clone());
        assert!(matches!(look.verdict(START), Verdict::Wait(Some(until)) if until == at(5)));
        look.take("Pod", vec![pod("a", "r2", true), pod("b", "r2", false)]);
        assert!(matches!(look.verdict(at(4)), Verdict::Wait(None)));
        look.take("Pod", both);
        assert!(matches!(look.verdict(at(6)), Verdict::Wait(Some(until)) if until == at(11)));
        assert!(matches!(look.verdict(at(11)), Verdict::Ready(pods) if pods.len() == 2));
    }

    #[test]
    fn a_condition_of_before_does_not_end_a_wait_but_one_that_stays_does() {
        let late = json!([{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"},
            {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"}]);
        let mut look = look(&json!({"conditions": late}), Vec::new());
        assert!(matches!(look.verdict(START), Verdict::Wait(Some(until)) if until == at(2)));
        look.take("Deployment", vec![deployment(&json!({}))]);
        assert!(matches!(look.verdict(at(1)), Verdict::Wait(None)));
        look.take("Deployment", vec![deployment(&json!({"conditions": late}))]);
        assert!(matches!(look.verdict(at(3)), Verdict::Wait(Some(_))));
        assert!(matches!(look.verdict(at(5)), Verdict::Failed(why) if why.contains("ProgressDeadlineExceeded")));
    }

    #[test]
    fn a_trouble_ends_the_wait_when_its_grace_is_over_and_counts_anew_when_it_comes_back() {
        let mut troubled = pod("a", "r2", false);
        troubled.set(
            "/status/containerStatuses",
            json!([{"name": "c", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "i/o timeout"}}}]),
        );
        let mut look = look(&json!({}), vec![troubled.clone()]);
        assert!(matches!(look.verdict(START), Verdict::Wait(Some(until)) if until == at(45)));
        look.take("Pod", vec![pod("a", "r2", false)]);
        assert!(matches!(look.verdict(at(30)), Verdict::Wait(None)));
        look.take("Pod", vec![troubled]);
        assert!(matches!(look.verdict(at(40)), Verdict::Wait(Some(until)) if until == at(85)));
        assert!(matches!(look.verdict(at(85)), Verdict::Failed(why) if why == "a ImagePullBackOff: i/o timeout"));
        assert_eq!(look.news().as_deref(), Some("w 0/2"));
        assert_eq!(look.news(), None);
    }
}
