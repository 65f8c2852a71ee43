//! The bake: a release that has all traffic is looked at until its watch ends or a rule is broken.
//!
//! - Looks are one `interval` apart, and one more is made at the very moment when a rule under way would be broken: from
//!   there to the verdict it takes one look.
//! - What is known of the rules is noted whenever it changes, and now and then while one holds: an engine that takes over goes
//!   on from there, and one that finds a broken rule says so at once.
//! - A look that cannot say anything is neither good nor bad. Too long without data, or none at the end, is inconclusive;
//!   where no data may pass, a rule that is so long without it is as if it had never held.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::flock::Flock;
use super::health::health;
use super::logs::{LogCount, LogReport, LogScan, allowed};
use super::look::{HEALTH, Look, number};
use super::measure::{Baseline, Meter, Metrics, Pods, add, signed};
use super::rules::{Broken, Doubt, State, Watchman, signals};
use super::subject::Subject;
use crate::cluster::{Cluster, short};
use crate::inputs::measure::NoData;
use crate::inputs::rule::{Condition, Then};
use crate::inputs::{MeasureKnobs, RollbackRule};
use crate::{Failure, Milestone, Progress, Stop};

/// What is watched, and how.
#[derive(Debug, Clone, Copy)]
pub struct Bake<'a> {
    /// What ends it badly, in order.
    pub rules: &'a [RollbackRule],
    /// How signals are measured.
    pub measure: &'a MeasureKnobs,
    /// The path that `health fails` asks; readiness where there is none.
    pub health: Option<&'a str>,
    /// The release.
    pub subject: &'a Subject,
    /// How long.
    pub watch: Duration,
    /// The watch and every `within` count from here.
    pub switched_at: Timestamp,
    /// From here on all traffic is on the release: rates reach back to here and no further.
    pub traffic_since: Timestamp,
    /// What was measured before.
    pub baseline: Option<&'a Baseline>,
    /// The name of the milestone in which looks are noted; empty: nowhere.
    pub note: &'a str,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// No rule was broken, and each was looked at.
    Good(WatchReport),
    /// A rule was broken.
    Bad {
        /// Which: the first in the list.
        broken: Broken,
        /// What was seen.
        report: WatchReport,
    },
    /// Nobody can say.
    Inconclusive {
        /// Why, in one line.
        why: String,
        /// What was seen.
        report: WatchReport,
    },
}

/// What was seen.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct WatchReport {
    /// How many looks.
    pub looks: u32,
    /// From the switch to the last look.
    pub seconds: f64,
    /// A line for each signal: before, last, greatest.
    pub rows: Vec<WatchRow>,
    /// Rules of `then warn` that held.
    pub warnings: Vec<String>,
    /// What logs held, where limits are set.
    pub logs: Option<LogReport>,
    /// What built-in signals were read from.
    #[serde(default)]
    pub metrics: Metrics,
}

/// A signal over the watch, as people read it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchRow {
    /// Its name.
    pub signal: String,
    /// Before the release; empty where it was not measured.
    pub before: String,
    /// At the last look.
    pub last: String,
    /// The greatest value seen.
    pub greatest: String,
}

impl WatchReport {
    /// `error-rate  before 0.1%  now 0.2%  at most 0.4%`
    pub fn table(&self) -> Vec<String> {
        let width = self.rows.iter().map(|row| row.signal.len()).max().unwrap_or_default();
        let line = |row: &WatchRow| {
            let before = if row.before.is_empty() { "-" } else { &row.before };
            format!("{:width$}  before {before}  now {}  at most {}", row.signal, row.last, row.greatest)
        };
        self.rows.iter().map(line).collect()
    }
}

impl Verdict {
    /// What was seen.
    pub const fn report(&self) -> &WatchReport {
        match self {
            Self::Good(report) | Self::Bad { report, .. } | Self::Inconclusive { report, .. } => report,
        }
    }

