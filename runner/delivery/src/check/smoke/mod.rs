//! Smoke checks: what every pod of a release, its preview Service and at last its public address must answer.
//!
//! - Pods are asked one by one through the API server, so that no pod is left out and none answers for another.
//! - The version is compared with the release's. An answer of another version is a failure.
//! - The public address is not asked before the switch: it would answer for the release before.
//! - A check that was made nowhere is not good.

pub mod action;
mod jobs;
mod judge;
mod report;
mod request;

use futures_util::{StreamExt, stream};

use super::subject::{is_of_workload, port_of};
use super::web::Web;
use crate::cluster::Cluster;
use crate::inputs::smoke::{SmokeCheck, SmokeInputs, SmokeTarget};
use crate::{Object, Progress};

pub use jobs::{JobsFor, run_jobs, templates};
pub use report::{SmokeError, SmokeReport, SmokeRow};
use request::{Place, Request};

/// Pods that are asked at the same time.
const AT_ONCE: usize = 8;

/// For which release checks are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmokeFor {
    /// Its version: what `version` expects.
    pub version: String,
    /// The pods' port, where the checks say none.
    pub port: Option<u16>,
}

/// Where checks are made.
#[derive(Debug, Clone)]
pub enum Where<'a> {
    /// On each of these pods.
    Pods(&'a [Object]),
    /// Through a Service that selects the new release only.
    Preview {
        /// Its name.
        service: String,
        /// Its port, by number or name.
        port: String,
    },
    /// At the address that users use.
    Public {
        /// `https://shop.example`
        url: String,
        /// The version that the Service selects now.
        serves: String,
    },
}

impl Where<'_> {
    const fn target(&self) -> SmokeTarget {
        match self {
            Self::Pods(_) => SmokeTarget::AllPods,
            Self::Preview { .. } => SmokeTarget::Preview,
            Self::Public { .. } => SmokeTarget::Public,
        }
    }
}

/// The checks that are made at a kind of place.
pub fn checks_at(inputs: &SmokeInputs, target: SmokeTarget) -> Vec<&SmokeCheck> {
    let there = |check: &&SmokeCheck| match check.target {
        Some(own) => own == target,
        None => inputs.targets.contains(&target),
    };
    inputs.checks.iter().filter(there).collect()
}

/// The first check that is made at this kind of place and nowhere else.
pub fn only_at(inputs: &SmokeInputs, target: SmokeTarget) -> Option<&SmokeCheck> {
    let only = |check: &&SmokeCheck| match check.target {
        Some(own) => own == target,
        None => inputs.targets.iter().all(|other| *other == target),
    };
    inputs.checks.iter().find(only)
}

/// Makes all checks of a place, each up to `attempts` times. Says the table.
///
/// # Errors
/// [`SmokeError::Failed`] with everything found where one is not good; [`SmokeError::Refused`] where the public address
/// would answer for another release, or there is no pod.
pub async fn run(
    inputs: &SmokeInputs,
    release: &SmokeFor,
    at: &Where<'_>,
    cluster: &Cluster,
    progress: &dyn Progress,
) -> Result<SmokeReport, SmokeError> {
    let checks = checks_at(inputs, at.target());
    if checks.is_empty() {
        return Ok(SmokeReport::default());
    }
    let web = Web::new(false).map_err(SmokeError::Refused)?;
    let request = Request { inputs, version: &release.version, cluster, web: &web, progress };
    let rows = match at {
        Where::Pods(pods) => on_pods(&request, &checks, pods, inputs.port.or(release.port)).await?,
        Where::Preview { service, port } => {
            request.all(&checks, &Place::Service { name: service.clone(), port: port.clone() }).await?
        }
        Where::Public { serves, .. } if *serves != release.version => {
            return Err(SmokeError::Refused(format!("public before the switch would test {serves}")));
        }
        Where::Public { url, .. } => request.all(&checks, &Place::Public(url.clone())).await?,
    };
    let report = SmokeReport { rows };
    report.table().into_iter().for_each(|line| progress.say(line));
    if report.passed() { Ok(report) } else { Err(SmokeError::Failed(report)) }
}

/// Every check on every pod it is for; one that is for a workload without pods fails.
async fn on_pods(
    request: &Request<'_>,
    checks: &[&SmokeCheck],
    pods: &[Object],
    port: Option<u16>,
) -> Result<Vec<SmokeRow>, SmokeError> {
    let of = |check: &SmokeCheck, pod: &Object| check.workload.as_ref().is_none_or(|name| is_of_workload(pod, name));
    let mut rows = Vec::new();
    for check in checks.iter().filter(|check| !pods.iter().any(|pod| of(check, pod))) {
        let place = check.workload.as_ref().map_or("Pods".to_owned(), |name| format!("Pods of {name}"));
        rows.push(SmokeRow::without_answer(&place, check, 0, "there is no pod to test".to_owned()));
    }
    let asked = pods.iter().map(|pod| {
        let place = Place::Pod { name: pod.name().to_owned(), port: port_of(pod, port) };
        let checks: Vec<&SmokeCheck> = checks.iter().filter(|check| of(check, pod)).copied().collect();
        async move { request.all(&checks, &place).await }
    });
    let mut answers = stream::iter(asked.collect::<Vec<_>>()).buffered(AT_ONCE);
    while let Some(answer) = answers.next().await {
        rows.extend(answer?);
    }
    Ok(rows)
}
