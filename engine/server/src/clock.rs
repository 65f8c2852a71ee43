//! The engine's clock.

use jiff::Timestamp;

/// The time of day in whole milliseconds, as it is written everywhere.
pub(crate) fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}