    /// As people read it, where it is not good; the caller adds what it means for users.
    pub fn failure(&self) -> Option<Failure> {
        match self {
            Self::Good(_) => None,
            Self::Bad { broken, report } => {
                let failure = Failure::new("a rule is broken", broken.text());
                Some(Failure { evidence: report.table(), ..failure })
            }
            Self::Inconclusive { why, report } => {
                let failure = Failure::new("whether the release is good cannot be told", why.clone());
                let failure = failure.next("see that the release is measured and has traffic, then run again");
                Some(Failure { evidence: report.table(), ..failure })
            }
        }
    }
}

/// Watches until a verdict. May be begun again by another engine: it reads its own notes.
///
/// # Errors
/// The action is to end.
pub async fn bake(bake: &Bake<'_>, cluster: &Cluster, progress: &dyn Progress) -> Result<Verdict, Stop> {
    let mut watching = Watching::new(bake, cluster, progress);
    if let Some(verdict) = watching.resume() {
        return Ok(verdict);
    }
    let mut flock = Flock::new(bake.subject, &cluster.with_patience(*bake.measure.interval * 2));
    let end = add(bake.switched_at, bake.watch);
    if bake.rules.is_empty() && bake.measure.log_limits.is_empty() {
        return wait_only(bake, end, progress).await;
    }
    // A rate needs some time to be one.
    let mut next = progress.now();
    if !watching.meter.scrapes() {
        next = add(bake.traffic_since, *bake.measure.interval).min(end).max(next);
    }
    loop {
        let now = progress.now();
        if now >= next && flock.is_settled() {
            // The last look belongs to the watch, though the clock is a little further.
            let decided = !watching.watchman.is_open() && watching.doubts().is_empty();
            let at = if decided { now.min(end).max(bake.switched_at) } else { now };
            let pods = flock.pods();
            let look = tokio::select! {
                biased;
                stop = progress.stopped() => return Err(stop),
                look = watching.look(&pods, at) => look,
            };
            if watching.is_first() {
                next = add(now, *bake.measure.interval);
                continue;
            }
            if let Some(verdict) = watching.judge(&look, now >= end, &pods).await? {
                return Ok(verdict);
            }
            next = watching.next(now, end);
            continue;
        }
        let wait = Duration::try_from(next.duration_since(now)).unwrap_or_default();
        tokio::select! {
            biased;
            stop = progress.stopped() => return Err(stop),
            () = flock.change() => {}
            () = progress.sleep(wait), if now < next => {}
        }
    }
}

/// Nothing is looked at: time passes.
async fn wait_only(bake: &Bake<'_>, end: Timestamp, progress: &dyn Progress) -> Result<Verdict, Stop> {
    let rest = Duration::try_from(end.duration_since(progress.now())).unwrap_or_default();
    tokio::select! {
        biased;
        stop = progress.stopped() => Err(stop),
        () = progress.sleep(rest) => {
            let seconds = bake.watch.as_secs_f64();
            Ok(Verdict::Good(WatchReport { seconds, ..WatchReport::default() }))
        }
    }
}

/// Between two looks at logs, which cost a request for each container; a log that is rotated between them is not seen whole.
const LOGS_EVERY: Duration = Duration::from_secs(15);
/// Between two lines that say how it stands.
const SAY_EVERY: Duration = Duration::from_mins(1);

struct Watching<'a> {
    bake: &'a Bake<'a>,
    cluster: &'a Cluster,
    progress: &'a dyn Progress,
    watchman: Watchman<'a>,
    meter: Meter<'a>,
    needs_health: bool,
    report: WatchReport,
    greatest: BTreeMap<String, f64>,
    noted: (Vec<(bool, bool)>, Timestamp),
    said: Timestamp,
    logs_seen: Timestamp,
    logs: LogScan,
    /// Pods were not scraped yet: a rate begins with the second time.
    unscraped: bool,
}

