//! Rules over series of looks.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;

use super::{Broken, State, Watchman};
use crate::check::look::{HEALTH, Look, Reading};
use crate::inputs::RollbackRule;
use crate::inputs::signal::SignalDefinition;

const SWITCHED: i64 = 1_000_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(SWITCHED + second).unwrap()
}

fn rules(lines: &[&str]) -> Vec<RollbackRule> {
    let payments = SignalDefinition::parse("payments-failed = payment_failures_total").unwrap();
    lines.iter().map(|line| RollbackRule::parse(line, std::slice::from_ref(&payments)).unwrap()).collect()
}

fn look(second: i64, signal: &str, reading: Reading) -> Look {
    Look { at: at(second), readings: BTreeMap::from([(signal.to_owned(), reading)]) }
}

fn watchman(rules: &[RollbackRule]) -> Watchman<'_> {
    Watchman::new(rules, at(0), Duration::from_hours(2), None, Duration::from_secs(90))
}

/// When the first rule is broken, if looks every 10 s show what `value` says.
fn broken_at(rule: &str, until: i64, value: impl Fn(i64) -> Reading) -> Option<i64> {
    let rules = rules(&[rule]);
    let signal = match &rules[0].condition {
        crate::inputs::rule::Condition::Signal(comparison) => comparison.signal.to_string(),
        crate::inputs::rule::Condition::HealthFails => HEALTH.to_owned(),
    };
    let mut watchman = watchman(&rules);
    let broken = (0..=until / 10).find_map(|step| {
        let found = watchman.take(&look(step * 10, &signal, value(step * 10)));
        found.first().map(|broken| broken.at)
    });
    broken.map(|time| time.as_second() - SWITCHED)
}

fn from(begin: i64, end: i64, bad: f64, good: f64) -> impl Fn(i64) -> Reading {
    move |second| Reading::Value(if (begin..end).contains(&second) { bad } else { good })
}

#[test]
fn a_rule_holds_for_its_time_and_no_less() {
    let rule = "error-rate > 5% for 5m";
    assert_eq!(broken_at(rule, 900, from(60, 900, 0.051, 0.01)), Some(360));
    assert_eq!(broken_at(rule, 900, from(60, 360, 0.051, 0.01)), None, "4 min 50 s");
    assert_eq!(broken_at(rule, 900, from(60, 370, 0.051, 0.01)), Some(360));
    assert_eq!(broken_at(rule, 900, from(60, 900, 0.049, 0.01)), None);
    assert_eq!(broken_at("p95 > 500ms for 10m", 1200, from(0, 600, 0.6, 0.1)), None, "9 min 50 s");
    assert_eq!(broken_at("p95 > 500ms for 10m", 1200, from(0, 610, 0.6, 0.1)), Some(600));
}

#[test]
fn within_counts_from_the_switch_to_where_it_begins() {
    let rule = "error-rate > 5% within 5m";
    assert_eq!(broken_at(rule, 900, from(290, 900, 0.08, 0.0)), Some(290), "4 min 50 s after the switch");
    assert_eq!(broken_at(rule, 900, from(310, 900, 0.08, 0.0)), None, "5 min 10 s after the switch");
    let held = "error-rate > 5% for 1m within 5m";
    assert_eq!(broken_at(held, 900, from(290, 900, 0.08, 0.0)), Some(350), "it began in time");
    assert_eq!(broken_at(held, 900, from(310, 900, 0.08, 0.0)), None);
}

#[test]
fn a_good_look_begins_health_anew() {
    assert_eq!(broken_at("health fails 3m", 900, from(0, 900, 0.0, 1.0)), Some(180));
    let blip = |second: i64| Reading::Value(if second == 170 { 1.0 } else { 0.0 });
    assert_eq!(broken_at("health fails 3m", 900, blip), Some(360), "good at 2 min 50 s");
    assert_eq!(broken_at("health fails 3m", 340, blip), None);
}

#[test]
fn rules_without_a_time_are_broken_at_once() {
    assert_eq!(broken_at("payments-failed > 0", 60, from(30, 40, 1.0, 0.0)), Some(30));
    assert_eq!(broken_at("restarts > 2", 60, from(30, 40, 3.0, 2.0)), Some(30));
}

#[test]
fn no_data_neither_counts_nor_begins_anew() {
    let gap = |second: i64| match second {
        120..180 => Reading::Missing("away".to_owned()),
        _ => Reading::Value(0.08),
    };
    // 110 s before the gap, and 190 s after it.
    assert_eq!(broken_at("error-rate > 5% for 5m", 900, gap), Some(370));
    assert_eq!(broken_at("error-rate > 5%", 900, |_| Reading::Missing("away".to_owned())), None);
}

