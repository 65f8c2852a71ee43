//! Looks at the signals of one release.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, future, stream};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::histogram::Histogram;
use super::history::History;
use super::names::{self, Requests};
use super::page::Page;
use super::scope::Scope;
use super::source::{Answer, Source, Whose, Window};
use crate::Object;
use crate::check::look::Reading;
use crate::check::prometheus::Prometheus;
use crate::check::subject::{Subject, port_of};
use crate::cluster::{Cluster, HttpCall, short};
use crate::inputs::MeasureKnobs;
use crate::inputs::signal::{Builtin, Signal, SignalDefinition, SignalName};
use crate::rollout::is_ready;

/// Pods that are scraped at the same time.
const AT_ONCE: usize = 8;
/// A page of metrics is at most so long.
const PAGE: usize = 16 << 20;
/// Of one scrape; the interval where that is shorter.
const SCRAPE: std::time::Duration = std::time::Duration::from_secs(5);

/// Whose pods a look is about.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pods<'a> {
    /// These, at present.
    Now(&'a [Object]),
    /// Nobody can say which there are now.
    Unknown(&'a str),
    /// Those that were there then: only a server remembers them.
    Past,
}

/// Looks at signals of one release, again and again.
pub(crate) struct Meter<'a> {
    knobs: &'a MeasureKnobs,
    signals: Vec<&'a Signal>,
    subject: &'a Subject,
    cluster: Cluster,
    /// Or why there is none though one is asked for.
    server: Option<Result<Prometheus, String>>,
    port: Option<u16>,
    history: History,
    restarts: BTreeMap<String, i64>,
    pods: BTreeSet<String>,
    metrics: Metrics,
    /// The first page that was taken in.
    began: Option<Timestamp>,
}

/// Metrics found for built-in signals; looked for again until they are there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metrics {
    /// The counter of requests.
    pub requests: Option<Requests>,
    /// The histogram of latencies: `…_bucket`.
    pub latency: Option<String>,
    /// The gauge of memory.
    pub memory: Option<String>,
    /// The gauges of what waits, by signal.
    pub waiting: BTreeMap<Builtin, String>,
}

impl<'a> Meter<'a> {
    pub(crate) fn new(
        knobs: &'a MeasureKnobs,
        signals: Vec<&'a Signal>,
        subject: &'a Subject,
        port: Option<u16>,
        cluster: &Cluster,
    ) -> Self {
        let server = knobs.prometheus.as_deref();
        let server = server.map(|address| Prometheus::new(address).map_err(|error| error.to_string()));
        let patience = SCRAPE.min(*knobs.interval);
        Self {
            knobs,
            signals,
            subject,
            cluster: cluster.with_patience(patience),
            server,
            port,
            history: History::default(),
            restarts: BTreeMap::new(),
            pods: BTreeSet::new(),
            metrics: Metrics::default(),
            began: None,
        }
    }

    /// Whether a look needs an earlier one: without a server, rates begin with the second.
    pub(crate) fn scrapes(&self) -> bool {
        self.server.is_none()
    }

    /// The metrics that built-in signals were found in.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// From where on counts are known of traffic that began then: pods say nothing of the time before they were first asked.
    pub(crate) fn since(&self, traffic: Timestamp) -> Timestamp {
        self.began.map_or(traffic, |began| began.max(traffic))
    }

    /// What the pods' pages say a metric is; None where no page has it.
    pub(super) fn kind_on_pages(&self, metric: &str) -> Option<String> {
        let known = self.history.names().contains(metric);
        known.then(|| self.history.kind(metric).unwrap_or_default())
    }

