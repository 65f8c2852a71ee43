//! Jobs as tests: a Job that completes is a check that is good.

use std::time::Duration;

use super::report::{SmokeError, SmokeReport, SmokeRow};
use crate::cluster::{Cluster, ClusterError, Labels};
use crate::inputs::{ImageInput, JobSource};
use crate::job::{self, JobPlan, Outcome, Scope, Work};
use crate::render::images;
use crate::{Object, Progress, Site};

/// For whom Jobs are run.
#[derive(Debug, Clone, Copy)]
pub struct JobsFor<'a> {
    /// The unit.
    pub unit: &'a str,
    /// The version that is tested; not always the run's own.
    pub version: &'a str,
    /// The step: an engine that comes after another goes on with its Job, another attempt has Jobs of its own.
    pub site: &'a Site,
    /// Of each Job, from its making; then it is removed.
    pub timeout: Duration,
}

/// Runs Jobs one after the other, made from these manifests of Jobs or CronJobs with their images set. What they print is
/// kept as files of evidence.
///
/// # Errors
/// [`SmokeError::Failed`] after the first that fails; it is to end; it is not known how one ended.
pub async fn run_jobs(
    templates: &[Object],
    release: &JobsFor<'_>,
    cluster: &Cluster,
    progress: &dyn Progress,
) -> Result<SmokeReport, SmokeError> {
    let mut report = SmokeReport::default();
    let site = Site { version: release.version.to_owned(), ..release.site.clone() };
    for template in templates {
        let plan = JobPlan::as_written(template, &site.target.namespace, release.timeout);
        let work = Work {
            plan: &plan.map_err(SmokeError::Refused)?,
            purpose: "smoke",
            unit: release.unit,
            scope: Scope::Step,
            retries: 0,
            timeout: release.timeout,
        };
        let outcome = job::outcome(cluster, &site, &work, progress).await?;
        report.rows.push(row(template.name(), outcome));
        if !report.passed() {
            break;
        }
    }
    report.table().into_iter().for_each(|line| progress.say(line));
    if report.passed() { Ok(report) } else { Err(SmokeError::Failed(report)) }
}

/// The manifests of Jobs: files of the repository, CronJobs of the manifests (`rendered`) or of the cluster. Images are set,
/// and each must be a digest that the step gives or the run built. In the inner result everything that is wrong with them, a
/// line each.
///
/// # Errors
/// Those of reaching the cluster, and a missing right.
pub async fn templates(
    sources: &[JobSource],
    site: &Site,
    rendered: &[Object],
    images: &[ImageInput],
    cluster: &Cluster,
) -> Result<Result<Vec<Object>, Vec<String>>, ClusterError> {
    let (mut found, mut problems) = (Vec::new(), Vec::new());
    for source in sources {
        match template(source, site, rendered, cluster).await? {
            Ok(object) => found.push(object),
            Err(why) => problems.push(why),
        }
    }
    if problems.is_empty() {
        // An image that another manifest names is none of these Jobs' business.
        images::replace(&mut found, images);
        problems = images::check(&found, images, &site.built);
        problems.extend(unfit(&found, site, cluster).await?);
    }
    Ok(if problems.is_empty() { Ok(found) } else { Err(problems) })
}

/// One of them; a problem in one line where there is none.
async fn template(
    source: &JobSource,
    site: &Site,
    rendered: &[Object],
    cluster: &Cluster,
) -> Result<Result<Object, String>, ClusterError> {
    if let JobSource::CronJob(name) = source {
        let own = rendered.iter().find(|object| object.kind() == "CronJob" && object.name() == name);
        if let Some(own) = own {
            return Ok(Ok(own.clone()));
        }
    }
    job::read(cluster, &site.tree, source).await
}

/// Those that no Job can be made of, and those whose pods a Service would send requests to.
async fn unfit(found: &[Object], site: &Site, cluster: &Cluster) -> Result<Vec<String>, ClusterError> {
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let services = cluster.list("v1", "Service", &Labels::new()).await?;
    let problems =
        found.iter().flat_map(|template| match JobPlan::as_written(template, &site.target.namespace, Duration::ZERO) {
            Ok(plan) => job::reached(&services, &plan.object.pod_labels(), &plan.source),
            Err(problem) => vec![problem],
        });
    Ok(problems.collect())
}

fn row(template: &str, outcome: Outcome) -> SmokeRow {
    let (name, passed, took, why, next) = match outcome {
        Outcome::Complete(ended) => (ended.name, true, ended.took, String::new(), String::new()),
        Outcome::Failed(failed) => (failed.name, false, failed.took, failed.why, failed.next),
    };
    SmokeRow {
        place: format!("Job/{name}"),
        check: template.to_owned(),
        passed,
        status: None,
        took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        attempts: 1,
        why,
        next,
    }
}
