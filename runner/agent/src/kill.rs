//! Ending every process of the job.
//!
//! As the first process of a pid namespace the agent reaches all of them with one call, which the kernel makes
//! atomic against forks: whoever escapes into a session of their own or forks without end is in it too. Without a
//! namespace the tree below the agent is walked, stopped first, so that it cannot grow while it is killed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, getpid};

use crate::reap::Reaper;

/// A process the kernel has not ended by now hangs in a driver and cannot be waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Kills every process of the job but the agent, and waits until they are gone. False when some are left.
pub(crate) fn everything(reaper: &Reaper) -> bool {
    let until = Instant::now() + PATIENCE;
    while kill_once() {
        if Instant::now() > until {
            return false;
        }
        reaper.wait_for_change(Duration::from_millis(20));
    }
    true
}

/// Kills what is there. False when nothing is.
fn kill_once() -> bool {
    if getpid() == Pid::INIT {
        // To "group 1" means to every process but the first.
        return rustix::process::kill_process_group(Pid::INIT, Signal::KILL) != Err(Errno::SRCH);
    }
    let mut stopped = BTreeSet::new();
    loop {
        let news: Vec<i32> = descendants().into_iter().filter(|pid| stopped.insert(*pid)).collect();
        if news.is_empty() {
            break;
        }
        signal(&news, Signal::STOP);
    }
    let all: Vec<i32> = stopped.into_iter().collect();
    signal(&all, Signal::KILL);
    !all.is_empty()
}

fn signal(pids: &[i32], signal: Signal) {
    for pid in pids.iter().filter_map(|pid| Pid::from_raw(*pid)) {
        // One that has ended meanwhile is what we want.
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// Every living process below the agent. Orphans are there too: the agent is their reaper.
fn descendants() -> BTreeSet<i32> {
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    for pid in entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()) {
        if let Some(parent) = parent_of(pid) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = BTreeSet::new();
    let mut next = vec![getpid().as_raw_nonzero().get()];
    while let Some(parent) = next.pop() {
        for child in children.remove(&parent).unwrap_or_default() {
            found.insert(child);
            next.push(child);
        }
    }
    found
}

/// The parent of a process that is no zombie.
fn parent_of(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit(") ").next()?.split(' ');
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    (state != "Z" && state != "X").then_some(parent)
}