    /// A reading for every signal, over the time from `from` to `at`.
    pub(crate) async fn look(&mut self, pods: Pods<'_>, from: Timestamp, at: Timestamp) -> BTreeMap<String, Reading> {
        let window = Window { from, at };
        self.count_restarts(pods);
        let trouble = self.prepare(pods, window).await;
        let restarts = self.restarts_reading(pods);
        let readings: Vec<Reading> = match (&self.server, &trouble) {
            (_, Some(why)) | (Some(Err(why)), None) => vec![Reading::Missing(why.clone()); self.signals.len()],
            (Some(Ok(server)), None) => {
                let names: Vec<String> = self.pods.iter().cloned().collect();
                let names = if matches!(pods, Pods::Past) { Vec::new() } else { names };
                let scope = Scope::new(&self.knobs.labels, self.cluster.namespace(), self.subject, &names);
                let source = Source::Server { server, scope, window };
                self.metrics.look(&source, &self.signals).await;
                self.read(&source).await
            }
            (None, None) => {
                let source = Source::Pods { history: &self.history, window };
                self.metrics.look(&source, &self.signals).await;
                self.read(&source).await
            }
        };
        let named = self.signals.iter().zip(readings).map(|(signal, reading)| match signal.name {
            SignalName::Builtin(Builtin::Restarts) => (signal.to_string(), restarts.clone()),
            _ => (signal.to_string(), reading),
        });
        named.collect()
    }

    fn count_restarts(&mut self, pods: Pods<'_>) {
        let Pods::Now(pods) = pods else { return };
        for pod in pods {
            self.pods.insert(pod.name().to_owned());
            let containers = pod.list("/status/containerStatuses").iter();
            let count: i64 = containers.filter_map(|status| status["restartCount"].as_i64()).sum();
            let known = self.restarts.entry(pod.uid().to_owned()).or_default();
            *known = count.max(*known);
        }
    }

    fn restarts_reading(&self, pods: Pods<'_>) -> Reading {
        match pods {
            Pods::Now([]) => Reading::Missing("there is no pod".to_owned()),
            Pods::Now(_) => {
                let sum: i64 = self.restarts.values().sum();
                Reading::Value(f64::from(i32::try_from(sum).unwrap_or(i32::MAX)))
            }
            Pods::Unknown(why) => Reading::Missing(why.to_owned()),
            Pods::Past => Reading::Missing("its pods are gone".to_owned()),
        }
    }

    /// What must be there before numbers can be read; why it is not.
    async fn prepare(&mut self, pods: Pods<'_>, window: Window) -> Option<String> {
        match (pods, self.server.is_some()) {
            (Pods::Past, true) => None,
            (Pods::Past, false) => Some("the past needs a Prometheus server".to_owned()),
            (Pods::Unknown(why), false) => Some(why.to_owned()),
            (Pods::Unknown(why), true) => self.pods.is_empty().then(|| why.to_owned()),
            (Pods::Now(_), true) => self.pods.is_empty().then(|| "there is no pod".to_owned()),
            (Pods::Now(pods), false) => self.scrape(pods, window).await.err(),
        }
    }

    /// Takes the pages of all ready pods in. One that has none makes the look say nothing: it may be the bad one.
    async fn scrape(&mut self, pods: &[Object], window: Window) -> Result<(), String> {
        let ready: Vec<&Object> = pods.iter().filter(|pod| is_ready(pod)).collect();
        if ready.is_empty() {
            return Err("no pod is ready".to_owned());
        }
        let pages = ready.iter().map(|pod| {
            let cluster = self.cluster.clone();
            let (path, port) = (self.knobs.metrics_path.clone(), self.metrics_port(pod));
            async move { (pod.uid().to_owned(), page(&cluster, pod.name(), port, &path).await) }
        });
        let mut pages = stream::iter(pages.collect::<Vec<_>>()).buffered(AT_ONCE);
        let mut trouble = Ok(());
        while let Some((uid, page)) = pages.next().await {
            match page {
                Ok(page) => {
                    self.began.get_or_insert(window.at);
                    self.history.add(&uid, window.at, page, window.from);
                }
                Err(why) => trouble = Err(why),
            }
        }
        trouble
    }

    /// `metrics-port`, else what the pod's annotation for scrapers says, else the Service's port.
    fn metrics_port(&self, pod: &Object) -> Option<u16> {
        let annotated = pod.annotations().get("prometheus.io/port").and_then(|port| port.parse().ok());
        self.knobs.metrics_port.or(annotated).or_else(|| port_of(pod, self.port))
    }

    async fn read(&self, source: &Source<'_>) -> Vec<Reading> {
        let all = self.signals.iter().map(|signal| async {
            let reading = self.metrics.read(source, signal, self.knobs).await;
            reading.unwrap_or_else(Reading::Missing)
        });
        future::join_all(all).await
    }
}

