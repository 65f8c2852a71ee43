//! `tagline/analyse`: signals held against limits, before against after.
//!
//! ```text
//! check = SIGNAL [ "change" ] ( "<" | "<=" | ">" | ">=" ) LIMIT [ "warn" LIMIT ]
//! ```
//! A check says what must hold (`error-rate < 1%`); a rule of `rollback-when` says what must not. The `warn` limit is in the same
//! unit and stricter: passing it is said, and does not fail. Signals, limits and `change` are those of
//! [`signal`](super::signal) and [`rule`](super::rule).
//!
//! ```
//! # use tagline_delivery::inputs::analyse::AnalyseCheck;
//! let check = AnalyseCheck::parse("error-rate < 5% warn 1%", &[]).unwrap();
//! assert_eq!(check.warn.unwrap().value(), 0.01);
//! assert!(AnalyseCheck::parse("throughput change <= 10%", &[]).is_ok());
//! assert_eq!(AnalyseCheck::parse("error-rate < 5% warn 10%", &[]).unwrap_err(), "\"error-rate < 5% warn 10%\": warn 10% is above fail 5%");
//! ```

use serde::{Deserialize, Serialize};

use super::measure::MeasureKnobs;
use super::problem::Problem;
use super::reader::Reader;
use super::rule::{Comparison, Op};
use super::signal::{Limit, Signal, SignalDefinition, SignalName};
use super::units::dns_label;
use super::words::words;
use super::{Period, Share, WorkloadRef};

/// `tagline/analyse`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AnalyseInputs {
    /// The unit; the repository's name where it is not given.
    pub name: Option<String>,
    /// What must hold.
    pub checks: Vec<AnalyseCheck>,
    /// Only these workloads' pods; all of the unit where there is none.
    pub workloads: Vec<WorkloadRef>,
    /// How signals are measured.
    pub measure: MeasureKnobs,
    /// Before the first look.
    pub initial_delay: Period,
    /// How many looks must be good, at least 1.
    pub count: u32,
    /// So many looks may be bad.
    pub failure_limit: u32,
    /// What follows where nobody can say.
    pub inconclusive: Inconclusive,
    /// What "baseline" is.
    pub baseline: Baseline,
}

/// Something that must hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AnalyseCheck {
    /// As the step writes it.
    pub text: String,
    /// What must hold.
    pub holds: Comparison,
    /// Stricter, and only said.
    pub warn: Option<Limit>,
}

/// What follows where nobody can say, when waiting (`no-data-timeout`) has not helped. `no-data: fail` has said it already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Inconclusive {
    /// The step looks on until it can tell, or a person cancels it.
    Pause,
    /// It counts as bad.
    Fail,
    /// It counts as good; refused in environments with reviewers without `allow-no-data`.
    Pass,
}

/// What the baseline is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Baseline {
    /// What the live release showed before this run's deploy; taken from Prometheus' past where there is one.
    Before,
    /// This step only takes the baseline and stores it with the environment.
    Record,
    /// The one that a `record` stored.
    Stored,
}

const INCONCLUSIVE: [(&str, Inconclusive); 3] =
    [("pause", Inconclusive::Pause), ("fail", Inconclusive::Fail), ("pass", Inconclusive::Pass)];
const BASELINES: [(&str, Baseline); 3] =
    [("before", Baseline::Before), ("record", Baseline::Record), ("stored", Baseline::Stored)];

impl AnalyseCheck {
    /// Reads a line; `defined` are the signals that the step defines.
    pub fn parse(line: &str, defined: &[SignalDefinition]) -> Result<Self, String> {
        let at = |message: String| format!("\"{line}\": {message}");
        let all = words(line)?;
        if all.is_empty() {
            return Err("an empty check".to_owned());
        }
        let (holds, rest) = Comparison::take(line, &all, defined)?;
        let warn = match rest {
            [] => None,
            [word, limit] if word.is("warn") => Some(same_kind(&limit.text, &holds).map_err(at)?),
            [word, limit, baseline] if word.is("warn") && baseline.is("baseline") => {
                Some(Limit::factor(&limit.text).map_err(at)?)
            }
            [word, ..] => return Err(at(format!("\"{}\" is not understood; warn LIMIT", word.text))),
        };
        let check = Self { text: line.to_owned(), holds, warn };
        check.order().map_err(at)?;
        Ok(check)
    }

