//! The engine's clock: the machine's, held against one that cannot be set, and what a test has moved the store's clock
//! forward by.
//!
//! Within a process time goes on at least as fast as the clock that cannot be set, so a machine whose time of day is set
//! back extends no deadline. A time of day that is suddenly far ahead is believed once it has stayed so for a minute: one
//! bad reading must not be stored, because a run's time never goes back behind its latest event.
//!
//! A store may have a file `clock` with a number of milliseconds. Engines and commands of such a store add them to the
//! time of day, so that a timer of hours can be tested in seconds. It only moves forward.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rustix::time::{ClockId, clock_gettime};
use tagline_store::StoreFolder;
use tokio::sync::watch;

/// How long a sleeper trusts the clock.
const LOOK_AGAIN: Duration = Duration::from_mins(1);
/// How often an engine looks whether its store's clock was moved.
const LOOK_AT_FILE: Duration = Duration::from_millis(500);

/// A time of day that is more than this ahead of what has passed is a jump.
const JUMP: SignedDuration = SignedDuration::from_mins(5);
/// How long a jump must last before it is believed.
const LASTS: SignedDuration = SignedDuration::from_mins(1);

/// The process's time of day, from its first reading on.
static GUARD: LazyLock<Mutex<Guard>> = LazyLock::new(|| Mutex::new(Guard::new(Timestamp::now(), steady())));

/// By how many milliseconds the clock is moved. A process works with one store.
static MOVED: LazyLock<watch::Sender<i64>> = LazyLock::new(|| watch::Sender::new(0));

/// The time of day in whole milliseconds, as it is written everywhere.
pub fn now() -> Timestamp {
    let now = GUARD.lock().unwrap_or_else(PoisonError::into_inner).read(Timestamp::now(), steady());
    let moved = SignedDuration::from_millis(*MOVED.borrow());
    let now = now.saturating_add(moved).unwrap_or(now);
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}

/// Done when that time has come. The clock is looked at once a minute, and whenever it is moved.
pub(crate) async fn until(at: Timestamp) {
    let mut moved = MOVED.subscribe();
    loop {
        let Ok(left) = Duration::try_from(at.duration_since(now())) else { return };
        if left.is_zero() {
            return;
        }
        let _ = tokio::time::timeout(left.min(LOOK_AGAIN), moved.changed()).await;
    }
}

/// Takes over how far a store's clock was moved.
///
/// # Returns
/// How far; none for a store whose clock was never moved.
pub fn of_store(folder: &StoreFolder) -> Option<SignedDuration> {
    let moved: i64 = fs::read_to_string(file(folder)).ok()?.trim().parse().ok()?;
    MOVED.send_if_modified(|known| std::mem::replace(known, moved) != moved);
    Some(SignedDuration::from_millis(moved))
}

/// Follows a store's clock for as long as this is awaited.
pub(crate) async fn follow(folder: StoreFolder) {
    loop {
        of_store(&folder);
        tokio::time::sleep(LOOK_AT_FILE).await;
    }
}

/// Moves a store's clock forward, and returns by how much it was moved in all.
pub fn forward(folder: &StoreFolder, by: Duration) -> io::Result<SignedDuration> {
    let by = SignedDuration::try_from(by).map_err(io::Error::other)?;
    let moved = of_store(folder).unwrap_or(SignedDuration::ZERO).saturating_add(by);
    let mut new = tempfile::NamedTempFile::new_in(folder.root())?;
    write!(new, "{}", moved.as_millis())?;
    new.persist(file(folder)).map_err(|error| error.error)?;
    of_store(folder);
    Ok(moved)
}

fn file(folder: &StoreFolder) -> PathBuf {
    folder.root().join("clock")
}

/// Time since some moment by the clock that nobody can set. It goes on while the machine is suspended: else each resume
/// would be a jump.
fn steady() -> SignedDuration {
    let time = clock_gettime(ClockId::Boottime);
    SignedDuration::new(time.tv_sec, i32::try_from(time.tv_nsec).unwrap_or_default())
}

/// A time of day, held against a clock that cannot be set.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Guard {
    /// A time of day that was believed, and when that was by the steady clock.
    believed: Timestamp,
    since: SignedDuration,
    /// Since when the time of day has been far ahead.
    ahead: Option<SignedDuration>,
}

impl Guard {
    fn new(wall: Timestamp, steady: SignedDuration) -> Self {
        Self { believed: wall, since: steady, ahead: None }
    }

    /// The time that counts, given what both clocks show.
    fn read(&mut self, wall: Timestamp, steady: SignedDuration) -> Timestamp {
        let passed = steady.saturating_sub(self.since).max(SignedDuration::ZERO);
        let expected = self.believed.saturating_add(passed).unwrap_or(Timestamp::MAX);
        if wall.duration_since(expected) <= JUMP {
            self.ahead = None;
            return wall.max(expected);
        }
        let first = *self.ahead.get_or_insert(steady);
        if steady.saturating_sub(first) < LASTS {
            return expected;
        }
        *self = Self::new(wall, steady);
        wall
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;
    const START: i64 = 1_790_000_000;

    /// What the guard makes of a time of day, both in seconds after the first reading.
    fn read(guard: &mut Guard, wall: i64, steady: i64) -> i64 {
        let time = Timestamp::from_second(START + wall).unwrap();
        guard.read(time, SignedDuration::from_secs(steady + 7)).as_second() - START
    }

    fn guard() -> Guard {
        Guard::new(Timestamp::from_second(START).unwrap(), SignedDuration::from_secs(7))
    }

    #[test]
    fn a_right_clock_is_read_as_it_is() {
        let mut guard = guard();
        for second in [0, 1, 59, 3600, DAY, 400 * DAY] {
            assert_eq!(read(&mut guard, second, second), second);
        }
        // Small corrections are no jumps, and nothing is held against later readings.
        assert_eq!(read(&mut guard, 400 * DAY + 290, 400 * DAY), 400 * DAY + 290);
        assert_eq!(read(&mut guard, 400 * DAY + 1, 400 * DAY + 1), 400 * DAY + 1);
    }

    #[test]
    fn one_bad_reading_is_not_believed() {
        let mut guard = guard();
        assert_eq!(read(&mut guard, 365 * DAY, 10), 10);
        assert_eq!(read(&mut guard, 365 * DAY + 1, 11), 11);
        assert_eq!(read(&mut guard, 12, 12), 12);
        // The next one is as bad, however long after.
        assert_eq!(read(&mut guard, 365 * DAY, 500), 500);
    }

    #[test]
    fn a_jump_that_lasts_is_believed_after_a_minute() {
        let mut guard = guard();
        assert_eq!(read(&mut guard, DAY + 10, 10), 10);
        assert_eq!(read(&mut guard, DAY + 69, 69), 69);
        assert_eq!(read(&mut guard, DAY + 70, 70), DAY + 70);
        assert_eq!(read(&mut guard, DAY + 71, 71), DAY + 71);
        // From then on it is what counts.
        assert_eq!(read(&mut guard, 72, 72), DAY + 72);
    }

    #[test]
    fn a_clock_that_is_set_back_extends_nothing() {
        let mut guard = guard();
        assert_eq!(read(&mut guard, -DAY, 5), 5);
        assert_eq!(read(&mut guard, 3 * DAY, 4 * DAY), 4 * DAY);
        assert_eq!(read(&mut guard, 4 * DAY + 1, 4 * DAY + 1), 4 * DAY + 1);
    }

    #[test]
    fn the_steady_clock_goes_on() {
        let (first, second) = (steady(), steady());
        assert!(first > SignedDuration::ZERO && second >= first);
    }
}