async fn page(cluster: &Cluster, pod: &str, port: Option<u16>, path: &str) -> Result<Page, String> {
    let port = port.ok_or_else(|| format!("Pod/{pod} names no port; give metrics-port"))?;
    let call = HttpCall { timeout: SCRAPE, limit: PAGE, ..HttpCall::get(path) };
    let answer = cluster.pod_http(pod, port, &call).await.map_err(|error| format!("Pod/{pod} {path}: {error}"))?;
    if answer.status != 200 {
        return Err(format!("Pod/{pod} {path} answered {}: no metrics", answer.status));
    }
    if answer.cut {
        return Err(format!("Pod/{pod} {path} is longer than {} MiB", PAGE >> 20));
    }
    Page::parse(&String::from_utf8_lossy(&answer.body), |_| true).map_err(|why| format!("Pod/{pod} {path}: {why}"))
}

impl Metrics {
    /// Looks for the metrics that signals need and are not known yet.
    pub(super) async fn look(&mut self, source: &Source<'_>, signals: &[&Signal]) {
        let mut own = None;
        let mut wide = None;
        for signal in signals {
            let SignalName::Builtin(builtin) = signal.name else { continue };
            match builtin {
                Builtin::ErrorRate | Builtin::Throughput if self.requests.is_none() => {
                    self.requests = requests(source, names(source, Whose::Release, &mut own).await).await;
                }
                Builtin::P50 | Builtin::P95 | Builtin::P99 if self.latency.is_none() => {
                    self.latency = names::latency(names(source, Whose::Release, &mut own).await);
                }
                Builtin::MemorySlope if self.memory.is_none() => {
                    self.memory = names::memory(names(source, Whose::Release, &mut own).await);
                }
                Builtin::QueueDepth | Builtin::DlqGrowth | Builtin::Lag if !self.waiting.contains_key(&builtin) => {
                    let names = names(source, Whose::Anyone, &mut wide).await;
                    if let Ok(name) = waiting(builtin).find(names) {
                        self.waiting.insert(builtin, name);
                    }
                }
                _ => {}
            }
        }
    }

    async fn read(&self, source: &Source<'_>, signal: &Signal, knobs: &MeasureKnobs) -> Answer<Reading> {
        let labels = &signal.labels;
        let builtin = match &signal.name {
            SignalName::Builtin(builtin) => *builtin,
            SignalName::Defined(name) => return defined(source, name, knobs).await,
        };
        match builtin {
            Builtin::ErrorRate | Builtin::Throughput => {
                let requests = self.missing(source, self.requests.as_ref(), names::no_requests()).await?;
                let by_status = source.increase(&requests.metric, labels, &requests.status).await?;
                Ok(of_requests(source, builtin, &by_status, knobs.min_requests))
            }
            Builtin::P50 | Builtin::P95 | Builtin::P99 => {
                let metric = self.missing(source, self.latency.as_ref(), names::no_latency()).await?;
                let buckets = source.increase(metric, labels, "le").await?;
                Ok(quantile(source, builtin, &buckets, knobs.min_requests))
            }
            // Read from the pods' states.
            Builtin::Restarts => Err("it was not counted".to_owned()),
            Builtin::MemorySlope => {
                let metric = self.missing(source, self.memory.as_ref(), names::no_memory()).await?;
                Ok(Reading::of(source.steepest(metric, labels).await?, "no data"))
            }
            Builtin::QueueDepth | Builtin::Lag | Builtin::DlqGrowth => {
                let Some(metric) = self.waiting.get(&builtin) else {
                    return Err(not_found(source, &waiting_why(source, builtin).await));
                };
                if builtin == Builtin::DlqGrowth {
                    return Ok(Reading::of(source.growth(metric, labels).await? * 60.0, "no data"));
                }
                Ok(Reading::of(source.waiting(metric, labels).await?, "no data"))
            }
        }
    }

    /// The metric, or why there is none: the server's absence where it is that.
    async fn missing<'m, T>(&self, source: &Source<'_>, metric: Option<&'m T>, none: String) -> Answer<&'m T> {
        match metric {
            Some(metric) => Ok(metric),
            None => match source.names(Whose::Release).await {
                Ok(_) => Err(not_found(source, &none)),
                Err(why) => Err(why),
            },
        }
    }
}

