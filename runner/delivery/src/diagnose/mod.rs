//! Why it failed, in one line, and what to do: read from pods, their events and their logs.
//!
//! A rule a file. Each looks at the [`Scene`] and names the cause it knows, or nothing. What is certain ([`CERTAIN`]: the
//! kubelet says so) goes before what is only likely ([`LIKELY`]: a line of a log), so a sure cause is never hidden by a
//! guess. Pure: [`collect`](collect::scene) has read everything before.

mod collect;
mod config;
mod crash;
mod image;
mod log;
mod memory;
mod probe;
mod room;

use std::collections::BTreeMap;

use crate::rollout::{Trouble, trouble};
use crate::{Failure, Object};

pub(crate) use collect::log;
pub use collect::scene;

/// What was there when it failed.
#[derive(Debug, Clone, Default)]
pub struct Scene {
    /// The pods of the release, with their states.
    pub pods: Vec<Object>,
    /// Events about the pods and their workloads, oldest first.
    pub events: Vec<Object>,
    /// Workloads and ReplicaSets: quota refusals stand in their conditions.
    pub owners: Vec<Object>,
    /// The last lines of each pod, by its name: of the container before the last restart where there is one.
    pub logs: BTreeMap<String, String>,
}

/// A cause, by the rule that knows it.
type Rule = fn(&Scene) -> Option<Failure>;

/// What the kubelet, the scheduler or a controller says.
const CERTAIN: &[Rule] = &[image::find, config::find, memory::find, room::find];
/// What only a log or a probe hints at.
const LIKELY: &[Rule] = &[log::find, crash::find, probe::find];

/// How many lines of a log stand under a failure.
const LINES: usize = 20;

impl Scene {
    /// The cause, if one of the rules knows it.
    pub fn cause(&self) -> Option<Failure> {
        self.certain().or_else(|| LIKELY.iter().find_map(|rule| rule(self)))
    }

    /// The cause, if the cluster itself says it.
    pub fn certain(&self) -> Option<Failure> {
        CERTAIN.iter().find_map(|rule| rule(self))
    }

    /// A container was killed for its memory: which one, and its limit.
    pub fn out_of_memory(&self) -> Option<Failure> {
        memory::find(self)
    }

    /// The pods in trouble of a kind that `wanted` accepts, each with what troubles it.
    fn troubled(&self, wanted: impl Fn(&Trouble) -> bool) -> Option<(&Object, Trouble)> {
        let found = self.pods.iter().filter_map(|pod| Some((pod, trouble(pod, 1)?)));
        found.into_iter().find(|(_, trouble)| wanted(trouble))
    }

    /// The last lines of a pod's log.
    fn tail(&self, pod: &str) -> Vec<String> {
        let Some(log) = self.logs.get(pod) else { return Vec::new() };
        let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
        lines.iter().skip(lines.len().saturating_sub(LINES)).map(|line| (*line).to_owned()).collect()
    }

    /// The messages of warnings with one of these reasons, newest first.
    fn warnings<'s>(&'s self, reasons: &'s [&'s str]) -> impl Iterator<Item = &'s str> {
        let of_reason = |event: &&Object| reasons.contains(&event.text("/reason"));
        self.events.iter().rev().filter(of_reason).map(|event| event.text("/message"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A pod with one container in this state.
    #[expect(clippy::needless_pass_by_value, reason = "tests hand over what they have just made")]
    pub(super) fn pod(name: &str, status: serde_json::Value) -> Object {
        Object(json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": "shop"},
            "spec": {"containers": [{"name": "web", "image": "r.example/shop@sha256:aa",
                "resources": {"limits": {"memory": "64Mi"}}}]},
            "status": status,
        }))
    }

    #[test]
    fn a_scene_without_trouble_has_no_cause() {
        assert_eq!(Scene::default().cause(), None);
        let fine = pod("a", json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}));
        assert_eq!(Scene { pods: vec![fine], ..Scene::default() }.cause(), None);
    }

    #[test]
    fn what_the_kubelet_says_goes_before_what_a_log_hints_at() {
        let status = json!({"containerStatuses": [{"name": "web", "restartCount": 3,
            "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": {"reason": "OOMKilled", "exitCode": 137}}}]});
        let scene = Scene {
            pods: vec![pod("a", status)],
            logs: BTreeMap::from([("a".to_owned(), "ERROR connection refused to postgres:5432".to_owned())]),
            ..Scene::default()
        };
        let what = scene.cause().map(|cause| cause.what);
        assert_eq!(what.as_deref(), Some("a container was killed at its memory limit 64Mi"));
    }
}
