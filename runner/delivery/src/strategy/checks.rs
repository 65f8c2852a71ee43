//! What is checked on the way, by the knobs of the step: every pod, Jobs, the preview, the public address, signals before and
//! after.

use serde_json::{Value, json};

use super::back::{RESTART, STAY};
use super::{Delivery, Snapshot, subjects};
use crate::check::Baseline;
use crate::check::alerts::{AlertsFor, alerts};
use crate::check::analyse::save;
use crate::check::look::number;
use crate::check::measure::{Metrics, baseline};
use crate::check::rules::{lacking, signals};
use crate::check::smoke::{JobsFor, SmokeFor, SmokeReport, Where, only_at, run, run_jobs};
use crate::check::watch::{Bake, Verdict, bake};
use crate::inputs::measure::NoData;
use crate::inputs::rule::{Condition, Then};
use crate::inputs::signal::{Limit, Signal, Unit};
use crate::inputs::smoke::SmokeTarget;
use crate::inputs::{DeployInputs, RollbackRule, Strategy};
use crate::progress::recorded;
use crate::unit::{BlueGreenShape, Role, role};
use crate::{DeliveryError, Failure, Object, Stop};

impl Delivery<'_> {
    fn smoke_for(&self) -> Result<SmokeFor, DeliveryError> {
        Ok(SmokeFor { version: self.plan.version.clone(), port: subjects::new(self)?.port })
    }
}

/// Every pod of the release, then the Jobs that test it.
pub(super) async fn every_pod(delivery: &Delivery<'_>, pods: &[Object]) -> Result<(), DeliveryError> {
    if delivery.reached("smoked") {
        return Ok(());
    }
    let inputs = &delivery.plan.inputs.smoke;
    let at = Where::Pods(pods);
    let mut report = run(inputs, &delivery.smoke_for()?, &at, &delivery.cluster, delivery.progress).await?;
    let jobs = JobsFor {
        unit: &delivery.plan.unit,
        version: &delivery.plan.version,
        site: delivery.site,
        timeout: *delivery.plan.inputs.timeout,
    };
    report.merge(run_jobs(&delivery.plan.jobs, &jobs, &delivery.cluster, delivery.progress).await?);
    let text = if report.rows.is_empty() { "no smoke check asks a pod".to_owned() } else { report.summary() };
    delivery.record("smoked", text, Value::Null).await?;
    Ok(())
}

/// Through the Services that select the release only.
pub(super) async fn preview(delivery: &Delivery<'_>, shape: &BlueGreenShape) -> Result<(), DeliveryError> {
    let inputs = &delivery.plan.inputs.smoke;
    if let Some(check) = only_at(inputs, SmokeTarget::Preview).filter(|_| shape.previews.is_empty()) {
        let why =
            format!("\"{}\" is made on a preview only, and no Service is switched that could have one", check.text);
        let next = "make it on every pod (pods), or add the Service to the manifests";
        return Err(Failure::new("a smoke check cannot be made", why).next(next).into());
    }
    for preview in &shape.previews {
        let port = preview.list("/spec/ports").first().map(|port| port["port"].to_string()).unwrap_or_default();
        let at = Where::Preview { service: preview.name().to_owned(), port };
        run(inputs, &delivery.smoke_for()?, &at, &delivery.cluster, delivery.progress).await?;
    }
    Ok(())
}

/// The address that users use, now that it is the release that answers.
pub(super) async fn public(delivery: &Delivery<'_>) -> Result<(), DeliveryError> {
    if delivery.reached("verified") {
        return Ok(());
    }
    let inputs = &delivery.plan.inputs.smoke;
    let mut report = SmokeReport::default();
    if let Some(url) = &inputs.public_url {
        let at = Where::Public { url: url.clone(), serves: delivery.plan.version.clone() };
        report = run(inputs, &delivery.smoke_for()?, &at, &delivery.cluster, delivery.progress).await?;
    }
    let text = verified(&delivery.plan.version, &report);
    delivery.record("verified", text, Value::Null).await?;
    Ok(())
}

/// What the answers of the public address say; without any, that nobody asked.
fn verified(version: &str, report: &SmokeReport) -> String {
    match report.rows.first() {
        Some(row) => format!("{version} answers at {}: {}", row.place, report.summary()),
        None => format!("{version} has the traffic; no check asks a public address"),
    }
}

