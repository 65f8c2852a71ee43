//! Waiting for a condition that sends no event of its own.

use std::time::{Duration, Instant};

/// How long a test waits for anything: long enough for a loaded machine, so that passing it means it will not come.
pub const LIMIT: Duration = Duration::from_mins(2);

/// Asks `ready` until it gives a value; fails the test after [`LIMIT`], naming `what` it waited for.
#[track_caller]
pub fn until<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(start.elapsed() < LIMIT, "waited {LIMIT:?} for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
