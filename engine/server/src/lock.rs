//! Taking a store's lock when it is free in a moment, and at once or not at all otherwise.
//!
//! A command without an engine has it for one transaction. And a child that an engine was starting when it was killed
//! has it, too, until it has become another program; the engine that the lock names is no more then.

use std::time::Duration;

use tagline_executor::Process;
use tagline_store::{EngineLock, StoreError, StoreFolder};

/// What a command that has the lock for one transaction calls itself.
pub const COMMAND: &str = "a command";

/// Together below the second in which a second engine is refused.
const TRIES: u32 = 40;
const PAUSE: Duration = Duration::from_millis(20);

/// Takes the lock. `what` names the command for others.
///
/// # Errors
/// [`StoreError::Busy`] when another engine drives the store: at once where it lives.
pub fn take(folder: &StoreFolder, what: &str) -> Result<EngineLock, StoreError> {
    for _ in 0..TRIES {
        match EngineLock::take(folder, what) {
            Err(StoreError::Busy { holder, .. }) if in_a_moment(&holder) => std::thread::sleep(PAUSE),
            taken => return taken,
        }
    }
    EngineLock::take(folder, what)
}

/// Whether who has the lock gives it back soon, or has only just taken it and not said who it is.
fn in_a_moment(holder: &str) -> bool {
    !holder.starts_with("process ") || holder.ends_with(&format!("({COMMAND})")) || is_gone(holder)
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
        assert!(!in_a_moment(&format!("process {} (tagline serve)", std::process::id())));
    }

    #[test]
    fn a_lock_that_outlives_its_engine_for_a_moment_is_taken() {
        taken_after(NOBODY);
    }

    #[test]
    fn a_holder_without_a_name_is_waited_for() {
        taken_after("");
    }

    #[test]
    fn a_command_is_waited_for() {
        taken_after(&format!("process {} ({COMMAND})", std::process::id()));
    }

    fn taken_after(holder: &str) {
        let scratch = tempfile::tempdir().unwrap();
        let folder = StoreFolder::at(scratch.path());
        folder.create().unwrap();
        let other = File::create(folder.lock()).unwrap();
        other.lock().unwrap();
        std::fs::write(folder.lock(), holder).unwrap();
        assert!(matches!(EngineLock::take(&folder, "a test"), Err(StoreError::Busy { .. })));
        let (begin, begun) = mpsc::channel();
        let holder = std::thread::spawn(move || {
            begun.recv().unwrap();
            drop(other);
        });
        begin.send(()).unwrap();
        drop(take(&folder, "a test").unwrap());
        holder.join().unwrap();
    }
}
