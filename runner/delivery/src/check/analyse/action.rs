//! `tagline/analyse` as a step of its own: the release of this run, under traffic.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{AnalyseReport, Outcome, STORED, load, run, save, signals};
use crate::check::find::Found;
use crate::check::measure::{Baseline as Measured, baseline, past, preflight};
use crate::check::subject::Subject;
use crate::cluster::Cluster;
use crate::inputs::AnalyseInputs;
use crate::inputs::analyse::{Baseline, Inconclusive};
use crate::inputs::measure::NoData;
use crate::inputs::signal::Signal;
use crate::progress::Later;
use crate::{DeliveryError, Failure, PlanError, Progress, Site, Stop};

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
    now: Timestamp,
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

/// Analyses, or records. With `inconclusive: pause` it looks on where nobody can say, until somebody can or cancels `run`.
///
/// # Errors
/// Something does not hold; the release is not there; it is to end.
pub async fn apply(
    plan: &AnalysePlan,
    site: &Site,
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
        Baseline::Before | Baseline::Record => before(plan, &found, &subject, since, cluster).await?,
    };
    let analysis = || -> Later<'_, _> { Box::pin(run(inputs, &subject, since, before.clone(), cluster, progress)) };
    let report = settled(inputs, site.run, progress, analysis).await?;
    if report.outcome == Outcome::Passed {
        return Ok(Some(report));
    }
    Err(Failure { evidence: report.table(), ..Failure::new("the analysis failed", report.why.clone()) }.into())
}

/// What the deploy of this release measured before it; what it did not, from Prometheus' past.
async fn before(
    plan: &AnalysePlan,
    found: &Found,
    subject: &Subject,
    since: Timestamp,
    cluster: &Cluster,
) -> Result<Option<Measured>, DeliveryError> {
    let measured = load(cluster, &plan.unit, &subject.release).await?;
    let knobs = &plan.inputs.measure;
    let known = |signal: &&Signal| measured.as_ref().is_some_and(|measured| measured.value(signal).is_ok());
    let gaps: Vec<&Signal> = signals(&plan.inputs).into_iter().filter(|signal| !known(signal)).collect();
    if knobs.prometheus.is_none() || gaps.is_empty() {
        return Ok(measured);
    }
    let at = since.checked_sub(SignedDuration::from_secs(1)).unwrap_or(since);
    let past = past(knobs, &gaps, &found.before(subject), at, cluster).await;
    Ok(Some(match measured {
        Some(mut measured) => {
            measured.fill(past);
            measured
        }
        None => past,
    }))
}

/// `inconclusive`: what follows where nobody can say. To pause is to look on: until somebody can, or somebody cancels.
async fn settled<'a>(
    inputs: &AnalyseInputs,
    run: u64,
    progress: &dyn Progress,
    mut analysis: impl FnMut() -> Later<'a, Result<AnalyseReport, Stop>>,
) -> Result<AnalyseReport, Stop> {
    // What has no data is not waited for where that fails.
    let fails = inputs.measure.no_data == NoData::Fail;
    let mut waits = false;
    loop {
        let mut report = analysis().await?;
        if report.outcome == Outcome::Inconclusive {
            match inputs.inconclusive {
                Inconclusive::Pass if !fails => report.answered(Outcome::Passed, "inconclusive, and passed as asked"),
                Inconclusive::Pause if !fails => {
                    if !std::mem::replace(&mut waits, true) {
                        progress.warn(paused(&report.why, run));
                    }
                    tokio::select! {
                        biased;
                        stop = progress.stopped() => return Err(stop),
                        () = progress.sleep(*inputs.measure.interval) => continue,
                    }
                }
                Inconclusive::Pass | Inconclusive::Pause | Inconclusive::Fail => {
                    report.answered(Outcome::Failed, "inconclusive");
                }
            }
        }
        return Ok(report);
    }
}

fn paused(why: &str, run: u64) -> String {
    format!(
        "the analysis is inconclusive: {why}; inconclusive: pause: it looks on until it can tell; to end it: \
         tagline cancel {run}"
    )
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::analyse;
    use crate::testing::Link;

    fn report(outcome: Outcome) -> AnalyseReport {
        let version = "1.2.3".to_owned();
        let why = "p99 < 2s: no requests in 5m".to_owned();
        AnalyseReport { version, outcome, why, rows: Vec::new(), looks: [0, 0, 1], baseline: None, logs: None }
    }

    /// What comes of analyses that end so, one after another.
    async fn settle(lines: &[&str], link: &Link, ends: &[Outcome]) -> (Result<AnalyseReport, Stop>, usize) {
        let mut made = 0;
        let inputs = analyse(lines);
        let analysis = || -> Later<'_, _> {
            made += 1;
            if made == ends.len() {
                link.end(Stop::Cancelled("enough".to_owned()));
            }
            let report = report(ends[made - 1]);
            Box::pin(async { Ok(report) })
        };
        let settled = settled(&inputs, 7, link, analysis).await;
        (settled, made)
    }

    #[tokio::test]
    async fn a_paused_analysis_looks_on_until_it_can_tell() {
        let link = Link::default();
        let ends = [Outcome::Inconclusive, Outcome::Inconclusive, Outcome::Passed, Outcome::Failed];
        let (settled, made) = settle(&["inconclusive: pause"], &link, &ends).await;
        assert_eq!((settled.unwrap().outcome, made), (Outcome::Passed, 3));
        assert_eq!(
            link.said(),
            [
                "warning: the analysis is inconclusive: p99 < 2s: no requests in 5m; inconclusive: pause: it looks on until it \
                 can tell; to end it: tagline cancel 7"
            ]
        );
    }

    #[tokio::test]
    async fn a_paused_analysis_ends_when_it_is_cancelled() {
        let (settled, made) = settle(&[], &Link::default(), &[Outcome::Inconclusive; 2]).await;
        assert_eq!((settled.unwrap_err(), made), (Stop::Cancelled("enough".to_owned()), 2));
    }

    #[tokio::test]
    async fn other_answers_are_given_at_once() {
        for (lines, outcome) in [
            (&["inconclusive: fail"][..], Outcome::Failed),
            (&["inconclusive: pass"], Outcome::Passed),
            (&["inconclusive: pass", "no-data: fail"], Outcome::Failed),
            (&["no-data: fail"], Outcome::Failed),
        ] {
            let (settled, made) = settle(lines, &Link::default(), &[Outcome::Inconclusive; 2]).await;
            let report = settled.unwrap();
            assert_eq!((report.outcome, made), (outcome, 1), "{lines:?}");
            assert!(report.why.starts_with("inconclusive"), "{}", report.why);
        }
    }
}