/// The live release's signals, before it loses its traffic: what rules compare with, and what an analysis may ask for.
pub(super) async fn measure(delivery: &Delivery<'_>, before: &Snapshot) -> Result<(), DeliveryError> {
    let inputs = &delivery.plan.inputs;
    let signals = signals(&inputs.rollback_when);
    let Some(old) = subjects::old(delivery, before)?.filter(|_| !signals.is_empty()) else { return Ok(()) };
    if delivery.reached("measured") {
        return Ok(());
    }
    let measured = baseline(&inputs.measure, &signals, &old, &delivery.cluster, delivery.progress).await?;
    if let Some(line) = short_drain(inputs, &signals, &measured) {
        delivery.progress.warn(line);
    }
    if inputs.measure.no_data != NoData::Pass {
        comparable(&inputs.rollback_when, &measured)?;
    }
    save(&delivery.cluster, &delivery.plan.unit, delivery.plan.release.as_str(), &measured).await?;
    let text = format!("{} was measured before it loses its traffic", old.version);
    delivery.record("measured", text, json!(measured)).await?;
    Ok(())
}

/// What is to be said before the switch where requests of the live release take longer than its pods have to finish them. Of
/// the latencies that rules ask for the greatest counts. No refusal: what is to be released may be what makes it fast again.
fn short_drain(inputs: &DeployInputs, signals: &[&Signal], measured: &Baseline) -> Option<String> {
    let Strategy::BlueGreen(knobs) = &inputs.strategy else { return None };
    let latencies = signals.iter().filter(|signal| signal.unit() == Unit::Seconds);
    let slowest = latencies.filter_map(|signal| measured.value(signal).ok()).fold(0.0, f64::max);
    (slowest > knobs.drain.as_secs_f64()).then(|| {
        let slowest = number(slowest, Unit::Seconds);
        format!("drain {} is shorter than the slowest request measured, {slowest}", knobs.drain)
    })
}

/// What rules compare with is known: where it is not, no release could keep its traffic, and none is given it.
fn comparable(rules: &[RollbackRule], measured: &Baseline) -> Result<(), Failure> {
    let Some((rule, why)) = lacking(rules, measured) else { return Ok(()) };
    let what = format!("{} gives nothing to compare with", measured.version);
    let next = "release while it has traffic, let the rule only warn (then warn), or say no-data: pass";
    Err(Failure::new(what, format!("{}: {why}", rule.text)).next(next))
}

/// The release under traffic, by its rules and its logs.
pub(super) async fn watch(delivery: &Delivery<'_>, before: &Snapshot) -> Result<(), DeliveryError> {
    let inputs = &delivery.plan.inputs;
    if delivery.reached("watched") || inputs.watch.is_zero() {
        return Ok(());
    }
    let measured: Option<Baseline> =
        recorded(delivery.progress, "measured").and_then(|milestone| serde_json::from_value(milestone.data).ok());
    let subject = subjects::new(delivery)?;
    let switched_at = delivery.switched_at();
    delivery.say(format!("{} is watched for {}", delivery.plan.version, inputs.watch));
    let (rules, without) = applicable(&inputs.rollback_when, before.live.is_some());
    for rule in without {
        delivery.say(format!("{rule}: nothing was live before, so there is nothing to compare with"));
    }
    let watched = Bake {
        rules: &rules,
        measure: &inputs.measure,
        health: inputs.health.as_deref(),
        subject: &subject,
        watch: *inputs.watch,
        switched_at,
        traffic_since: switched_at,
        baseline: measured.as_ref(),
        note: "looked",
    };
    let verdict = bake(&watched, &delivery.cluster, delivery.progress).await?;
    if let Some(mut failure) = verdict.failure() {
        failure.effect = match &verdict {
            Verdict::Bad { broken, .. } if broken.then == Then::Restart => RESTART.to_owned(),
            Verdict::Bad { broken, .. } if broken.then == Then::Stop => STAY.to_owned(),
            _ => String::new(),
        };
        return Err(failure.into());
    }
    let text = format!("{} was watched for {}; no rule is broken", delivery.plan.version, inputs.watch);
    let report = verdict.report();
    keep_alerts(delivery, &report.metrics).await?;
    delivery.record("watched", text, json!(report)).await?;
    Ok(())
}

/// The rules that can be held against anything, and those that cannot: the first release of all has nothing before it. Where
/// something was live and was not measured, its rules stay, and are inconclusive.
fn applicable(rules: &[RollbackRule], was_live: bool) -> (Vec<RollbackRule>, Vec<RollbackRule>) {
    rules.iter().cloned().partition(|rule| was_live || !compares(rule))
}

fn compares(rule: &RollbackRule) -> bool {
    match &rule.condition {
        Condition::Signal(comparison) => matches!(comparison.limit, Limit::Baseline(_) | Limit::Change(_)),
        Condition::HealthFails => false,
    }
}

