//! How a Job failed, in words: the exit code and the line of its log that tells most, or what the kubelet knows better.

use std::time::Duration;

use crate::diagnose::Scene;
use crate::{Failure, Object};

/// A Job that failed; nothing of it runs any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// Its name.
    pub name: String,
    /// In one line: `exit code 3: FAIL tenant A sees B`, `it did not end within 10m: 312 of 500`.
    pub why: String,
    /// What to do, where the cause is certain; else empty.
    pub next: String,
    /// From its making to its end.
    pub took: Duration,
    /// The same for a step that ends with it, with the last lines of its log.
    pub failure: Failure,
}

/// What ended it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cause {
    /// The cluster: the reason and message of its condition.
    Condition(String),
    /// The engine: it cannot start; what troubles its pod.
    Stuck(String),
    /// The engine: it did not end in time; which time.
    Late(String),
}

impl Cause {
    /// What is said of it where nothing better is known.
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Condition(text) | Self::Stuck(text) | Self::Late(text) => text,
        }
    }

    /// Why it failed in one line, and what to do. `last` is what the container to blame said, as far as there is one.
    pub(super) fn line(&self, exit_code: Option<i64>, scene: &Scene, last: Option<String>) -> (String, String) {
        let (how, known, said) = match (self, exit_code) {
            (Self::Condition(text), Some(code)) if text.starts_with("BackoffLimitExceeded") => {
                // It has run: trouble that it had before does not count any more.
                (format!("exit code {code}"), scene.out_of_memory(), last)
            }
            (Self::Condition(text), _) => (text.clone(), scene.out_of_memory(), last),
            (Self::Stuck(text), _) => ("it cannot start".to_owned(), scene.certain(), Some(text.clone())),
            (Self::Late(text), _) => (text.clone(), scene.certain(), last),
        };
        match (known, said) {
            (Some(cause), _) => (format!("{how}: {}: {}", cause.what, cause.why), cause.next),
            (None, Some(said)) => (format!("{how}: {said}"), String::new()),
            (None, None) => (how, String::new()),
        }
    }
}

/// The container that failed first in the order they stand: its pod, its name and its exit code.
pub(super) fn to_blame(pods: &[Object]) -> Option<(&str, &str, i64)> {
    let lists = ["/status/initContainerStatuses", "/status/containerStatuses"];
    let all = pods.iter().flat_map(|pod| lists.iter().flat_map(|list| pod.list(list)).map(move |status| (pod, status)));
    let ended = all.filter_map(|(pod, status)| {
        let code = status.pointer("/state/terminated/exitCode")?.as_i64()?;
        Some((pod.name(), status["name"].as_str()?, code))
    });
    ended.into_iter().find(|(.., code)| *code != 0)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(statuses: &Value) -> Object {
        Object(json!({
            "kind": "Pod", "metadata": {"name": "smoke-1"},
            "spec": {"containers": [{"name": "main", "resources": {"limits": {"memory": "64Mi"}}}]},
            "status": {"phase": "Failed", "containerStatuses": statuses},
        }))
    }

    fn ended(name: &str, code: i64, reason: &str) -> Value {
        json!({"name": name, "restartCount": 0, "state": {"terminated": {"exitCode": code, "reason": reason}}})
    }

    fn line(cause: &Cause, pods: Vec<Object>, last: &str) -> String {
        let scene = Scene { pods, ..Scene::default() };
        let code = to_blame(&scene.pods).map(|(.., code)| code);
        cause.line(code, &scene, Some(last.to_owned()).filter(|last| !last.is_empty())).0
    }

    #[test]
    fn a_job_is_judged_by_the_container_that_failed() {
        let pods = [pod(&json!([ended("good", 0, "Completed"), ended("bad", 3, "Error")]))];
        assert_eq!(to_blame(&pods), Some(("smoke-1", "bad", 3)));
        assert_eq!(to_blame(&[pod(&json!([ended("good", 0, "Completed")]))]), None);
        assert_eq!(to_blame(&[pod(&json!([{"name": "main", "state": {"running": {}}}]))]), None);
    }

    #[test]
    fn exit_code_and_last_line_are_said_unless_more_is_certain() {
        let spent = Cause::Condition("BackoffLimitExceeded: Job has reached the specified backoff limit".to_owned());
        let failed = || vec![pod(&json!([ended("main", 3, "Error")]))];
        assert_eq!(line(&spent, failed(), "FAIL"), "exit code 3: FAIL");
        assert_eq!(line(&spent, failed(), ""), "exit code 3");
        assert_eq!(
            line(&Cause::Condition("DeadlineExceeded: late".to_owned()), Vec::new(), ""),
            "DeadlineExceeded: late"
        );
        assert_eq!(
            line(&Cause::Late("it did not end within 3s".to_owned()), Vec::new(), "begun"),
            "it did not end within 3s: begun"
        );
        let stuck = Cause::Stuck("smoke-1 RunContainerError: no such file".to_owned());
        assert_eq!(line(&stuck, Vec::new(), "begun"), "it cannot start: smoke-1 RunContainerError: no such file");
    }

    #[test]
    fn a_job_killed_for_its_memory_says_so_with_its_limit() {
        let spent = Cause::Condition("BackoffLimitExceeded: over".to_owned());
        let scene = Scene { pods: vec![pod(&json!([ended("main", 137, "OOMKilled")]))], ..Scene::default() };
        let (why, next) = spent.line(Some(137), &scene, Some("started".to_owned()));
        assert_eq!(why, "exit code 137: a container was killed at its memory limit 64Mi: smoke-1 OOMKilled once");
        assert!(next.contains("raise resources.limits.memory"), "{next}");
    }
}
