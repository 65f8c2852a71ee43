//! Time: the wall clock for what people read, the monotonic clock for every limit.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::event::Timespec;

/// Milliseconds since the Unix epoch; decides nothing.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The time left until the earliest of some moments, as `poll` takes it; none waits for ever.
pub(crate) fn until(moments: impl IntoIterator<Item = Instant>) -> Option<Timespec> {
    let left = moments.into_iter().min()?.saturating_duration_since(Instant::now());
    // Rounded up, or a wait would end just before its moment and spin.
    let left = left + Duration::from_micros(100);
    Timespec::try_from(left).ok()
}