impl<'a> Watching<'a> {
    fn new(bake: &'a Bake<'a>, cluster: &'a Cluster, progress: &'a dyn Progress) -> Self {
        let gap = *bake.measure.interval * 3;
        let watchman = Watchman::new(bake.rules, bake.switched_at, bake.watch, bake.baseline, gap);
        let noted = (watchman.shape(), bake.switched_at);
        let meter = Meter::new(bake.measure, signals(bake.rules), bake.subject, bake.subject.port, cluster);
        let unscraped = meter.scrapes();
        let mut logs = LogScan::new(&bake.measure.log_limits, bake.switched_at);
        logs.count = counted(bake, progress).unwrap_or(logs.count);
        let needs_health = bake.rules.iter().any(|rule| rule.condition == Condition::HealthFails);
        Self {
            bake,
            cluster,
            progress,
            watchman,
            meter,
            needs_health,
            report: WatchReport::default(),
            greatest: BTreeMap::new(),
            noted,
            said: bake.switched_at,
            logs_seen: bake.switched_at,
            logs,
            unscraped,
        }
    }

    /// Goes on from the last note of an engine that is gone: the verdict, where it had one and was killed with it.
    fn resume(&mut self) -> Option<Verdict> {
        let note = earlier(self.bake, self.progress)?;
        note.looks.iter().for_each(|look| self.keep(look));
        self.watchman.resume(note.rules, self.progress.now());
        self.noted.0 = self.watchman.shape();
        let report = self.report.clone();
        note.broken.map(|broken| Verdict::Bad { broken, report })
    }

    /// Whether this look was only there for the next one to compare with.
    fn is_first(&mut self) -> bool {
        std::mem::replace(&mut self.unscraped, false)
    }

    async fn look(&mut self, pods: &Result<Vec<crate::Object>, String>, at: Timestamp) -> Look {
        let from = at.checked_sub(signed(*self.bake.measure.window)).unwrap_or(at).max(self.bake.traffic_since);
        let known = match pods {
            Ok(pods) => Pods::Now(pods),
            Err(why) => Pods::Unknown(why),
        };
        let bake = self.bake;
        let (mut readings, health) = tokio::join!(self.meter.look(known, from, at), async {
            if !self.needs_health {
                return None;
            }
            Some(health(pods, bake.health, bake.subject.port, self.cluster, at).await)
        });
        if let Some(health) = health {
            readings.insert(HEALTH.to_owned(), health);
        }
        Look { at, readings }
    }

    /// The verdict, where this look decides.
    async fn judge(
        &mut self,
        look: &Look,
        over: bool,
        pods: &Result<Vec<crate::Object>, String>,
    ) -> Result<Option<Verdict>, Stop> {
        let broken = self.watchman.take(look);
        if self.bake.measure.no_data == NoData::Pass {
            self.watchman.forgive(look.at, *self.bake.measure.no_data_timeout);
        }
        self.keep(look);
        for warning in broken.iter().filter(|broken| broken.then == Then::Warn) {
            self.progress.warn(warning.text());
            self.report.warnings.push(warning.text());
        }
        if let Some(broken) = broken.into_iter().find(|broken| broken.then != Then::Warn) {
            self.note(look, Some(&broken)).await?;
            return Ok(Some(Verdict::Bad { broken, report: self.report.clone() }));
        }
        self.note(look, None).await?;
        let done = over && !self.watchman.is_open() && self.doubts().is_empty();
        if let Some(verdict) = self.logs(look.at, done, pods).await? {
            return Ok(Some(verdict));
        }
        if let Some(why) = self.hopeless(look.at) {
            return Ok(Some(Verdict::Inconclusive { why, report: self.report.clone() }));
        }
        self.say(look, done);
        Ok(done.then(|| Verdict::Good(self.report.clone())))
    }

    /// Rules that nobody can judge; none where no data may pass.
    fn doubts(&self) -> Vec<Doubt> {
        if self.bake.measure.no_data == NoData::Pass { Vec::new() } else { self.watchman.doubts() }
    }