#[test]
fn the_first_of_two_rules_in_the_list_is_named() {
    let rules = rules(&["p99 > 2s for 10s then warn", "restarts > 2", "error-rate > 5%"]);
    let mut watchman = watchman(&rules);
    let readings = [("error-rate", 0.5), ("restarts", 9.0), ("p99", 3.0)];
    let readings = readings.map(|(name, value)| (name.to_owned(), Reading::Value(value)));
    let broken = watchman.take(&Look { at: at(0), readings: readings.into() });
    let named: Vec<&str> = broken.iter().map(|broken| broken.rule.as_str()).collect();
    assert_eq!(named, ["restarts > 2", "error-rate > 5%"]);
    assert_eq!(broken[0].text(), "restarts > 2: 9, since 13:46:40");
}

#[test]
fn two_levels_are_two_rules() {
    let rules = rules(&["error-rate > 5% for 20s", "error-rate > 1% for 20s then warn"]);
    let mut watchman = watchman(&rules);
    let mut take = |second, value| watchman.take(&look(second, "error-rate", Reading::Value(value)));
    assert!(take(0, 0.03).is_empty() && take(10, 0.03).is_empty());
    let warned: Vec<Broken> = take(20, 0.03);
    assert_eq!((warned.len(), warned[0].number), (1, 1));
    assert!(take(30, 0.03).is_empty(), "said once while it holds");
}

#[test]
fn a_rule_under_way_says_when_it_would_be_broken() {
    let rules = rules(&["error-rate > 5% for 5m", "p99 > 1s for 1m"]);
    let mut watchman = watchman(&rules);
    watchman.take(&look(0, "error-rate", Reading::Value(0.1)));
    assert_eq!(watchman.deadline(), Some(at(300)));
    assert!(watchman.is_open());
    watchman.take(&look(30, "error-rate", Reading::Value(0.1)));
    assert_eq!(watchman.deadline(), Some(at(300)));
    watchman.take(&look(60, "error-rate", Reading::Value(0.0)));
    assert_eq!(watchman.deadline(), None);
    assert!(!watchman.is_open());
}

#[test]
fn doubt_at_the_end_of_the_watch_is_doubt_still() {
    let rules = rules(&["error-rate > 5%"]);
    let mut watchman = Watchman::new(&rules, at(0), Duration::from_mins(1), None, Duration::from_secs(30));
    watchman.take(&look(55, "error-rate", Reading::Missing("no requests".to_owned())));
    watchman.take(&look(65, "error-rate", Reading::Missing("no requests".to_owned())));
    let doubts = watchman.doubts();
    assert_eq!((doubts.len(), doubts[0].since, doubts[0].why.as_str()), (1, at(55), "no requests"));
    // And what shows itself then counts.
    assert_eq!(watchman.take(&look(75, "error-rate", Reading::Value(0.5))).len(), 1);
}

/// What the next engine knows: as a note holds it.
fn noted(watchman: &Watchman<'_>) -> Vec<State> {
    serde_json::from_str(&serde_json::to_string(watchman.states()).unwrap()).unwrap()
}

#[test]
fn other_engines_go_on_from_the_notes_and_the_time_without_one_does_not_count() {
    let rules = rules(&["error-rate > 5% for 5m"]);
    let bad = |second| look(second, "error-rate", Reading::Value(0.1));
    let mut first = watchman(&rules);
    assert!(first.take(&bad(0)).is_empty() && first.take(&bad(60)).is_empty() && first.take(&bad(120)).is_empty());
    // Two engines later, each begun within the usual time between looks and long after it.
    let mut second = watchman(&rules);
    second.resume(noted(&first), at(180));
    assert!(second.take(&bad(180)).is_empty() && second.take(&bad(210)).is_empty());
    let mut third = watchman(&rules);
    third.resume(noted(&second), at(600));
    assert!(third.take(&bad(600)).is_empty());
    assert_eq!(third.deadline(), Some(at(600 + 150)), "held for 120 s and 30 s");
    assert!(third.take(&bad(660)).is_empty() && third.take(&bad(720)).is_empty());
    let broken = third.take(&bad(750));
    assert_eq!(broken[0].since, at(0));
}

#[test]
fn time_without_an_engine_is_no_time_without_data() {
    let rules = rules(&["error-rate > 5%"]);
    let away = |second| look(second, "error-rate", Reading::Missing("away".to_owned()));
    let mut first = watchman(&rules);
    first.take(&away(10));
    let mut second = watchman(&rules);
    second.resume(noted(&first), at(600));
    second.take(&away(600));
    assert_eq!(second.doubts()[0].since, at(600));
}

