//! Faults on demand, for the tests that end the engine at every event, fail every write and repeat every input.
//!
//! They are part of the engine so that what is tested is what runs; only a debug build of the command can be told to use
//! them.

/// What is to go wrong. Nothing by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Faults {
    /// End this process by SIGKILL once the journal has this many entries, before anything is done about them.
    pub kill_stored: Option<u64>,
    /// End this process by SIGKILL once the journal has this many entries and what follows from them was set going.
    pub kill_done: Option<u64>,
    /// The first write that would bring the journal to this many entries fails.
    pub fail_write: Option<u64>,
    /// Every input is told twice.
    pub repeat: bool,
}

impl Faults {
    /// Reads `kill-stored=17`, `kill-done=17`, `fail-write=17` or `repeat`; none for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, number) = text.split_once('=').map_or((text, None), |(n, v)| (n, v.parse().ok()));
        let none = Self::default();
        match (name, number) {
            ("kill-stored", Some(_)) => Some(Self { kill_stored: number, ..none }),
            ("kill-done", Some(_)) => Some(Self { kill_done: number, ..none }),
            ("fail-write", Some(_)) => Some(Self { fail_write: number, ..none }),
            ("repeat", None) => Some(Self { repeat: true, ..none }),
            _ => None,
        }
    }

    /// Ends this process, as `kill -9` would, when the journal has come that far.
    pub(crate) fn kill(at: Option<u64>, entries: impl FnOnce() -> u64) {
        if at.is_some_and(|at| entries() >= at) {
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        }
    }
}
