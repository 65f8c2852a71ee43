//! `rollback-when`: rules, one a line, that end a release when they hold.
//!
//! ```text
//! rule   = ( condition | health ) { when } [ "then" action ]
//! condition = SIGNAL [ "change" ] ( ">" | ">=" | "<" | "<=" ) LIMIT
//! health = "health" "fails" DURATION
//! when   = "for" DURATION | "within" DURATION
//! action = "rollback" | "restart" | "stop" | "warn"
//! ```
//! - `for 5m`: holds at every look for so long without a break; without it one look is enough.
//! - `within 30m`: is looked at only so long after the switch; a violation that began in time counts when it is held.
//! - `health fails 3m`: the health check fails for so long in a row; one good answer begins anew.
//! - `change > 10%`: the distance to the baseline, up or down, as a share of it. The baseline is what was measured before
//!   the release.
//! - `then rollback` is the default. `restart`: back, and the old pods are restarted. `stop`: the step fails and traffic stays
//!   where it is. `warn`: only said.
//! - Comparison is exact: `> 5%` does not hold at 5 %.
//!
//! ```
//! # use tagline_delivery::inputs::RollbackRule;
//! for rule in [
//!     "error-rate > 5% for 5m",
//!     "p99 > 2x baseline within 30m",
//!     "p95{uri=\"/api\"} > 500ms for 10m",
//!     "throughput change > 10% for 5m",
//!     "memory-slope > 1MiB/min for 5m within 1h then restart",
//!     "error-rate > 1% for 5m then warn",
//!     "health fails 3m",
//! ] {
//!     assert_eq!(RollbackRule::parse(rule, &[]).unwrap().to_string(), rule.replace("1MiB/min", "17476.266666666666B/s"));
//! }
//! assert_eq!(RollbackRule::parse("error rate > 5", &[]).unwrap_err(), "\"error rate > 5\": no unit; 5%? and the signal is spelled error-rate");
//! ```

use std::fmt;

use serde::{Deserialize, Serialize};

use super::signal::{Builtin, Limit, Signal, SignalDefinition};
use super::words::{Word, words};
use super::{Period, Share, did_you_mean};

/// One rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RollbackRule {
    /// As the step writes it: how it is named in logs.
    pub text: String,
    /// What is looked at.
    pub condition: Condition,
    /// `for`: how long it must hold without a break.
    pub hold: Option<Period>,
    /// `within`: how long after the switch it is looked at.
    pub within: Option<Period>,
    /// What follows.
    pub then: Then,
}

/// What a rule looks at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    /// A signal on the wrong side of its limit.
    Signal(Comparison),
    /// The health check fails; the rule's `hold` says for how long.
    HealthFails,
}

/// A signal beside a limit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// What is measured.
    pub signal: Signal,
    /// How.
    pub op: Op,
    /// Against what.
    pub limit: Limit,
}

/// A comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op {
    /// `>`
    #[serde(rename = ">")]
    Above,
    /// `>=`
    #[serde(rename = ">=")]
    AtLeast,
    /// `<`
    #[serde(rename = "<")]
    Below,
    /// `<=`
    #[serde(rename = "<=")]
    AtMost,
}

impl Op {
    const ALL: [(&'static str, Self); 4] =
        [(">=", Self::AtLeast), ("<=", Self::AtMost), (">", Self::Above), ("<", Self::Below)];

    /// Whether it holds. Never for NaN.
    pub fn holds(self, value: f64, limit: f64) -> bool {
        match self {
            Self::Above => value > limit,
            Self::AtLeast => value >= limit,
            Self::Below => value < limit,
            Self::AtMost => value <= limit,
        }
    }

    /// It bounds from above: greater values break it.
    pub const fn bounds_above(self) -> bool {
        matches!(self, Self::Below | Self::AtMost)
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = Self::ALL.iter().find(|(_, op)| op == self);
        f.write_str(found.map_or("", |(text, _)| text))
    }
}

/// What follows when a rule holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Then {
    /// The release goes back.
    Rollback,
    /// It goes back, and the old pods are restarted.
    Restart,
    /// The step fails; traffic stays where it is.
    Stop,
    /// It is said and nothing else.
    Warn,
}

impl Then {
    const ALL: [(&'static str, Self); 4] =
        [("rollback", Self::Rollback), ("restart", Self::Restart), ("stop", Self::Stop), ("warn", Self::Warn)];
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let change = if matches!(self.limit, Limit::Change(_)) { " change" } else { "" };
        write!(f, "{}{change} {} {}", self.signal, self.op, self.limit)
    }
}

impl fmt::Display for RollbackRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.condition, self.hold) {
            (Condition::HealthFails, hold) => write!(f, "health fails {}", hold.unwrap_or_default())?,
            (Condition::Signal(comparison), None) => write!(f, "{comparison}")?,
            (Condition::Signal(comparison), Some(hold)) => write!(f, "{comparison} for {hold}")?,
        }
        if let Some(within) = self.within {
            write!(f, " within {within}")?;
        }
        match Then::ALL.iter().find(|(_, then)| *then == self.then) {
            Some((text, then)) if *then != Then::Rollback => write!(f, " then {text}"),
            _ => Ok(()),
        }
    }
}