    /// Why nobody will be able to say. Also at the end of the watch a rule in doubt is given its time.
    fn hopeless(&self, at: Timestamp) -> Option<String> {
        let knobs = self.bake.measure;
        let fails = knobs.no_data == NoData::Fail;
        let over = |doubt: &Doubt| {
            // There may be enough of it once the window is full.
            let full = add(self.meter.since(self.bake.traffic_since), *knobs.window);
            let since = if doubt.few || fails { doubt.since.max(full) } else { doubt.since };
            at >= add(since, if fails { Duration::ZERO } else { *knobs.no_data_timeout })
        };
        let doubt = self.doubts().into_iter().find(over)?;
        Some(format!("{}: {}, since {}", doubt.rule, doubt.why, doubt.since.strftime("%H:%M:%S")))
    }

    /// The next look: an interval later, or when a rule under way would be broken, or where a rule's time or the watch ends.
    fn next(&self, now: Timestamp, end: Timestamp) -> Timestamp {
        let regular = add(now, *self.bake.measure.interval);
        let earlier = [self.watchman.deadline(), self.watchman.horizon(), Some(end).filter(|end| now < *end)];
        let next = earlier.into_iter().flatten().fold(regular, Timestamp::min);
        // Never without a pause: a deadline that is over was just looked at.
        next.max(add(now, Duration::from_millis(50)))
    }

    fn keep(&mut self, look: &Look) {
        self.report.looks += 1;
        self.report.metrics = self.meter.metrics().clone();
        self.report.seconds = look.at.duration_since(self.bake.switched_at).as_secs_f64();
        self.report.rows = signals(self.bake.rules)
            .into_iter()
            .filter_map(|signal| {
                let (name, unit, reading) = (signal.to_string(), signal.unit(), look.reading(signal)?);
                if let Some(value) = reading.value() {
                    let greatest = self.greatest.entry(name.clone()).or_insert(value);
                    *greatest = greatest.max(value);
                }
                let before = self.bake.baseline.and_then(|baseline| baseline.value(signal).ok());
                Some(WatchRow {
                    before: before.map(|value| number(value, unit)).unwrap_or_default(),
                    last: reading.text(unit),
                    greatest: self.greatest.get(&name).map_or("-".to_owned(), |value| number(*value, unit)),
                    signal: name,
                })
            })
            .collect();
    }

    /// Notes what an engine that takes over has to know.
    async fn note(&mut self, look: &Look, broken: Option<&Broken>) -> Result<(), Stop> {
        let shape = self.watchman.shape();
        let holds = shape.iter().any(|(running, _)| *running);
        let shortest = self.bake.rules.iter().filter_map(|rule| rule.hold).min().map_or(SAY_EVERY, |hold| *hold / 5);
        let due = holds && look.at >= add(self.noted.1, shortest.max(*self.bake.measure.interval));
        if self.bake.note.is_empty() || broken.is_none() && !due && shape == self.noted.0 {
            return Ok(());
        }
        self.noted = (shape, look.at);
        let text = format!("watched for {}", short(elapsed(self.bake.switched_at, look.at)));
        let data = json!({"looks": [look], "rules": self.watchman.states(), "broken": broken});
        self.progress.record(Milestone { name: self.bake.note.to_owned(), text, data }).await
    }

