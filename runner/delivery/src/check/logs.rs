//! Log lines of a release's own pods, counted: each pod by itself, from a given time on.
//!
//! - Readings go on where the last one ended and add up by pod and container, so what a pod wrote counts though the pod is
//!   gone since, or was started again.
//! - What could not be read is told ([`LogReport::doubt`]); it is never taken for a log without such lines.

mod tally;

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use regex_automata::nfa::thompson::pikevm::PikeVM;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::subject::Subject;
use crate::Object;
use crate::cluster::{Cluster, ClusterError, LogCall, Since};
use crate::inputs::MeasureKnobs;
use crate::inputs::measure::NoData;
use crate::inputs::smoke::LogLimit;
use tally::{Mark, Tally};

/// Logs that are read at the same time.
const AT_ONCE: usize = 4;
/// So much of a log is asked for at once; where there is more, it is asked again.
const BYTES: u32 = 16 << 20;
/// So many lines are shown of a pattern.
const SAMPLES: usize = 5;
/// Longest line that is shown.
const LINE: usize = 300;

/// What logs held.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogReport {
    /// A row for each pattern.
    pub rows: Vec<LogRow>,
    /// How many pods there were at the last reading.
    pub pods: usize,
    /// What could not be read.
    pub gaps: Vec<LogGap>,
}

/// How often a pattern was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRow {
    /// The pattern.
    pub pattern: String,
    /// More lines fail.
    pub at_most: u32,
    /// Lines that match, over all pods.
    pub found: u32,
    /// The first of them, each with its pod.
    pub samples: Vec<String>,
}

/// Part of a log that nobody could read: rotated away, of a run that is gone, or too much at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogGap {
    /// Pod and container: `shop-1 app`.
    pub container: String,
    /// The last line before it.
    pub from: Timestamp,
    /// The first line after it.
    pub until: Timestamp,
}

impl LogReport {
    /// The first pattern found too often.
    pub fn first_failure(&self) -> Option<&LogRow> {
        self.rows.iter().find(|row| row.found > row.at_most)
    }

    /// Why the logs do not say that all is well: there was no pod, or more than `allowed` of a log could not be read.
    pub fn doubt(&self, allowed: Duration) -> Option<String> {
        if self.pods == 0 {
            return Some("there is no pod whose log could be read".to_owned());
        }
        let allowed = jiff::SignedDuration::try_from(allowed).unwrap_or(jiff::SignedDuration::MAX);
        let gap = self.gaps.iter().find(|gap| gap.until.duration_since(gap.from) > allowed)?;
        let (from, until) = (gap.from.strftime("%H:%M:%S%.3f"), gap.until.strftime("%H:%M:%S%.3f"));
        Some(format!("the log of {} could not be read from {from} to {until}", gap.container))
    }

    /// `ERROR: 3 lines, at most 5`
    pub fn table(&self) -> Vec<String> {
        self.rows.iter().map(|row| format!("{}: {} lines, at most {}", row.pattern, row.found, row.at_most)).collect()
    }
}

/// How much of a log may be unread where signals may have no data.
pub(super) fn allowed(knobs: &MeasureKnobs) -> Duration {
    match knobs.no_data {
        NoData::Wait => *knobs.no_data_timeout,
        NoData::Fail => Duration::ZERO,
        NoData::Pass => Duration::MAX,
    }
}

/// Counts lines in the logs that a release's pods wrote since a time, those before a container's restart included.
///
/// # Errors
/// A log cannot be read. That a container has written nothing yet is none.
pub async fn scan(
    subject: &Subject,
    limits: &[LogLimit],
    since: Timestamp,
    cluster: &Cluster,
) -> Result<LogReport, ClusterError> {
    let pods = subject.list(cluster).await?;
    scan_pods(&pods, limits, since, cluster).await
}

pub(super) async fn scan_pods(
    pods: &[Object],
    limits: &[LogLimit],
    since: Timestamp,
    cluster: &Cluster,
) -> Result<LogReport, ClusterError> {
    let mut scan = LogScan::new(limits, since);
    scan.read(pods, cluster).await?;
    Ok(scan.count.report)
}