    /// The warning must come before the failure.
    fn order(&self) -> Result<(), String> {
        let Some(warn) = self.warn else { return Ok(()) };
        let fail = self.holds.limit;
        let (later, word) = if self.holds.op.bounds_above() {
            (warn.value() > fail.value(), "above")
        } else {
            (warn.value() < fail.value(), "below")
        };
        if later { Err(format!("warn {warn} is {word} fail {fail}")) } else { Ok(()) }
    }
}

/// A limit in the unit of the comparison's own.
fn same_kind(text: &str, holds: &Comparison) -> Result<Limit, String> {
    match holds.limit {
        Limit::Change(_) => Share::parse(text).map(Limit::Change),
        Limit::Baseline(_) => Limit::factor(text),
        _ => Limit::parse(text, holds.signal.unit()),
    }
}

impl AnalyseInputs {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let mut measure = MeasureKnobs::read(reader, "source");
        let open = !reader.are_settled(&["signals"]);
        let checks = reader.lines("checks", |line| match AnalyseCheck::parse(line, &measure.signals) {
            Err(message) if open && message.contains("unknown signal") => Ok(None),
            other => other.map(Some),
        });
        let mut checks: Vec<AnalyseCheck> = checks.into_iter().flatten().collect();
        checks.extend(single(reader, &mut measure));
        let inputs = Self {
            name: reader.read("name", dns_label),
            checks,
            workloads: reader.words("workloads", WorkloadRef::parse),
            measure,
            initial_delay: reader.period("initial-delay"),
            count: reader.count("count", 1).unwrap_or(1),
            failure_limit: reader.count("failure-limit", 0).unwrap_or_default(),
            inconclusive: reader.choice("inconclusive", "an answer to doubt", &INCONCLUSIVE),
            baseline: reader.choice("baseline", "a baseline", &BASELINES),
        };
        let nothing = inputs.checks.is_empty() && inputs.measure.log_limits.is_empty();
        reader.rule(&["checks", "query", "log-limits", "signals"], nothing, || {
            "nothing is measured; give checks, query or log-limits".to_owned()
        });
        let (count, limit) = (inputs.count, inputs.failure_limit);
        reader.rule(&["failure-limit", "count"], limit >= count && limit > 0, || {
            format!("failure-limit {limit} with count {count}: it can never fail; below {count}")
        });
        inputs
    }
}

impl AnalyseInputs {
    /// What an environment with reviewers asks beyond that: what nobody can say does not pass there without a reason.
    pub(super) fn for_protected(&self, environment: &str) -> Vec<Problem> {
        let refused = self.inconclusive == Inconclusive::Pass && self.measure.allow_no_data.is_none();
        let message = format!("inconclusive: pass is refused for {environment}; give allow-no-data: reason");
        let own = refused.then(|| Problem::new("inconclusive", message));
        self.measure.for_protected(environment).into_iter().chain(own).collect()
    }
}

/// `query`, `warn` and `fail`: one signal, a key each. It fails above `fail`.
fn single(reader: &mut Reader<'_>, measure: &mut MeasureKnobs) -> Option<AnalyseCheck> {
    for key in ["warn", "fail"] {
        if reader.is_given(key) && !reader.is_given("query") {
            reader.problem(key, "belongs to query, which is not given; in checks write error-rate < 5% warn 1%");
        }
    }
    let query = reader.text("query")?;
    let signal = Signal::parse(&query, &measure.signals).unwrap_or_else(|_| {
        measure.signals.push(SignalDefinition { name: "query".to_owned(), query: query.clone() });
        Signal { name: SignalName::Defined("query".to_owned()), labels: Vec::new() }
    });
    if !reader.is_given("fail") {
        reader.problem("fail", "query needs it: the value above which it fails");
    }
    let unit = signal.unit();
    let fail = reader.read("fail", |text| Limit::parse(text, unit));
    let warn = reader.read("warn", |text| Limit::parse(text, unit));
    let holds = Comparison { signal, op: Op::AtMost, limit: fail? };
    let check = AnalyseCheck { text: holds.to_string(), holds, warn };
    if let Err(message) = check.order() {
        reader.problem("warn", message);
    }
    Some(check)
}
