//! `tagline/analyse`: checks that must hold, look after look, before against after.
//!
//! - A look is good where every check holds, bad where one does not, and else says nothing.
//! - It ends well after `count` good looks, badly after more than `failure-limit` bad ones. Bad looks do not count as good.
//! - Looks that say nothing are made again until `no-data-timeout`; then it is inconclusive, and the step's `inconclusive` says
//!   what follows. It never passes by itself.

pub mod action;
mod judge;
mod report;
mod store;

use jiff::Timestamp;

use super::flock::Flock;
use super::logs::{allowed, scan_pods};
use super::look::Look;
use super::measure::{Baseline, Meter, Pods, add, signed};
use super::subject::Subject;
use crate::cluster::Cluster;
use crate::inputs::AnalyseInputs;
use crate::inputs::measure::NoData;
use crate::inputs::signal::Signal;
use crate::{Object, Progress, Stop};

pub use report::{AnalyseReport, Mark, Outcome, Row};
pub use store::{STORED, load, save};

/// The signals of the checks, each once.
pub fn signals(inputs: &AnalyseInputs) -> Vec<&Signal> {
    let mut signals = Vec::new();
    for check in &inputs.checks {
        if !signals.contains(&&check.holds.signal) {
            signals.push(&check.holds.signal);
        }
    }
    signals
}

/// Analyses a release that has traffic since `since`. Says the table.
///
/// # Errors
/// The action is to end.
pub async fn run(
    inputs: &AnalyseInputs,
    subject: &Subject,
    since: Timestamp,
    baseline: Option<Baseline>,
    cluster: &Cluster,
    progress: &dyn Progress,
) -> Result<AnalyseReport, Stop> {
    let knobs = &inputs.measure;
    let mut flock = Flock::new(subject, &cluster.with_patience(*knobs.interval * 2));
    let mut meter = Meter::new(knobs, signals(inputs), subject, subject.port, cluster);
    let began = progress.now();
    let mut tally = Tally { inputs, good: 0, bad: 0, unknown: 0, unknown_since: None };
    let mut unscraped = meter.scrapes();
    let mut next = if unscraped { began } else { add(began, *inputs.initial_delay) };
    let report = loop {
        let now = progress.now();
        if now < next || !flock.is_settled() {
            let wait = next.duration_since(now).try_into().unwrap_or_default();
            tokio::select! {
                biased;
                stop = progress.stopped() => return Err(stop),
                () = flock.change() => {}
                () = progress.sleep(wait), if now < next => {}
            }
            continue;
        }
        let pods = flock.pods();
        let from = now.checked_sub(signed(*knobs.window)).unwrap_or(now).max(since.min(now));
        let readings = tokio::select! {
            biased;
            stop = progress.stopped() => return Err(stop),
            readings = meter.look(known(&pods), from, now) => readings,
        };
        if std::mem::replace(&mut unscraped, false) {
            next = add(now, (*inputs.initial_delay).max(*knobs.interval));
            continue;
        }
        let look = Look { at: now, readings };
        let rows: Vec<Row> = inputs.checks.iter().map(|check| judge::row(check, &look, baseline.as_ref())).collect();
        // Rates reach further back with every look until the window is full.
        let full = now >= add(meter.since(since), *knobs.window);
        if let Some((outcome, why)) = tally.take(&rows, now, full) {
            let looks = [tally.good, tally.bad, tally.unknown];
            let version = subject.version.clone();
            break AnalyseReport { version, outcome, why, rows, looks, baseline, logs: None };
        }
        next = add(now, *knobs.interval);
    };
    let report = with_logs(report, inputs, flock.pods(), since, cluster, progress).await?;
    report.table().into_iter().for_each(|line| progress.say(line));
    Ok(report)
}

fn known(pods: &Result<Vec<Object>, String>) -> Pods<'_> {
    match pods {
        Ok(pods) => Pods::Now(pods),
        Err(why) => Pods::Unknown(why),
    }
}

/// The log lines, where limits are set.
async fn with_logs(
    mut report: AnalyseReport,
    inputs: &AnalyseInputs,
    pods: Result<Vec<Object>, String>,
    since: Timestamp,
    cluster: &Cluster,
    progress: &dyn Progress,
) -> Result<AnalyseReport, Stop> {
    let limits = &inputs.measure.log_limits;
    if limits.is_empty() {
        return Ok(report);
    }
    let pods = pods.unwrap_or_default();
    let scanned = tokio::select! {
        biased;
        stop = progress.stopped() => return Err(stop),
        scanned = scan_pods(&pods, limits, since, cluster) => scanned,
    };
    match scanned {
        Ok(logs) => {
            if let Some(row) = logs.first_failure() {
                report.outcome = Outcome::Failed;
                report.why = format!("{}: {} lines in the logs, at most {}", row.pattern, row.found, row.at_most);
            } else if let Some(why) = logs.doubt(allowed(&inputs.measure)).filter(|_| report.outcome == Outcome::Passed)
            {
                (report.outcome, report.why) = (Outcome::Inconclusive, why);
            }
            report.logs = Some(logs);
        }
        Err(error) if report.outcome == Outcome::Passed => {
            report.outcome = Outcome::Inconclusive;
            report.why = format!("the logs could not be read: {error}");
        }
        Err(_) => {}
    }
    Ok(report)
}

/// Looks so far.
struct Tally<'a> {
    inputs: &'a AnalyseInputs,
    good: u32,
    bad: u32,
    unknown: u32,
    unknown_since: Option<Timestamp>,
}

impl Tally<'_> {
    /// The verdict, where these rows decide.
    fn take(&mut self, rows: &[Row], now: Timestamp, full: bool) -> Option<(Outcome, String)> {
        let knobs = &self.inputs.measure;
        let line = |row: &Row| format!("{} is {}: {}", row.signal, row.after, row.why);
        if let Some(row) = rows.iter().find(|row| row.mark == Mark::Failed) {
            (self.bad, self.unknown_since) = (self.bad + 1, None);
            return (self.bad > self.inputs.failure_limit).then(|| (Outcome::Failed, line(row)));
        }
        let unknown = rows.iter().find(|row| matches!(row.mark, Mark::Inconclusive { .. }));
        if let Some(row) = unknown.filter(|_| knobs.no_data != NoData::Pass) {
            self.unknown += 1;
            let since = *self.unknown_since.get_or_insert(now);
            let few = rows.iter().any(|row| row.mark == Mark::Inconclusive { few: true });
            let waits = knobs.no_data == NoData::Wait && now < add(since, *knobs.no_data_timeout) || few && !full;
            return (!waits).then(|| (Outcome::Inconclusive, format!("{}: {}", row.check, row.why)));
        }
        (self.good, self.unknown_since) = (self.good + 1, None);
        (self.good >= self.inputs.count).then_some((Outcome::Passed, String::new()))
    }
}
