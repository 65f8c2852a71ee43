//! The engine's clock: the machine's, and what a test has moved the store's clock forward by.
//!
//! A store may have a file `clock` with a number of milliseconds. Engines and commands of such a store add them to the
//! time of day, so that a timer of hours can be tested in seconds. It only moves forward.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tagline_store::StoreFolder;
use tokio::sync::watch;

/// How long a sleeper trusts the clock.
const LOOK_AGAIN: Duration = Duration::from_mins(1);
/// How often an engine looks whether its store's clock was moved.
const LOOK_AT_FILE: Duration = Duration::from_millis(500);

/// By how many milliseconds the clock is moved. A process works with one store.
static MOVED: LazyLock<watch::Sender<i64>> = LazyLock::new(|| watch::Sender::new(0));

/// The time of day in whole milliseconds, as it is written everywhere.
pub fn now() -> Timestamp {
    let now = Timestamp::now();
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