/// Logs that are read again and again. What it knows can be kept and gone on with ([`LogCount`]).
pub(super) struct LogScan {
    patterns: Vec<Option<PikeVM>>,
    since: Timestamp,
    pub(super) count: LogCount,
}

/// What was counted so far, and how far each log was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LogCount {
    pub(super) report: LogReport,
    /// By the pod's UID and the container's name.
    marks: BTreeMap<String, Mark>,
}

impl LogScan {
    pub(super) fn new(limits: &[LogLimit], since: Timestamp) -> Self {
        let row = |limit: &LogLimit| LogRow {
            pattern: limit.pattern.clone(),
            at_most: limit.at_most,
            found: 0,
            samples: Vec::new(),
        };
        // Patterns were read with the step; one that is none could match nothing.
        let patterns = limits.iter().map(|limit| PikeVM::new(&limit.pattern).ok()).collect();
        let report = LogReport { rows: limits.iter().map(row).collect(), ..LogReport::default() };
        Self { patterns, since, count: LogCount { report, marks: BTreeMap::new() } }
    }

    /// Reads what was written since the last reading, and adds it up. May be dropped and called again.
    ///
    /// # Errors
    /// A log cannot be read; what was read before that counts.
    pub(super) async fn read(&mut self, pods: &[Object], cluster: &Cluster) -> Result<(), ClusterError> {
        self.count.report.pods = pods.len();
        if self.patterns.is_empty() {
            return Ok(());
        }
        let (patterns, since) = (self.patterns.as_slice(), self.since);
        let calls = pods.iter().flat_map(containers).map(|container| {
            let mark = self.count.marks.get(&container.key()).copied();
            async move { (container.key(), container.read(mark, since, patterns, cluster).await) }
        });
        let mut logs = stream::iter(calls.collect::<Vec<_>>()).buffered(AT_ONCE);
        while let Some((key, tally)) = logs.next().await {
            match tally {
                Ok(tally) => self.count.add(key, tally),
                // It went since the list was made.
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl LogCount {
    fn add(&mut self, key: String, tally: Tally<'_>) {
        self.marks.insert(key, tally.mark);
        self.report.gaps.extend(tally.gaps);
        for (row, (found, samples)) in self.report.rows.iter_mut().zip(tally.hits) {
            row.found = row.found.saturating_add(found);
            row.samples.extend(samples);
            row.samples.truncate(SAMPLES);
        }
    }
}

/// A container of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Container {
    pod: String,
    uid: String,
    name: String,
    restarts: i64,
    /// When the run before this one began and ended.
    before: Option<(Timestamp, Timestamp)>,
}

fn containers(pod: &Object) -> impl Iterator<Item = Container> {
    pod.list("/status/containerStatuses").iter().filter_map(|status| {
        let time = |key: &str| status.pointer("/lastState/terminated")?[key].as_str()?.parse().ok();
        Some(Container {
            pod: pod.name().to_owned(),
            uid: pod.uid().to_owned(),
            name: status.get("name").and_then(Value::as_str)?.to_owned(),
            restarts: status["restartCount"].as_i64().unwrap_or(0),
            before: time("startedAt").zip(time("finishedAt")),
        })
    })
}

impl Container {
    fn key(&self) -> String {
        format!("{} {}", self.uid, self.name)
    }

    /// Reads on from the mark: the run before this one to its end, where it was not read to its end, and this one. Of runs
    /// before those the cluster keeps no log.
    async fn read<'p>(
        &self,
        mark: Option<Mark>,
        since: Timestamp,
        patterns: &'p [Option<PikeVM>],
        cluster: &Cluster,
    ) -> Result<Tally<'p>, ClusterError> {
        let name = format!("{} {}", self.pod, self.name);
        let mut tally = Tally::new(&name, patterns, mark.unwrap_or(Mark { restarts: 0, at: since, lines: 0 }));
        if tally.mark.restarts < self.restarts {
            if let Some((began, _)) = self.before.filter(|_| tally.mark.restarts + 1 < self.restarts) {
                tally.miss(began);
            }
            tally.turn_to(self.restarts - 1);
            self.read_run(&mut tally, true, cluster).await?;
            tally.turn_to(self.restarts);
        }
        self.read_run(&mut tally, false, cluster).await?;
        Ok(tally)
    }

    async fn read_run(&self, tally: &mut Tally<'_>, previous: bool, cluster: &Cluster) -> Result<(), ClusterError> {
        loop {
            let call = LogCall {
                container: Some(self.name.clone()),
                since: Since::Time(tally.mark.at),
                lines: None,
                bytes: BYTES,
                previous,
                timestamps: true,
            };
            let log = cluster.logs(&self.pod, &call).await?;
            if let Some((_, ended)) = self.before.filter(|_| previous && log.none.is_some()) {
                tally.miss(ended);
            }
            let new = tally.take(&log.text, log.cut, previous);
            match (log.cut, new) {
                (false, _) => return Ok(()),
                (true, true) => {}
                (true, false) => tally.skip(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use serde_json::json;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn readings_add_up_over_pods_that_are_gone_since() {
        let limits = [LogLimit::parse("ERROR at most 2").unwrap(), LogLimit::parse("OutOfMemory").unwrap()];
        let mut scan = LogScan::new(&limits, at(10));
        let mut read = |pod: &str, text: &str| {
            let mark = scan.count.marks.get(pod).copied().unwrap_or(Mark { restarts: 0, at: at(10), lines: 0 });
            let mut tally = Tally::new(pod, &scan.patterns, mark);
            tally.take(text, false, false);
            scan.count.add(pod.to_owned(), tally);
            scan.count.report.clone()
        };
        let [first, second] = [at(11), at(12)];
        let report = read("a app", &format!("{first} ok\n{first} ERROR one ERROR\n{first} ok\n"));
        assert_eq!(report.rows[0].found, 1);
        assert_eq!(read("b app", &format!("{first} ERROR two\n")).first_failure(), None);
        let report = read("b app", &format!("{first} ERROR two\n{second} ERROR three\n"));
        assert_eq!(report.first_failure().unwrap().samples[0], "a app: ERROR one ERROR");
        assert_eq!(report.table(), ["ERROR: 3 lines, at most 2", "OutOfMemory: 0 lines, at most 0"]);
    }

    #[test]
    fn no_pod_and_a_log_that_could_not_be_read_are_doubts() {
        let gap = LogGap { container: "a app".to_owned(), from: at(60), until: at(90) };
        let report = LogReport { pods: 1, gaps: vec![gap], ..LogReport::default() };
        let said = report.doubt(Duration::ZERO);
        assert_eq!(said.as_deref(), Some("the log of a app could not be read from 00:01:00.000 to 00:01:30.000"));
        assert_eq!(report.doubt(Duration::from_secs(30)), None);
        let none = LogReport { pods: 0, ..LogReport::default() };
        assert_eq!(none.doubt(Duration::MAX).as_deref(), Some("there is no pod whose log could be read"));
    }

    #[test]
    fn what_is_known_can_be_kept() {
        let mut scan = LogScan::new(&[LogLimit::parse("ERROR").unwrap()], at(10));
        let mut tally = Tally::new("a app", &scan.patterns, Mark { restarts: 0, at: at(10), lines: 0 });
        let later = at(11).saturating_add(SignedDuration::from_nanos(7)).unwrap();
        tally.take(&format!("{later} ERROR\n"), false, false);
        scan.count.add("u app".to_owned(), tally);
        let kept = serde_json::to_value(&scan.count).unwrap();
        assert_eq!(serde_json::from_value::<LogCount>(kept).unwrap(), scan.count);
    }

    #[test]
    fn a_container_is_known_by_its_pod_and_with_its_run_before() {
        let pod = Object(json!({"metadata": {"name": "a", "uid": "u"}, "status": {"containerStatuses": [
            {"name": "app", "restartCount": 2, "lastState": {"terminated":
                {"startedAt": "1970-01-01T00:00:10Z", "finishedAt": "1970-01-01T00:00:20Z"}}},
            {"name": "side", "restartCount": 0},
        ]}}));
        let found: Vec<_> = containers(&pod).map(|one| (one.key(), one.restarts, one.before)).collect();
        assert_eq!(found, [("u app".to_owned(), 2, Some((at(10), at(20)))), ("u side".to_owned(), 0, None)]);
    }
}
