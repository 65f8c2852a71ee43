//! The state of all rules of a release.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::judge::{Truth, judge};
use crate::check::Baseline;
use crate::check::look::{HEALTH, Look, Reading, number};
use crate::inputs::RollbackRule;
use crate::inputs::rule::{Condition, Then};
use crate::inputs::signal::Unit;

/// A rule that is broken.
#[derive(Debug, Clone, PartialEq)]
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

#[derive(Debug, Clone, Default)]
struct State {
    since: Option<Timestamp>,
    held: SignedDuration,
    /// It held at the last look.
    running: bool,
    broken: bool,
    doubt: Option<(Timestamp, String, bool)>,
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

    /// Takes in looks of an engine that is gone. It noted every change, so between two of them nothing changed.
    pub fn replay(&mut self, looks: &[Look]) {
        let gap = std::mem::replace(&mut self.gap, SignedDuration::MAX);
        for look in looks {
            self.take(look);
        }
        self.gap = gap;
    }

    /// Takes in a look; gives the rules that it broke, in the order of the list. Each is given once while it holds.
    pub fn take(&mut self, look: &Look) -> Vec<Broken> {
        let passed = self.last.map(|last| look.at.duration_since(last)).filter(|passed| *passed <= self.gap);
        self.last = Some(look.at);
        let mut broken = Vec::new();
        for (number, rule) in self.rules.iter().enumerate() {
            let (truth, value) = self.truth(rule, look);
            let horizon = rule.within.map_or(self.end, |within| later(self.switched_at, *within).min(self.end));
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
        // A rule whose time is over needs no data any more, unless it was in doubt when its time ended.
        let in_doubt = self.doubt.as_ref().is_some_and(|(since, ..)| *since <= horizon);
        let over = at > horizon && self.since.is_none() && !in_doubt;
        match truth {
            Truth::Unknown { why, few } => {
                self.running = false;
                self.doubt = match self.doubt.take() {
                    _ if over => None,
                    Some((since, ..)) => Some((since, why.clone(), *few)),
                    None => Some((at, why.clone(), *few)),
                };
                return None;
            }
            Truth::No => *self = Self::default(),
            Truth::Yes if over => self.doubt = None,
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