/// The same rules as alerts, for the time after a good watch: kept with the run as `alerts.yaml`. They read what the watch
/// read.
async fn keep_alerts(delivery: &Delivery<'_>, metrics: &Metrics) -> Result<(), Stop> {
    let (plan, site) = (delivery.plan, delivery.site);
    if plan.inputs.rollback_when.is_empty() {
        return Ok(());
    }
    let workloads = plan.rendered.iter().filter(|object| role(object) == Role::Workload);
    let workloads = workloads.map(|object| object.name().to_owned()).collect();
    let about = AlertsFor {
        unit: plan.unit.clone(),
        environment: site.environment.clone(),
        namespace: site.target.namespace.clone(),
        workloads,
        metrics: metrics.clone(),
    };
    let made = alerts(&about, &plan.inputs.rollback_when, &plan.inputs.measure);
    for line in &made.left_out {
        delivery.say(format!("no alert can say: {line}"));
    }
    delivery.progress.keep("alerts.yaml".to_owned(), made.yaml.into_bytes()).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inputs::Action;

    #[test]
    fn an_address_that_was_not_asked_has_not_answered() {
        assert_eq!(verified("1.2.3", &SmokeReport::default()), "1.2.3 has the traffic; no check asks a public address");
        let row = json!({"place": "https://shop.example", "check": "/", "passed": true, "status": 200, "took_ms": 1,
            "attempts": 1, "why": ""});
        let report = SmokeReport { rows: vec![serde_json::from_value(row).unwrap()] };
        assert_eq!(verified("1.2.3", &report), "1.2.3 answers at https://shop.example: 1 check on 1 place, all good");
    }

    #[test]
    fn the_first_release_of_all_is_compared_with_nothing() {
        let rule = |text: &str| RollbackRule::parse(text, &[]).unwrap();
        let rules =
            ["error-rate > 5% for 5m", "p99 > 2x baseline", "throughput change > 10%", "health fails 3m"].map(rule);
        let (first, without) = applicable(&rules, false);
        let texts = |rules: &[RollbackRule]| rules.iter().map(|rule| rule.text.clone()).collect::<Vec<_>>();
        assert_eq!(texts(&first), ["error-rate > 5% for 5m", "health fails 3m"]);
        assert_eq!(texts(&without), ["p99 > 2x baseline", "throughput change > 10%"]);
        assert_eq!(applicable(&rules, true).0.len(), 4);
    }

    #[test]
    fn a_drain_shorter_than_what_was_measured_is_said() {
        let inputs = |strategy: &str| {
            let with = [("manifests", "k8s"), ("strategy", strategy), ("drain", "2s"), ("rollback-when", "p99 > 5s")];
            let with = with.map(|(key, value)| (key.to_owned(), value.to_owned())).into_iter().collect();
            match Action::read("tagline/deploy@v1", &with) {
                Ok(Action::Deploy(inputs)) => *inputs,
                other => panic!("{other:?}"),
            }
        };
        let said = |strategy: &str, measured: f64| {
            let inputs = inputs(strategy);
            let signals = signals(&inputs.rollback_when);
            short_drain(&inputs, &signals, &Baseline::of(signals[0], measured))
        };
        let line = "drain 2s is shorter than the slowest request measured, 3.1s";
        assert_eq!(said("blue-green", 3.1).as_deref(), Some(line));
        assert_eq!(said("blue-green", 1.9), None);
        assert_eq!(said("rolling", 3.1), None, "nothing is drained");
    }

    #[test]
    fn a_release_that_cannot_be_compared_gets_no_traffic() {
        let rules = ["error-rate > 5%", "p99 > 2x baseline"].map(|text| RollbackRule::parse(text, &[]).unwrap());
        let mut measured = Baseline {
            version: "1.2.2".to_owned(),
            release: "v1-2-2-0".to_owned(),
            at: jiff::Timestamp::UNIX_EPOCH,
            window_s: 300.0,
            values: [("p99".to_owned(), 0.3)].into(),
            missing: [("error-rate".to_owned(), "no requests in 5m".to_owned())].into(),
        };
        assert!(comparable(&rules, &measured).is_ok(), "no rule compares the error rate");
        measured.values.clear();
        measured.missing.insert("p99".to_owned(), "no requests in 5m".to_owned());
        let failure = comparable(&rules, &measured).unwrap_err();
        assert!(
            failure.to_string().starts_with(
                "1.2.2 gives nothing to compare with: p99 > 2x baseline: not known for 1.2.2: no requests in 5m (next: release"
            ),
            "{failure}"
        );
    }
}
