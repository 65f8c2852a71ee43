//! `tagline/smoke-test` as a step of its own: the release of this run, wherever it stands; of a run without a tag, what
//! is live.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{JobsFor, SmokeFor, SmokeReport, Where, checks_at, run, run_jobs, templates};
use crate::check::find::{Found, of_workloads};
use crate::check::logs::{LogReport, scan_pods};
use crate::cluster::Cluster;
use crate::inputs::SmokeTestInputs;
use crate::inputs::smoke::SmokeTarget;
use crate::rollout::is_ready;
use crate::{DeliveryError, Failure, Object, PlanError, Progress, Site};

/// Longest time for one Job.
const JOB: Duration = Duration::from_mins(10);

/// What is tested.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SmokePlan {
    /// The unit.
    pub unit: String,
    /// The version that must answer; None: whichever is live when the step comes.
    pub version: Option<String>,
    /// The step's inputs.
    pub inputs: SmokeTestInputs,
    /// The Jobs' manifests, images by digest.
    pub jobs: Vec<Object>,
}

impl SmokePlan {
    /// In lines for people.
    pub fn summary(&self) -> Vec<String> {
        let version = self.version.as_deref().unwrap_or("what is live");
        let mut lines = vec![format!("test {version} of unit {}", self.unit)];
        let smoke = &self.inputs.smoke;
        for target in [SmokeTarget::AllPods, SmokeTarget::Preview, SmokeTarget::Public] {
            lines.extend(checks_at(smoke, target).iter().map(|check| format!("{}: {}", target.place(), check.text)));
        }
        lines.extend(self.jobs.iter().map(|job| format!("run {}", job.id())));
        lines
    }
}

/// What is going to be tested. Changes nothing.
///
/// # Errors
/// Jobs that are not there, or whose images are no digests.
pub async fn plan(site: &Site, inputs: &SmokeTestInputs, cluster: &Cluster) -> Result<SmokePlan, PlanError> {
    let jobs = templates(&inputs.smoke.jobs, site, &[], &inputs.images, cluster).await?;
    let jobs = jobs.map_err(|lines| {
        let failure =
            Failure::new("the Jobs of the smoke test cannot be run", lines.first().cloned().unwrap_or_default());
        Failure { evidence: lines, ..failure }
            .effect("nothing was tested")
            .next("correct jobs or images")
            .of_input("jobs")
    })?;
    let unit = inputs.name.clone().unwrap_or_else(|| site.repository.clone());
    let of_run = || site.is_of_tag().then(|| site.version.clone());
    let version = inputs.expect_version.clone().or_else(of_run);
    Ok(SmokePlan { unit, version, inputs: inputs.clone(), jobs })
}

/// Tests every pod, the preview, Jobs, and the public address, as far as the step asks for them.
///
/// # Errors
/// The first place that is not good ends it, with the whole table said before; the release is not there; it is to end.
pub async fn apply(
    plan: &SmokePlan,
    site: &Site,
    cluster: &Cluster,
    progress: &dyn Progress,
) -> Result<SmokeReport, DeliveryError> {
    let began = progress.now();
    let found = Found::read(cluster, &plan.unit, plan.inputs.service.as_deref()).await?;
    let (inputs, smoke) = (&plan.inputs, &plan.inputs.smoke);
    let version = match &plan.version {
        Some(version) => version.clone(),
        None => found.live(cluster).await?,
    };
    let release = SmokeFor { version: version.clone(), port: smoke.port };
    let mut report = SmokeReport::default();
    let needs_pods = !checks_at(smoke, SmokeTarget::AllPods).is_empty() || !inputs.log_limits.is_empty();
    let mut pods = Vec::new();
    if needs_pods {
        let subject = found.release(&version)?;
        pods = of_workloads(subject.list(cluster).await?, &inputs.workloads);
        if let Some(pod) = pods.iter().find(|pod| !is_ready(pod)) {
            return Err(Failure::new(format!("Pod/{} is not ready", pod.name()), "every pod is to be tested")
                .next("look at its events and its log")
                .into());
        }
        let release = SmokeFor { port: release.port.or(subject.port), ..release.clone() };
        report.merge(run(smoke, &release, &Where::Pods(&pods), cluster, progress).await?);
    }
    if let Some(service) =
        inputs.preview_service.as_ref().filter(|_| !checks_at(smoke, SmokeTarget::Preview).is_empty())
    {
        let at = Where::Preview { service: service.clone(), port: port_of(cluster, service).await? };
        report.merge(run(smoke, &release, &at, cluster, progress).await?);
    }
    if !plan.jobs.is_empty() {
        let jobs = JobsFor { unit: &plan.unit, version: &version, site, timeout: JOB };
        report.merge(run_jobs(&plan.jobs, &jobs, cluster, progress).await?);
    }
    if let Some(url) = smoke.public_url.as_ref().filter(|_| !checks_at(smoke, SmokeTarget::Public).is_empty()) {
        let serves = found.serves(cluster).await?;
        let at = Where::Public { url: url.clone(), serves };
        report.merge(run(smoke, &release, &at, cluster, progress).await?);
    }
    if let Some(check) = report.first_unmade(smoke) {
        let why = format!("\"{}\" has no place to be made", check.text);
        return Err(Failure::new("a smoke check was not made", why)
            .next("give targets, or its place in the line")
            .into());
    }
    if !inputs.log_limits.is_empty() {
        let logs = scan_pods(&pods, &inputs.log_limits, began, cluster).await?;
        logs.table().into_iter().for_each(|line| progress.say(line));
        judge_logs(&logs)?;
    }
    Ok(report)
}

/// Too many lines, or part of them unread: each is none that passes.
fn judge_logs(logs: &LogReport) -> Result<(), Failure> {
    if let Some(row) = logs.first_failure() {
        let why = format!("{}: {} lines, at most {}", row.pattern, row.found, row.at_most);
        let failure = Failure::new("the logs hold what they must not", why);
        return Err(Failure { evidence: row.samples.clone(), ..failure });
    }
    let doubt = logs.doubt(Duration::ZERO).map(|why| Failure::new("whether the logs are good cannot be told", why));
    doubt.map_or(Ok(()), |failure| Err(failure.next("see that the pods run, then run again")))
}

/// The first port of a Service.
async fn port_of(cluster: &Cluster, service: &str) -> Result<String, DeliveryError> {
    let id = cluster.id("v1", "Service", service);
    let object = cluster.get(&id).await?;
    let port = object.as_ref().and_then(|object| object.list("/spec/ports").first()?["port"].as_u64());
    let none =
        || Failure::new(format!("{id} is not there"), "preview-service names it").next("correct preview-service");
    Ok(port.ok_or_else(none)?.to_string())
}
