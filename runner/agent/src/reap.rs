//! Children: the agent is the init of its processes, so orphans of steps become its own and must be buried, while the
//! exit of a step's process must not be lost among them.
//!
//! One thread waits for any child. A process is started and registered under the lock that thread takes before it
//! buries one, so no exit can pass unseen.

use std::collections::BTreeMap;
use std::io;
use std::process::{Child, Command};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, WaitId, WaitIdOptions, WaitOptions};

use crate::wake::Wake;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with a code.
    Code(i32),
    /// By a signal.
    Signal(i32),
}

#[derive(Debug, Default)]
struct Table {
    /// Processes someone waits for, and how they ended.
    watched: BTreeMap<i32, Option<Exit>>,
    /// Raised by every process started and every one buried.
    changes: u64,
}

/// The children of this process.
#[derive(Debug, Clone)]
pub struct Reaper {
    table: Arc<(Mutex<Table>, Condvar)>,
}

impl Reaper {
    /// Begins to bury. From now on nothing else in this process may wait for a child.
    pub fn start(wake: Wake) -> io::Result<Self> {
        let reaper = Self { table: Arc::default() };
        let own = reaper.clone();
        thread::Builder::new()
            .name("reaper".to_owned())
            .stack_size(64 * 1024)
            .spawn(move || own.bury_for_ever(&wake))?;
        Ok(reaper)
    }

    /// Starts a process whose exit will be kept.
    pub fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        let mut table = self.lock();
        let child = command.spawn()?;
        table.watched.insert(pid(&child).as_raw_nonzero().get(), None);
        table.changes += 1;
        self.table.1.notify_all();
        Ok(child)
    }

    /// How the process ended, once it has; then it is forgotten.
    pub fn ended(&self, child: &Child) -> Option<Exit> {
        let mut table = self.lock();
        let number = pid(child).as_raw_nonzero().get();
        let exit = (*table.watched.get(&number)?)?;
        table.watched.remove(&number);
        Some(exit)
    }

    /// Waits until the process has ended, at most `limit`, and says how. An end that came before the call counts.
    pub fn wait(&self, child: &Child, limit: Duration) -> Option<Exit> {
        let number = pid(child).as_raw_nonzero().get();
        let running = |table: &mut Table| table.watched.get(&number) == Some(&None);
        let waited = self.table.1.wait_timeout_while(self.lock(), limit, running);
        let (mut table, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let exit = (*table.watched.get(&number)?)?;
        table.watched.remove(&number);
        Some(exit)
    }

    /// Waits until a child was started or buried, at most `limit`. What happened before the call is not seen: it only
    /// paces a look that is repeated anyway.
    pub fn wait_for_change(&self, limit: Duration) {
        let table = self.lock();
        let seen = table.changes;
        // Woken early or late, the caller looks again.
        let _ = self.table.1.wait_timeout_while(table, limit, |table| table.changes == seen);
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bury_for_ever(&self, wake: &Wake) {
        let mut seen = 0;
        loop {
            match rustix::process::waitid(WaitId::All, WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {
                Ok(Some(_)) => {
                    self.bury();
                    wake.ring();
                }
                Err(Errno::CHILD) => {
                    // No child at all: nothing to do before the next one is started.
                    let table = self.lock();
                    let table = self
                        .table
                        .1
                        .wait_while(table, |table| table.changes == seen)
                        .unwrap_or_else(PoisonError::into_inner);
                    seen = table.changes;
                }
                Ok(None) | Err(_) => {}
            }
        }
    }

    /// Buries every process that is dead by now.
    fn bury(&self) {
        let mut table = self.lock();
        while let Some((number, exit)) = next_dead() {
            if let Some(slot) = table.watched.get_mut(&number) {
                *slot = Some(exit);
            }
            table.changes += 1;
        }
        self.table.1.notify_all();
    }
}

/// The number of a child; the kernel gives out positive ones.
pub(crate) fn pid(child: &Child) -> Pid {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("the kernel's process ids are positive")
}

fn next_dead() -> Option<(i32, Exit)> {
    let (pid, status) = rustix::process::wait(WaitOptions::NOHANG).ok()??;
    let exit = match status.terminating_signal() {
        Some(signal) => Exit::Signal(signal),
        None => Exit::Code(status.exit_status().unwrap_or_default()),
    };
    Some((pid.as_raw_nonzero().get(), exit))
}
