//! Taking a store's lock after an engine was killed.
//!
//! A child that it was starting right then has the lock, too, until it has become another program. That takes a moment,
//! and the engine that the lock names is no more: then, and only then, the lock is asked for again.

use std::time::Duration;

use tagline_executor::Process;
use tagline_store::{EngineLock, StoreError, StoreFolder};

/// Together well below the second in which a second engine is refused.
const TRIES: u32 = 25;
const PAUSE: Duration = Duration::from_millis(20);

/// Takes the lock. `what` names the command for others.
///
/// # Errors
/// [`StoreError::Busy`] when another engine drives the store: at once where it lives.
pub(crate) fn take(folder: &StoreFolder, what: &str) -> Result<EngineLock, StoreError> {
    for _ in 0..TRIES {
        match EngineLock::take(folder, what) {
            Err(StoreError::Busy { holder, .. }) if is_gone(&holder) => std::thread::sleep(PAUSE),
            taken => return taken,
        }
    }
    EngineLock::take(folder, what)
}

/// Whether a lock's `process 4711 (tagline serve)` names a process that has ended.
fn is_gone(holder: &str) -> bool {
    let number = holder.strip_prefix("process ").and_then(|rest| rest.split(' ').next()?.parse::<u32>().ok());
    number.is_some_and(|number| Process::of(number).is_none())
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::sync::mpsc;

    use super::*;

    /// Above the highest process id of Linux.
    const NOBODY: &str = "process 4194305 (tagline serve)";

    #[test]
    fn only_the_lock_of_a_dead_engine_is_waited_for() {
        assert!(is_gone(NOBODY));
        assert!(!is_gone(&format!("process {} (a test)", std::process::id())));
        assert!(!is_gone("another process"));
    }

    #[test]
    fn a_lock_that_outlives_its_engine_for_a_moment_is_taken() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = StoreFolder::at(scratch.path());
        folder.create().unwrap();
        let child = File::create(folder.lock()).unwrap();
        child.lock().unwrap();
        std::fs::write(folder.lock(), NOBODY).unwrap();
        assert!(matches!(EngineLock::take(&folder, "a test"), Err(StoreError::Busy { .. })));
        let (begin, begun) = mpsc::channel();
        let holder = std::thread::spawn(move || {
            begun.recv().unwrap();
            drop(child);
        });
        begin.send(()).unwrap();
        drop(take(&folder, "a test").unwrap());
        holder.join().unwrap();
    }
}
