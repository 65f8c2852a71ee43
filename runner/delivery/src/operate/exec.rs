//! A command in pods that run. Never repeated.

use serde_json::json;

use super::plan::OperatePlan;
use crate::cluster::{Cluster, ExecLimits};
use crate::inputs::operate::Pods;
use crate::job::Done;
use crate::progress::recorded;
use crate::rollout::is_ready;
use crate::{DeliveryError, Failure, Milestone, Progress};

/// What a command prints is kept up to this many bytes.
const MOST: usize = 1 << 20;

/// Runs it in one ready pod, or in all of them one after the other, until one fails.
pub(super) async fn apply(
    plan: &OperatePlan,
    container: Option<&str>,
    command: &[String],
    which: Pods,
    cluster: &Cluster,
    progress: &dyn Progress,
) -> Result<Done, DeliveryError> {
    if let Some(done) = recorded(progress, "operated") {
        return Ok(Done { summary: done.text, ..Done::default() }.output("changed", "true"));
    }
    if recorded(progress, "begun").is_some() {
        let why = "the engine ended while the command ran";
        return Err(Failure::new("it is not known whether the command was carried out", why)
            .next("look, then run the workflow again")
            .into());
    }
    let mut pods = Vec::new();
    for (id, uid) in &plan.workloads {
        let workload = cluster.get(id).await?.filter(|found| found.uid() == uid);
        let selector = workload.map(|found| found.texts("/spec/selector/matchLabels")).unwrap_or_default();
        let found = if selector.is_empty() { Vec::new() } else { cluster.pods(&selector).await? };
        pods.extend(found.into_iter().filter(is_ready));
    }
    if which == Pods::One {
        pods.truncate(1);
    }
    if pods.is_empty() {
        return Err(Failure::new("no pod is ready", "there is nothing to run the command in")
            .effect("nothing was done")
            .into());
    }
    let text = format!("{} begun in {} pods", command.join(" "), pods.len());
    progress.record(Milestone { name: "begun".to_owned(), text, data: json!({}) }).await?;
    let limits = ExecLimits { timeout: *plan.inputs.timeout, bytes: MOST };
    for pod in &pods {
        let answer = tokio::select! {
            answer = cluster.exec(pod.name(), container, command, None, limits) => answer?,
            stop = progress.stopped() => return Err(stop.into()),
        };
        for bytes in [&answer.stdout, &answer.stderr] {
            String::from_utf8_lossy(bytes).lines().for_each(|line| progress.say(format!("{}: {line}", pod.name())));
        }
        if answer.code != 0 {
            let why = format!("exit code {} in {}", answer.code, pod.name());
            return Err(Failure::new(format!("{} failed", command[0]), why).into());
        }
    }
    let text = format!("{} was carried out in {} pods", command.join(" "), pods.len());
    progress.record(Milestone { name: "operated".to_owned(), text: text.clone(), data: json!({}) }).await?;
    Ok(Done { summary: text, ..Done::default() }.output("changed", "true"))
}
