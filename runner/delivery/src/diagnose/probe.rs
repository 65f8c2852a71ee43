//! The pods run and do not get ready: their probes say no.

use super::Scene;
use super::image::shorten;
use crate::Failure;
use crate::rollout::is_ready;

pub(super) fn find(scene: &Scene) -> Option<Failure> {
    let pod = scene.pods.iter().find(|pod| pod.text("/status/phase") == "Running" && !is_ready(pod))?;
    let of_pod = |event: &&crate::Object| {
        event.text("/reason") == "Unhealthy" && event.text("/involvedObject/name") == pod.name()
    };
    let event = scene.events.iter().rev().find(of_pod)?;
    let message = event.text("/message");
    let probe = ["Startup", "Readiness", "Liveness"].into_iter().find(|probe| message.starts_with(probe));
    let what =
        format!("the pods run and do not get ready: the {} probe fails", probe.unwrap_or("readiness").to_lowercase());
    let mut failure = Failure::new(what, format!("{}: {}", pod.name(), shorten(message)))
        .next("ask the path of the probe yourself, and look whether it needs something that is away");
    failure.evidence = scene.tail(pod.name());
    Some(failure)
}
