//! A container ends again and again, or has ended with an error, and no log line says more.

use super::Scene;
use crate::Failure;
use crate::rollout::TroubleKind;

pub(super) fn find(scene: &Scene) -> Option<Failure> {
    if let Some((pod, trouble)) = scene.troubled(|trouble| trouble.kind == TroubleKind::CrashLoop) {
        let mut failure = Failure::new("a container ends again and again", trouble.to_string())
            .next("read its last lines below: a missing variable, a database out of reach, a bug at start");
        failure.evidence = scene.tail(pod.name());
        return Some(failure);
    }
    for pod in &scene.pods {
        let ended = pod.list("/status/containerStatuses").iter().find_map(|status| {
            let ended = status.pointer("/state/terminated").or_else(|| status.pointer("/lastState/terminated"))?;
            ended["exitCode"].as_i64().filter(|code| *code != 0)
        });
        if let Some(code) = ended {
            let why = format!("{} ended with exit code {code}", pod.name());
            let mut failure = Failure::new("a container ended with an error", why).next("read its last lines below");
            failure.evidence = scene.tail(pod.name());
            return Some(failure);
        }
    }
    None
}
