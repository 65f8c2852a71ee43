//! Times in JSON: RFC 3339, UTC, milliseconds.

use jiff::Timestamp;
use serde::Serializer;

/// Writes a time.
pub(super) fn at<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{at:.3}"))
}

/// Writes a time, or nothing.
#[expect(clippy::ref_option, reason = "serde asks for it")]
pub(super) fn maybe<S: Serializer>(when: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    match when {
        Some(when) => at(when, serializer),
        None => serializer.serialize_none(),
    }
}
