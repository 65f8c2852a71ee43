//! The state of all rules of a release.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::judge::{Truth, judge};
use crate::check::Baseline;
use crate::check::look::{HEALTH, Look, Reading, number};
use crate::inputs::RollbackRule;
use crate::inputs::rule::{Condition, Then};
use crate::inputs::signal::Unit;

/// A rule that is broken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Broken {
    /// Its place in the list, from 0.
    pub number: usize,
    /// The rule as the step writes it.
    pub rule: String,
    /// What follows.
    pub then: Then,
    /// What was seen last: `8.1%`.
    pub value: String,
    /// Since when it holds.
    pub since: Timestamp,
    /// The look that broke it.
    pub at: Timestamp,
}

impl Broken {
    /// One line: `error-rate > 5% for 5m: 8.1%, since 14:02:11`.
    pub fn text(&self) -> String {
        format!("{}: {}, since {}", self.rule, self.value, self.since.strftime("%H:%M:%S"))
    }
}

/// A rule that nobody can judge at present.
#[derive(Debug, Clone, PartialEq)]
pub struct Doubt {
    /// The rule as the step writes it.
    pub rule: String,
    /// Since when there is no data.
    pub since: Timestamp,
    /// Why.
    pub why: String,
    /// It lacks only requests: there may be enough of them later.
    pub few: bool,
}

/// Follows rules from look to look.
#[derive(Debug)]
pub struct Watchman<'a> {
    rules: &'a [RollbackRule],
    baseline: Option<&'a Baseline>,
    switched_at: Timestamp,
    end: Timestamp,
    gap: SignedDuration,
    last: Option<Timestamp>,
    states: Vec<State>,
}

/// What is known of one rule: an engine notes it, and the next one goes on from there.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    since: Option<Timestamp>,
    held: SignedDuration,
    /// It held at the last look.
    running: bool,
    broken: bool,
    doubt: Option<(Timestamp, String, bool)>,
    /// A look fell at the end of its time or behind it.
    passed: bool,
}

impl<'a> Watchman<'a> {
    /// Of rules after a switch. `watch`: how long rules may begin to hold; `gap`: looks further apart than this say nothing
    /// about the time between them.
    pub fn new(
        rules: &'a [RollbackRule],
        switched_at: Timestamp,
        watch: Duration,
        baseline: Option<&'a Baseline>,
        gap: Duration,
    ) -> Self {
        let states = vec![State::default(); rules.len()];
        let end = later(switched_at, watch);
        Self { rules, baseline, switched_at, end, gap: signed(gap), last: None, states }
    }

    /// What is known of each rule, in the order of the list.
    pub fn states(&self) -> &[State] {
        &self.states
    }

    /// Goes on from what an engine that is gone knew. The time without one counts neither as held nor as time without data.
    pub fn resume(&mut self, states: Vec<State>, now: Timestamp) {
        // Notes of other rules say nothing about these.
        if states.len() != self.rules.len() {
            return;
        }
        self.states = states;
        for (since, ..) in self.states.iter_mut().filter_map(|state| state.doubt.as_mut()) {
            *since = now;
        }
    }

    /// Where no data may pass: a rule that had none for so long is as if nothing had been seen of it.
    pub fn forgive(&mut self, at: Timestamp, after: Duration) {
        for state in &mut self.states {
            if state.doubt.as_ref().is_some_and(|(since, ..)| at >= later(*since, after)) {
                *state = State { passed: state.passed, ..State::default() };
            }
        }
    }

    /// Takes in a look; gives the rules that it broke, in the order of the list. Each is given once while it holds.
    pub fn take(&mut self, look: &Look) -> Vec<Broken> {
        let passed = self.last.map(|last| look.at.duration_since(last)).filter(|passed| *passed <= self.gap);
        self.last = Some(look.at);
        let mut broken = Vec::new();
        for (number, rule) in self.rules.iter().enumerate() {
            let (truth, value) = self.truth(rule, look);
            let horizon = self.horizon_of(rule);
            let hold = rule.hold.map_or(SignedDuration::ZERO, |hold| signed(*hold));
            if let Some(since) = self.states[number].take(&truth, look.at, passed, horizon, hold) {
                let rule_text = rule.text.clone();
                broken.push(Broken { number, rule: rule_text, then: rule.then, value, since, at: look.at });
            }
        }
        broken
    }

