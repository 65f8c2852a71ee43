//! `rollback-when` over a series of looks: a state machine without clock, network or surprise.
//!
//! - A rule with `for` is broken when it held at every look for so long. A look at which it does not hold begins anew; a look
//!   that cannot say (no data) neither counts nor begins anew.
//! - A rule is looked at until the watch or its `within` ends. One that began to hold in time is followed until it is broken
//!   or does not hold any more, so the watch lasts a little longer. It is over only after a look at the end of its time or
//!   behind it, so that a rule is judged though no look fell in its time.
//! - Time between two looks that are further apart than usual does not count, and never the time in which no engine ran.

mod judge;
#[cfg(test)]
mod tests;
mod watchman;

use crate::inputs::RollbackRule;
use crate::inputs::rule::Condition;
use crate::inputs::signal::Signal;

pub use judge::{Truth, judge, lacking};
pub use watchman::{Broken, Doubt, State, Watchman};

/// The signals that rules look at, each once, in their order.
pub fn signals(rules: &[RollbackRule]) -> Vec<&Signal> {
    let mut signals = Vec::new();
    for rule in rules {
        if let Condition::Signal(comparison) = &rule.condition
            && !signals.contains(&&comparison.signal)
        {
            signals.push(&comparison.signal);
        }
    }
    signals
}

/// Those of the signals whose value before the release must be known.
pub fn needs_baseline(rules: &[RollbackRule]) -> bool {
    let asks = |rule: &RollbackRule| match &rule.condition {
        Condition::Signal(comparison) => comparison.limit.needs_baseline(),
        Condition::HealthFails => false,
    };
    rules.iter().any(asks)
}