    /// Looks at the logs, now and then and at the end.
    async fn logs(
        &mut self,
        at: Timestamp,
        done: bool,
        pods: &Result<Vec<crate::Object>, String>,
    ) -> Result<Option<Verdict>, Stop> {
        let limits = &self.bake.measure.log_limits;
        if limits.is_empty() || !done && at < add(self.logs_seen, LOGS_EVERY.max(*self.bake.measure.interval)) {
            return Ok(None);
        }
        self.logs_seen = at;
        let Ok(pods) = pods else {
            let why = "the logs could not be read: the pods are not known".to_owned();
            return Ok(done.then(|| Verdict::Inconclusive { why, report: self.report.clone() }));
        };
        let brief = self.cluster.with_patience(*self.bake.measure.interval);
        let before = self.logs.count.report.table();
        let read = tokio::select! {
            biased;
            stop = self.progress.stopped() => return Err(stop),
            read = self.logs.read(pods, &brief) => read,
        };
        let logs = self.logs.count.report.clone();
        self.report.logs = Some(logs.clone());
        if logs.table() != before {
            self.note_logs(at).await?;
        }
        if let Some(row) = logs.first_failure() {
            let broken = Broken {
                number: self.bake.rules.len(),
                rule: format!("log-limits {} at most {}", row.pattern, row.at_most),
                then: Then::Rollback,
                value: format!("{} lines: {}", row.found, row.samples.first().cloned().unwrap_or_default()),
                since: self.bake.switched_at,
                at,
            };
            return Ok(Some(Verdict::Bad { broken, report: self.report.clone() }));
        }
        let unread = read.err().map(|error| format!("the logs could not be read: {error}"));
        let doubt = unread.or_else(|| logs.doubt(allowed(self.bake.measure))).filter(|_| done);
        Ok(doubt.map(|why| Verdict::Inconclusive { why, report: self.report.clone() }))
    }

    /// Notes what an engine that takes over cannot read any more: lines of pods that are gone by then.
    async fn note_logs(&self, at: Timestamp) -> Result<(), Stop> {
        if self.bake.note.is_empty() {
            return Ok(());
        }
        let text = format!("logs were looked at for {}", short(elapsed(self.bake.switched_at, at)));
        let data = json!({"looks": [], "logs": self.logs.count});
        self.progress.record(Milestone { name: self.bake.note.to_owned(), text, data }).await
    }

    fn say(&mut self, look: &Look, done: bool) {
        if !done && look.at < add(self.said, SAY_EVERY) {
            return;
        }
        self.said = look.at;
        let values = self.report.rows.iter().map(|row| format!("{} {}", row.signal, row.last));
        let values: Vec<String> = values.collect();
        let (so_far, all) = (short(elapsed(self.bake.switched_at, look.at)), short(self.bake.watch));
        let values = if values.is_empty() { "no rule looks at a signal".to_owned() } else { values.join(", ") };
        self.progress.say(format!("watched for {so_far} of {all}: {values}"));
    }
}

fn elapsed(from: Timestamp, to: Timestamp) -> Duration {
    let whole = Duration::try_from(to.duration_since(from)).unwrap_or_default();
    Duration::from_millis(u64::try_from(whole.as_millis()).unwrap_or(u64::MAX))
}

/// What an engine notes for the next one: after a look, or after lines of logs were found.
#[derive(Deserialize)]
struct Note {
    /// The look after which it was noted; none where it is of logs.
    looks: Vec<Look>,
    /// What is known of each rule then.
    #[serde(default)]
    rules: Vec<State>,
    /// The rule that this look broke: the verdict.
    #[serde(default)]
    broken: Option<Broken>,
    /// What was counted in the logs until then.
    #[serde(default)]
    logs: Option<LogCount>,
}

/// The last look that an engine before this one noted, since this switch.
fn earlier(bake: &Bake<'_>, progress: &dyn Progress) -> Option<Note> {
    let of_looks = notes(bake, progress).filter(|note| !note.looks.is_empty());
    of_looks.last().filter(|note| note.looks.iter().all(|look| look.at >= bake.switched_at))
}

/// What earlier engines counted in the logs.
fn counted(bake: &Bake<'_>, progress: &dyn Progress) -> Option<LogCount> {
    notes(bake, progress).filter_map(|note| note.logs).last()
}

fn notes(bake: &Bake<'_>, progress: &dyn Progress) -> impl Iterator<Item = Note> {
    let of_watch = |milestone: &Milestone| !bake.note.is_empty() && milestone.name == bake.note;
    let notes = progress.milestones().into_iter().filter(of_watch);
    notes.filter_map(|milestone| serde_json::from_value(milestone.data).ok()).collect::<Vec<_>>().into_iter()
}