    fn truth(&self, rule: &RollbackRule, look: &Look) -> (Truth, String) {
        match &rule.condition {
            Condition::Signal(comparison) => {
                let reading = look.reading(&comparison.signal);
                let value = reading.map(|reading| reading.text(comparison.signal.unit())).unwrap_or_default();
                let before = self.baseline.and_then(|baseline| baseline.value(&comparison.signal).ok());
                let value = match before.filter(|_| comparison.limit.needs_baseline()) {
                    Some(before) => format!("{value}, {} before", number(before, comparison.signal.unit())),
                    None => value,
                };
                (judge(comparison, &comparison.limit, reading, self.baseline), value)
            }
            Condition::HealthFails => match look.readings.get(HEALTH) {
                Some(Reading::Value(health)) if *health > 0.0 => (Truth::No, "well".to_owned()),
                Some(Reading::Value(_)) => (Truth::Yes, "the health check fails".to_owned()),
                Some(other) => (Truth::Unknown { why: other.text(Unit::Number), few: false }, String::new()),
                None => (Truth::Unknown { why: "it was not asked".to_owned(), few: false }, String::new()),
            },
        }
    }

    /// When the next rule is broken if it goes on holding: the best time for the next look.
    pub fn deadline(&self) -> Option<Timestamp> {
        let last = self.last?;
        let under_way = self.rules.iter().zip(&self.states).filter(|(_, state)| state.running && !state.broken);
        let left = under_way.filter_map(|(rule, state)| {
            let left = signed(*rule.hold?).checked_sub(state.held)?;
            last.checked_add(left.max(SignedDuration::ZERO)).ok()
        });
        left.min()
    }

    /// The nearest end of a rule's time that no look has reached: a rule is over only when it was looked at there.
    pub fn horizon(&self) -> Option<Timestamp> {
        let open = self.rules.iter().zip(&self.states).filter(|(_, state)| !state.passed);
        open.map(|(rule, _)| self.horizon_of(rule)).min()
    }

    fn horizon_of(&self, rule: &RollbackRule) -> Timestamp {
        rule.within.map_or(self.end, |within| later(self.switched_at, *within).min(self.end))
    }

    /// A rule that would end the release began to hold and is not decided.
    pub fn is_open(&self) -> bool {
        let mut all = self.rules.iter().zip(&self.states);
        all.any(|(rule, state)| rule.then != Then::Warn && state.since.is_some() && !state.broken)
    }

    /// The rules that could not be judged at the last look, warnings left away.
    pub fn doubts(&self) -> Vec<Doubt> {
        let all = self.rules.iter().zip(&self.states).filter(|(rule, _)| rule.then != Then::Warn);
        let doubt = |(rule, state): (&RollbackRule, &State)| {
            let (since, why, few) = state.doubt.clone()?;
            Some(Doubt { rule: rule.text.clone(), since, why, few })
        };
        all.filter_map(doubt).collect()
    }

    /// Which rules hold, do not hold, cannot be judged: it changes where something is worth being noted.
    pub fn shape(&self) -> Vec<(bool, bool)> {
        self.states.iter().map(|state| (state.running, state.doubt.is_some())).collect()
    }
}

impl State {
    /// Since when the rule holds, where this look breaks it.
    fn take(
        &mut self,
        truth: &Truth,
        at: Timestamp,
        passed: Option<SignedDuration>,
        horizon: Timestamp,
        hold: SignedDuration,
    ) -> Option<Timestamp> {
        // It was looked at when its time ended, and neither held then nor was in doubt: it is over.
        if self.passed && self.since.is_none() && self.doubt.is_none() {
            return None;
        }
        self.passed = at >= horizon;
        match truth {
            Truth::Unknown { why, few } => {
                self.running = false;
                let since = self.doubt.as_ref().map_or(at, |(since, ..)| *since);
                self.doubt = Some((since, why.clone(), *few));
                return None;
            }
            Truth::No => *self = Self { passed: self.passed, ..Self::default() },
            Truth::Yes => {
                self.doubt = None;
                if let Some(passed) = passed.filter(|_| self.running) {
                    self.held = self.held.saturating_add(passed);
                }
                self.since.get_or_insert(at);
                self.running = true;
            }
        }
        let since = self.since.filter(|_| self.running && !self.broken && self.held >= hold)?;
        self.broken = true;
        Some(since)
    }
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

fn later(time: Timestamp, duration: Duration) -> Timestamp {
    time.checked_add(signed(duration)).unwrap_or(Timestamp::MAX)
}
