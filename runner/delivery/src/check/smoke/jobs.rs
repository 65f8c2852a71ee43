//! Jobs as tests: a Job that completes is a check that is good.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::report::{SmokeError, SmokeReport, SmokeRow};
use crate::check::job::{JobEnd, JobError, JobLimits, JobMarks, named, run};
use crate::cluster::Cluster;
use crate::inputs::{ImageInput, JobSource};
use crate::render::images;
use crate::{Object, Progress, Site};

/// For whom Jobs are run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobsFor {
    /// The unit.
    pub unit: String,
    /// The release's version.
    pub version: String,
    /// The run's number.
    pub run: u64,
    /// The job's attempt, from 1.
    pub attempt: u32,
    /// The step's number: two steps of a run may run the same Job.
    pub step: u32,
    /// Of each Job.
    pub timeout: Duration,
}

/// At most so many bytes of a Job's log are kept.
const LOG: u32 = 1 << 20;
/// Longest name of a Job whose pods can bear it as a label.
const NAME: usize = 63;

/// Runs Jobs one after the other, made from these manifests of Jobs or CronJobs with their images set. Logs are kept as
/// files of evidence.
///
/// # Errors
/// [`SmokeError::Failed`] after the first that fails; it is to end.
pub async fn run_jobs(
    templates: &[Object],
    release: &JobsFor,
    cluster: &Cluster,
    progress: &dyn Progress,
) -> Result<SmokeReport, SmokeError> {
    let mut report = SmokeReport::default();
    let marks = JobMarks {
        unit: release.unit.clone(),
        version: release.version.clone(),
        run: release.run,
        attempt: release.attempt,
    };
    for template in templates {
        let name = name(template.name(), release);
        let job = named(template, &name, &marks).map_err(|failure| SmokeError::Refused(failure.to_string()))?;
        let limits = JobLimits { timeout: release.timeout, log_bytes: LOG };
        let end = run(&job, &limits, cluster, progress).await.map_err(smoke_error)?;
        if !end.logs.is_empty() {
            progress.keep(format!("{name}.log"), end.logs.clone().into_bytes()).await?;
        }
        report.rows.push(row(&name, template.name(), &end));
        if !end.succeeded {
            end.logs.lines().rev().take(20).collect::<Vec<_>>().into_iter().rev().for_each(|line| {
                progress.say(format!("{name}: {line}"));
            });
            break;
        }
    }
    report.table().into_iter().for_each(|line| progress.say(line));
    if report.passed() { Ok(report) } else { Err(SmokeError::Failed(report)) }
}

/// The manifests of Jobs: files of the repository, CronJobs of the manifests (`rendered`) or of the cluster. Images are set,
/// and each must be a digest that the step gives or the run built.
///
/// # Errors
/// Everything that is wrong, a line each.
pub async fn templates(
    sources: &[JobSource],
    site: &Site,
    rendered: &[Object],
    images: &[ImageInput],
    cluster: &Cluster,
) -> Result<Vec<Object>, Vec<String>> {
    let (mut found, mut problems) = (Vec::new(), Vec::new());
    for source in sources {
        match template(source, site, rendered, cluster).await {
            Ok(object) => found.push(object),
            Err(why) => problems.push(format!("{source}: {why}")),
        }
    }
    if problems.is_empty() {
        // An image that another manifest names is none of these Jobs' business.
        images::replace(&mut found, images);
        problems = images::check(&found, images, &site.built);
    }
    if problems.is_empty() { Ok(found) } else { Err(problems) }
}

async fn template(source: &JobSource, site: &Site, rendered: &[Object], cluster: &Cluster) -> Result<Object, String> {
    match source {
        JobSource::CronJob(name) => {
            let own = rendered.iter().find(|object| object.kind() == "CronJob" && object.name() == name);
            match own {
                Some(own) => Ok(own.clone()),
                None => match cluster.get(&cluster.id("batch/v1", "CronJob", name)).await {
                    Ok(Some(there)) => Ok(there),
                    Ok(None) => Err(format!("neither the manifests nor {} have it", cluster.target())),
                    Err(error) => Err(error.to_string()),
                },
            }
        }
        JobSource::Manifest(path) => {
            let text = std::fs::read_to_string(site.tree.join(path)).map_err(|error| error.to_string())?;
            let documents = serde_yaml::Deserializer::from_str(&text);
            let mut jobs = Vec::new();
            for document in documents {
                let object = Object(Value::deserialize(document).map_err(|error| error.to_string())?);
                if ["Job", "CronJob"].contains(&object.kind()) {
                    jobs.push(object);
                }
            }
            match <[Object; 1]>::try_from(jobs) {
                Ok([job]) => Ok(job),
                Err(jobs) => Err(format!("it has {} Jobs, and must have one", jobs.len())),
            }
        }
    }
}

/// `smoke-run7-1-3`: of run, attempt and step.
fn name(template: &str, release: &JobsFor) -> String {
    let end = format!("-run{}-{}-{}", release.run, release.attempt, release.step);
    let mut name = template.replace('.', "-");
    name.truncate(NAME.saturating_sub(end.len()));
    format!("{}{end}", name.trim_end_matches('-'))
}

fn row(name: &str, template: &str, end: &JobEnd) -> SmokeRow {
    let last = end.logs.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let why = match (end.succeeded, last.is_empty()) {
        (true, _) => String::new(),
        (false, true) => end.why.clone(),
        (false, false) => format!("{}: {last}", end.why),
    };
    SmokeRow {
        place: format!("Job/{name}"),
        check: template.to_owned(),
        passed: end.succeeded,
        status: None,
        took_ms: u64::try_from(end.took.as_millis()).unwrap_or(u64::MAX),
        attempts: 1,
        why,
    }
}

fn smoke_error(error: JobError) -> SmokeError {
    match error {
        JobError::Cluster(error) => error.into(),
        JobError::Stopped(stop) => stop.into(),
        other => SmokeError::Refused(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_of_run_attempt_and_step_and_fit_a_label() {
        let release = JobsFor {
            unit: "shop".to_owned(),
            version: "1.2.3".to_owned(),
            run: 12,
            attempt: 2,
            step: 3,
            timeout: Duration::ZERO,
        };
        assert_eq!(name("smoke", &release), "smoke-run12-2-3");
        let long = name(&"a".repeat(80), &release);
        assert!(long.len() == 63 && long.ends_with("-run12-2-3"), "{long}");
    }
}