impl Comparison {
    /// Takes a comparison from the front of a line's words. `line` is for messages.
    pub(super) fn take<'l>(
        line: &str,
        mut rest: &'l [Word],
        defined: &[SignalDefinition],
    ) -> Result<(Self, &'l [Word]), String> {
        let at = |message: String| format!("\"{line}\": {message}");
        let (name, mut hint) = spelled(rest);
        rest = &rest[if hint.is_empty() { 1 } else { 2 }..];
        let signal = Signal::parse(&name, defined).map_err(at)?;
        let change = rest.first().is_some_and(|word| word.is("change"));
        rest = &rest[usize::from(change)..];
        let Some((op, after)) = rest.split_first() else {
            return Err(at("no comparison; write > or <, and a limit".to_owned()));
        };
        // `> 5%` and `>5%` are the same.
        let found = Op::ALL.into_iter().find_map(|(text, found)| Some((found, op.text.strip_prefix(text)?)));
        let Some((op, glued)) = found else {
            return Err(at(format!("\"{}\" is not a comparison; >, >=, <, <=", op.text)));
        };
        let (limit, mut rest) = match after.split_first() {
            _ if !glued.is_empty() => (glued, after),
            Some((limit, after)) => (limit.text.as_str(), after),
            None => return Err(at("no limit after the comparison".to_owned())),
        };
        let of_baseline = rest.first().is_some_and(|word| word.is("baseline"));
        rest = &rest[usize::from(of_baseline)..];
        let limit = match (change, of_baseline) {
            (true, true) => Err("either change or baseline; a change is from the baseline".to_owned()),
            (true, false) => Share::parse(limit).map(Limit::Change),
            (false, true) => Limit::factor(limit),
            (false, false) if limit.ends_with('x') && Limit::factor(limit).is_ok() => {
                Err(format!("{limit} of what? {limit} baseline"))
            }
            (false, false) => Limit::parse(limit, signal.unit()),
        };
        match limit {
            Ok(limit) if hint.is_empty() => Ok((Self { signal, op, limit }, rest)),
            Ok(_) => Err(at(std::mem::take(&mut hint))),
            Err(error) if hint.is_empty() => Err(at(error)),
            Err(error) => Err(at(format!("{error} and {hint}"))),
        }
    }
}

/// The signal's name, and what is wrong with its spelling: `error rate` is one name.
fn spelled(words: &[Word]) -> (String, String) {
    let first = words.first().map_or("", |word| word.text.as_str());
    if let Some(second) = words.get(1) {
        let joined = format!("{first}-{}", second.text);
        if Builtin::ALL.into_iter().any(|builtin| builtin.name() == joined) {
            let hint = format!("the signal is spelled {joined}");
            return (joined, hint);
        }
    }
    (first.to_owned(), String::new())
}

impl RollbackRule {
    /// Reads a rule; `defined` are the signals that the step defines.
    pub fn parse(line: &str, defined: &[SignalDefinition]) -> Result<Self, String> {
        let at = |message: String| format!("\"{line}\": {message}");
        let all = words(line)?;
        let Some(first) = all.first() else { return Err("an empty rule".to_owned()) };
        if first.is("cve") {
            return Err(at("vulnerabilities found later are not carried out yet; remove the rule".to_owned()));
        }
        let (condition, mut rest) = if first.is("health") {
            if !all.get(1).is_some_and(|word| word.is("fails")) {
                return Err(at("write health fails 3m".to_owned()));
            }
            (Condition::HealthFails, &all[2..])
        } else {
            let (comparison, rest) = Comparison::take(line, &all, defined)?;
            (Condition::Signal(comparison), rest)
        };
        let mut rule = Self { text: line.to_owned(), condition, hold: None, within: None, then: Then::Rollback };
        if rule.condition == Condition::HealthFails {
            let Some((period, after)) = rest.split_first() else {
                return Err(at("for how long? health fails 3m".to_owned()));
            };
            rule.hold = Some(Period::parse(&period.text).map_err(at)?);
            rest = after;
        }
        rule.take_rest(rest).map_err(at)?;
        match (rule.hold, rule.within) {
            (Some(hold), Some(within)) if hold > within => {
                Err(at(format!("for {hold} is longer than within {within}: it can never fire")))
            }
            _ => Ok(rule),
        }
    }

    fn take_rest(&mut self, mut rest: &[Word]) -> Result<(), String> {
        while let Some((word, after)) = rest.split_first() {
            let value = after.first().map(|word| word.text.as_str());
            let missing = || format!("nothing after \"{}\"", word.text);
            match word.text.as_str() {
                "for" if self.hold.is_none() => self.hold = Some(Period::parse(value.ok_or_else(missing)?)?),
                "within" if self.within.is_none() => self.within = Some(Period::parse(value.ok_or_else(missing)?)?),
                "then" => {
                    self.then = super::reader::one_of(value.ok_or_else(missing)?, "what may follow", &Then::ALL)?;
                    if let Some(more) = after.get(1) {
                        return Err(format!("\"{}\" after the end", more.text));
                    }
                }
                "for" | "within" => return Err(format!("\"{}\" twice", word.text)),
                other => {
                    let guess = did_you_mean(other, ["for", "within", "then"]);
                    return Err(format!("\"{other}\" is not understood; for, within, then{guess}"));
                }
            }
            rest = &after[1..];
        }
        Ok(())
    }

    /// How long must be watched until it can fire at all.
    pub fn least_watch(&self) -> Period {
        self.hold.unwrap_or_default()
    }
}
