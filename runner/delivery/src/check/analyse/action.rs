//! `tagline/analyse` as a step of its own: the release of this run, under traffic.

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::{AnalyseReport, Outcome, load, run, save, signals};
use crate::check::find::Found;
use crate::check::measure::{Baseline as Measured, baseline, past, preflight};
use crate::check::subject::Subject;
use crate::cluster::Cluster;
use crate::inputs::AnalyseInputs;
use crate::inputs::analyse::Baseline;
use crate::{DeliveryError, Failure, PlanError, Progress, Site};

/// The key of a baseline that `baseline: record` stored.
const STORED: &str = "stored";

/// What is analysed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AnalysePlan {
    /// The unit.
    pub unit: String,
    /// The version.
    pub version: String,
    /// The step's inputs.
    pub inputs: AnalyseInputs,
}

impl AnalysePlan {
    /// In lines for people.
    pub fn summary(&self) -> Vec<String> {
        let what = match self.inputs.baseline {
            Baseline::Record => "record the signals of",
            Baseline::Before | Baseline::Stored => "analyse",
        };
        let mut lines = vec![format!("{what} {} of unit {}", self.version, self.unit)];
        lines.extend(self.inputs.checks.iter().map(|check| check.text.clone()));
        lines
    }
}

/// What is going to be analysed: the queries are tried, and metrics looked for at the release that is live now.
///
/// # Errors
/// What [`preflight`] finds.
pub async fn plan(
    site: &Site,
    inputs: &AnalyseInputs,
    cluster: &Cluster,
    now: jiff::Timestamp,
) -> Result<AnalysePlan, PlanError> {
    preflight(&inputs.measure, &signals(inputs), None, cluster, now).await?;
    let unit = inputs.name.clone().unwrap_or_else(|| site.repository.clone());
    if inputs.baseline == Baseline::Stored && load(cluster, &unit, STORED).await?.is_none() {
        let why = format!("none is stored for {}", site.environment);
        return Err(Failure::new("there is no baseline to compare with", why)
            .next("run a step with `baseline: record` first, or use `baseline: before`")
            .into());
    }
    Ok(AnalysePlan { unit, version: site.version.clone(), inputs: inputs.clone() })
}

/// Analyses, or records. An inconclusive analysis is an error, as a bad one is; `pause` and `fail` differ in what the caller
/// makes of it.
///
/// # Errors
/// Something does not hold, or nobody can say; the release is not there; it is to end.
pub async fn apply(
    plan: &AnalysePlan,
    cluster: &Cluster,
    progress: &dyn Progress,
) -> Result<Option<AnalyseReport>, DeliveryError> {
    let inputs = &plan.inputs;
    let found = Found::read(cluster, &plan.unit, None).await?;
    let mut subject = found.release(&plan.version)?;
    restrict(&mut subject, inputs);
    if inputs.baseline == Baseline::Record {
        let measured = baseline(&inputs.measure, &signals(inputs), &subject, cluster, progress).await?;
        refuse_missing(&measured)?;
        save(cluster, &plan.unit, STORED, &measured).await?;
        progress.say(format!("stored as the baseline of {}", plan.unit));
        return Ok(None);
    }
    let pods = subject.list(cluster).await?;
    let since = found.since(&pods).unwrap_or_else(|| progress.now());
    let before = match inputs.baseline {
        Baseline::Stored => load(cluster, &plan.unit, STORED).await?,
        _ => match load(cluster, &plan.unit, &subject.release).await? {
            Some(measured) => Some(measured),
            None if inputs.measure.prometheus.is_some() => {
                let at = since.checked_sub(SignedDuration::from_secs(1)).unwrap_or(since);
                Some(past(&inputs.measure, &signals(inputs), &found.before(&subject), at, cluster).await)
            }
            None => None,
        },
    };
    let report = run(inputs, &subject, since, before, cluster, progress).await?;
    let failure = match report.outcome {
        Outcome::Passed => return Ok(Some(report)),
        Outcome::Failed => Failure::new("the analysis failed", report.why.clone()),
        Outcome::Inconclusive => Failure::new("the analysis is inconclusive", report.why.clone())
            .next("see that the release is measured and has traffic, then run again"),
    };
    Err(Failure { evidence: report.table(), ..failure }.into())
}

/// Only the pods of some workloads.
fn restrict(subject: &mut Subject, inputs: &AnalyseInputs) {
    if inputs.workloads.is_empty() {
        return;
    }
    let own = subject.pods.clone();
    subject.pods = inputs
        .workloads
        .iter()
        .flat_map(|workload| {
            own.iter().cloned().map(|mut labels| {
                labels.insert(crate::unit::WORKLOAD.to_owned(), workload.name.clone());
                labels
            })
        })
        .collect();
}

fn refuse_missing(measured: &Measured) -> Result<(), Failure> {
    let Some((signal, why)) = measured.missing.first_key_value() else { return Ok(()) };
    let evidence = measured.missing.iter().map(|(signal, why)| format!("{signal}: {why}")).collect();
    let failure = Failure::new("the baseline has gaps", format!("{signal}: {why}"));
    Err(Failure { evidence, ..failure }.effect("nothing was stored").next("record it while there is traffic"))
}