#[test]
fn a_rule_is_judged_though_no_look_fell_in_its_time() {
    let rules = rules(&["error-rate > 5% within 30s", "error-rate > 5% for 1m within 5m"]);
    let bad = |second| look(second, "error-rate", Reading::Value(0.1));
    let mut late = watchman(&rules[..1]);
    assert_eq!(late.take(&bad(31)).len(), 1, "the first look is a moment late");
    // Nobody looked across the end of the second rule's time.
    let mut away = watchman(&rules[1..]);
    away.take(&look(60, "error-rate", Reading::Value(0.0)));
    let mut next = watchman(&rules[1..]);
    next.resume(noted(&away), at(900));
    assert!(next.take(&bad(900)).is_empty() && next.take(&bad(930)).is_empty());
    assert_eq!(next.take(&bad(960))[0].since, at(900));
    // What is not known there is doubt, and a good look there is the last.
    let mut unknown = watchman(&rules[..1]);
    unknown.take(&look(31, "error-rate", Reading::Missing("away".to_owned())));
    assert_eq!(unknown.doubts().len(), 1);
    assert_eq!(unknown.take(&bad(40)).len(), 1);
    let mut good = watchman(&rules[..1]);
    good.take(&look(31, "error-rate", Reading::Value(0.0)));
    assert!(good.take(&bad(32)).is_empty());
}

#[test]
fn the_ends_of_the_rules_times_are_looked_at() {
    let rules = rules(&["error-rate > 5% within 30s", "restarts > 2", "p99 > 1s within 3h"]);
    let mut watchman = watchman(&rules);
    assert_eq!(watchman.horizon(), Some(at(30)));
    watchman.take(&look(29, "error-rate", Reading::Value(0.0)));
    assert_eq!(watchman.horizon(), Some(at(30)));
    watchman.take(&look(30, "error-rate", Reading::Value(0.0)));
    assert_eq!(watchman.horizon(), Some(at(7200)), "the end of the watch");
    watchman.take(&look(7201, "error-rate", Reading::Value(0.0)));
    assert_eq!(watchman.horizon(), None);
}

#[test]
fn where_no_data_may_pass_a_rule_that_began_to_hold_ends_without_it() {
    let rules = rules(&["error-rate > 5% for 5m"]);
    let away = |second| look(second, "error-rate", Reading::Missing("away".to_owned()));
    let mut watchman = Watchman::new(&rules, at(0), Duration::from_mins(2), None, Duration::from_secs(90));
    watchman.take(&look(110, "error-rate", Reading::Value(0.1)));
    for second in [120, 180, 239] {
        watchman.take(&away(second));
        watchman.forgive(at(second), Duration::from_mins(2));
        assert!(watchman.is_open(), "{second}");
    }
    watchman.take(&away(240));
    watchman.forgive(at(240), Duration::from_mins(2));
    assert!(!watchman.is_open() && watchman.doubts().is_empty());
    watchman.take(&away(250));
    assert!(!watchman.is_open() && watchman.doubts().is_empty(), "its time is over");
}

proptest! {
    /// Told by brute force: a rule is broken at the first look that ends a row of looks at which it held, of its length.
    #[test]
    fn a_rule_is_broken_exactly_after_a_row_of_bad_looks(bad in prop::collection::vec(any::<bool>(), 1..60), hold in 0_usize..6) {
        let value = |second: i64| {
            let place = usize::try_from(second / 10).unwrap();
            Reading::Value(if bad.get(place).copied().unwrap_or(false) { 0.051 } else { 0.05 })
        };
        let rule = if hold == 0 { "error-rate > 5%".to_owned() } else { format!("error-rate > 5% for {}s", hold * 10) };
        let until = i64::try_from(bad.len() - 1).unwrap() * 10;
        let expected = (hold..bad.len()).find(|last| bad[last - hold..=*last].iter().all(|bad| *bad));
        let expected = expected.map(|place| i64::try_from(place).unwrap() * 10);
        prop_assert_eq!(broken_at(&rule, until, value), expected);
    }

    /// Whatever else happens, looks without data break nothing.
    #[test]
    fn no_data_breaks_nothing(steps in prop::collection::vec(0_u8..3, 1..40)) {
        let rules = rules(&["error-rate >= 0%", "error-rate > 0% for 10s", "health fails 10s"]);
        let mut watchman = watchman(&rules);
        for (step, kind) in steps.iter().enumerate() {
            let second = i64::try_from(step).unwrap() * 10;
            let reading = match kind {
                0 => Reading::Missing("away".to_owned()),
                1 => Reading::Few { requests: 3.0, needed: 100 },
                _ => Reading::of(f64::NAN, "NaN"),
            };
            prop_assert!(watchman.take(&look(second, "error-rate", reading)).is_empty());
        }
        prop_assert_eq!(watchman.doubts().len(), 3);
    }
}
