//! Signals of a release, measured: from a Prometheus server, or from its pods where there is none.
//!
//! - `error-rate`, `throughput`: the counter of HTTP requests by status, summed over all pods before anything is divided.
//! - `p50` `p95` `p99`: the histogram of all pods together. Beyond its last bound nothing is known.
//! - `restarts`: from the pods' states, pods that are gone included.
//! - `memory-slope`: the pod where it grows fastest.
//! - `queue-depth`, `lag`, `dlq-growth`: each queue once, however many pods speak of it.

mod baseline;
mod histogram;
mod history;
mod meter;
mod names;
mod page;
mod preflight;
mod query;
mod scope;
mod source;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::look::Reading;
use super::subject::Subject;
use crate::cluster::Cluster;
use crate::inputs::MeasureKnobs;
use crate::inputs::signal::Signal;
use crate::{Progress, Stop};

pub use baseline::Baseline;
pub use meter::Metrics;
pub(crate) use meter::{Meter, Pods, is_counter};
pub use names::Requests;
pub use preflight::preflight;
pub(crate) use query::{growth, increase, steepest, waiting};
pub(crate) use scope::{Scope, matchers};

/// Measures the release that is live, before another one takes its traffic. A server is asked for its past; pods are looked
/// at twice, one interval apart, and longer (at most `no-data-timeout`) where there are too few requests.
///
/// # Errors
/// The action is to end. What cannot be measured is named in the baseline.
pub async fn baseline(
    knobs: &MeasureKnobs,
    signals: &[&Signal],
    old: &Subject,
    cluster: &Cluster,
    progress: &dyn Progress,
) -> Result<Baseline, Stop> {
    let mut meter = Meter::new(knobs, signals.to_vec(), old, old.port, cluster);
    let began = progress.now();
    let give_up = add(began, (*knobs.no_data_timeout).max(*knobs.interval * 2));
    let mut looks = 0;
    loop {
        let now = progress.now();
        let from = now.checked_sub(signed(*knobs.window)).unwrap_or(now);
        let pods = old.list(cluster).await;
        let readings = match &pods {
            Ok(pods) => meter.look(Pods::Now(pods), from, now).await,
            Err(error) => meter.look(Pods::Unknown(&error.to_string()), from, now).await,
        };
        looks += 1;
        let lacking = readings.values().any(|reading| reading.value().is_none());
        let again = meter.scrapes() && (looks < 2 || lacking && now < give_up);
        if !again {
            let window_s = now.duration_since(if meter.scrapes() { began } else { from }).as_secs_f64();
            return Ok(of_readings(old, now, window_s, readings));
        }
        tokio::select! {
            biased;
            stop = progress.stopped() => return Err(stop),
            () = progress.sleep(*knobs.interval) => {}
        }
    }
}

/// What a server remembers of a release whose pods may be gone.
pub async fn past(
    knobs: &MeasureKnobs,
    signals: &[&Signal],
    old: &Subject,
    at: Timestamp,
    cluster: &Cluster,
) -> Baseline {
    let mut meter = Meter::new(knobs, signals.to_vec(), old, old.port, cluster);
    let from = at.checked_sub(signed(*knobs.window)).unwrap_or(at);
    let readings = meter.look(Pods::Past, from, at).await;
    of_readings(old, at, knobs.window.as_secs_f64(), readings)
}

/// Readings as a baseline. "More than so much" is no value to compare with.
pub(crate) fn of_readings(
    subject: &Subject,
    at: Timestamp,
    window_s: f64,
    readings: BTreeMap<String, Reading>,
) -> Baseline {
    let mut baseline = Baseline {
        version: subject.version.clone(),
        release: subject.release.clone(),
        at,
        window_s,
        values: BTreeMap::default(),
        missing: BTreeMap::default(),
    };
    for (signal, reading) in readings {
        match reading {
            Reading::Value(value) => {
                baseline.values.insert(signal, value);
            }
            Reading::Beyond(bound) => {
                baseline.missing.insert(signal, format!("more than its histogram holds, {bound}s"));
            }
            Reading::Few { requests, needed } => {
                baseline.missing.insert(signal, format!("{requests:.0} requests, {needed} needed"));
            }
            Reading::Missing(why) => {
                baseline.missing.insert(signal, why);
            }
        }
    }
    baseline
}

pub(crate) fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

pub(crate) fn add(time: Timestamp, duration: Duration) -> Timestamp {
    time.checked_add(signed(duration)).unwrap_or(Timestamp::MAX)
}