async fn waiting_why(source: &Source<'_>, builtin: Builtin) -> String {
    match source.names(Whose::Anyone).await {
        Ok(names) => waiting(builtin).find(&names).err().unwrap_or_default(),
        Err(why) => why,
    }
}

fn of_requests(source: &Source<'_>, builtin: Builtin, by_status: &BTreeMap<String, f64>, needed: u32) -> Reading {
    let total: f64 = by_status.values().sum();
    if by_status.is_empty() {
        return Reading::Missing(no_requests(source));
    }
    if builtin == Builtin::Throughput {
        return Reading::of(total / source.span(), "seen only once so far");
    }
    let errors: f64 = by_status.iter().filter(|(status, _)| status.starts_with('5')).map(|(_, count)| count).sum();
    enough(source, total, needed).unwrap_or_else(|| Reading::of(errors / total, "no requests"))
}

/// What is missing where there are too few requests for a share or latency.
fn enough(source: &Source<'_>, total: f64, needed: u32) -> Option<Reading> {
    if total.is_nan() || total <= 0.0 {
        return Some(Reading::Missing(no_requests(source)));
    }
    (total.round() < f64::from(needed)).then_some(Reading::Few { requests: total.round(), needed })
}

fn no_requests(source: &Source<'_>) -> String {
    let seconds = u64::try_from(source.window().seconds()).unwrap_or_default();
    format!("no requests in {}", short(std::time::Duration::from_secs(seconds)))
}

fn quantile(source: &Source<'_>, builtin: Builtin, buckets: &BTreeMap<String, f64>, needed: u32) -> Reading {
    let share = match builtin {
        Builtin::P50 => 0.5,
        Builtin::P95 => 0.95,
        _ => 0.99,
    };
    match Histogram::of(buckets) {
        None if buckets.is_empty() => Reading::Missing(no_requests(source)),
        None => Reading::Missing("its histogram has no bound +Inf".to_owned()),
        Some(histogram) => enough(source, histogram.total(), needed).unwrap_or_else(|| histogram.quantile(share)),
    }
}

/// A signal of the step's own.
async fn defined(source: &Source<'_>, name: &str, knobs: &MeasureKnobs) -> Answer<Reading> {
    let Some(definition) = knobs.signals.iter().find(|signal| signal.name == *name) else {
        return Err(format!("{name} is not defined"));
    };
    if !definition.is_metric() {
        return Ok(Reading::of(source.query(definition).await?, "no data"));
    }
    let metric = &definition.query;
    if is_counter(definition) {
        let increase = source.increase(metric, &[], "").await?;
        let sum = increase.values().sum();
        return if increase.is_empty() {
            Err(format!("no series of {metric}"))
        } else {
            Ok(Reading::of(sum, "no data"))
        };
    }
    Ok(Reading::of(source.sum(metric, &[]).await?, "no data"))
}

/// As counters are named everywhere.
pub(crate) fn is_counter(definition: &SignalDefinition) -> bool {
    definition.query.ends_with("_total") || definition.query.ends_with("_count")
}

pub(super) fn waiting(builtin: Builtin) -> names::Waiting {
    match builtin {
        Builtin::DlqGrowth => names::DEAD,
        Builtin::Lag => names::LAG,
        _ => names::QUEUE,
    }
}

fn not_found(source: &Source<'_>, none: &str) -> String {
    match source {
        Source::Server { server, .. } => format!("metric not found at {}: {none}", server.address()),
        Source::Pods { .. } => format!("metric not found at the pods: {none}"),
    }
}

/// The names, asked for once a look; none where nobody answers.
async fn names<'n>(source: &Source<'_>, whose: Whose, known: &'n mut Option<BTreeSet<String>>) -> &'n BTreeSet<String> {
    if known.is_none() {
        *known = Some(source.names(whose).await.unwrap_or_default());
    }
    known.get_or_insert_default()
}

/// The first counter of requests that has a label for the status.
async fn requests(source: &Source<'_>, names: &BTreeSet<String>) -> Option<Requests> {
    for metric in names::request_counters(names) {
        let labels = source.labels(&metric).await.unwrap_or_default();
        if let Some(status) = names::status_label(&labels) {
            return Some(Requests { metric, status });
        }
    }
    None
}
