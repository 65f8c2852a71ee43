//! Other processes, known by process id and start time: the pair names one process for ever, also when the kernel
//! gives the number to another one later.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal};

use crate::readable::readable;

/// How often the end of a process is looked for where the kernel has no pidfd (before 5.3).
const POLL: Duration = Duration::from_millis(20);

/// One process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// Field 22 of `/proc/PID/stat`: clock ticks from the machine's start to the process's.
    pub start_time: u64,
}

/// What `/proc/PID/stat` says.
struct Stat {
    state: char,
    parent: u32,
    start_time: u64,
}

impl Process {
    /// The live process of that number.
    pub fn of(pid: u32) -> Option<Self> {
        let stat = Stat::of(pid)?;
        stat.lives().then_some(Self { pid, start_time: stat.start_time })
    }

    /// Whether it still runs; a process that ended and was not waited for does not.
    pub fn alive(&self) -> bool {
        Self::of(self.pid) == Some(*self)
    }

    /// Sends a signal; false when the process was gone.
    fn signal(&self, signal: Signal) -> io::Result<bool> {
        let Some(pid) = number(self.pid) else {
            return Ok(false);
        };
        let sent = match self.handle()? {
            Some(handle) => rustix::process::pidfd_send_signal(&handle, signal),
            None if self.alive() => rustix::process::kill_process(pid, signal),
            None => return Ok(false),
        };
        match sent {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::SRCH) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// A handle that cannot come to mean another process; none when it is gone or the kernel has no handles.
    fn handle(&self) -> io::Result<Option<OwnedFd>> {
        let Some(pid) = number(self.pid) else {
            return Ok(None);
        };
        match rustix::process::pidfd_open(pid, PidfdFlags::NONBLOCK) {
            // Looked at after the handle was taken: the number cannot have changed hands since.
            Ok(handle) => Ok(self.alive().then_some(handle)),
            Err(rustix::io::Errno::SRCH | rustix::io::Errno::NOSYS | rustix::io::Errno::INVAL) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Kills it and waits for its end. The first process of a pid namespace takes all others of it along.
    pub async fn kill(&self) -> io::Result<()> {
        self.signal(Signal::KILL)?;
        self.ended().await
    }

    /// Kills it with all its descendants: those started without a pid namespace. It is stopped first, so that it starts
    /// nothing, and as long as it is there (agents adopt orphans) no descendant is lost sight of. Descendants are
    /// stopped until no new one is found, and only then killed: what forks without end would else outrun it.
    pub async fn kill_tree(&self) -> io::Result<()> {
        self.signal(Signal::STOP)?;
        loop {
            let stopped = self.stop_descendants()?;
            if stopped.is_empty() {
                break;
            }
            for process in &stopped {
                process.signal(Signal::KILL)?;
            }
            for process in &stopped {
                process.ended().await?;
            }
        }
        self.kill().await
    }

    /// Stops every descendant, those too that are started meanwhile.
    fn stop_descendants(&self) -> io::Result<BTreeSet<Self>> {
        let mut stopped = BTreeSet::new();
        loop {
            let found = descendants(self.pid)?;
            let news: Vec<Self> = found.into_iter().filter(|process| stopped.insert(*process)).collect();
            if news.is_empty() {
                return Ok(stopped);
            }
            for process in &news {
                process.signal(Signal::STOP)?;
            }
        }
    }

    /// Resolves when it has ended.
    pub async fn ended(&self) -> io::Result<()> {
        if let Some(handle) = self.handle()? {
            let handle = Arc::new(handle);
            while !readable(&handle, Duration::from_secs(1)).await? {}
            return Ok(());
        }
        while self.alive() {
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }
}

fn number(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw)
}

impl Stat {
    fn of(pid: u32) -> Option<Self> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The program's name, field 2, is in parentheses and may hold any character.
        let (_, rest) = text.rsplit_once(") ")?;
        let mut fields = rest.split(' ');
        let state = fields.next()?.chars().next()?;
        let parent = fields.next()?.parse().ok()?;
        let start_time = fields.nth(17)?.parse().ok()?;
        Some(Self { state, parent, start_time })
    }

    fn lives(&self) -> bool {
        !matches!(self.state, 'Z' | 'X')
    }
}

/// Every live process below `root`, by one look at the process table.
fn descendants(root: u32) -> io::Result<Vec<Process>> {
    let mut table = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        if let Some(stat) = Stat::of(pid) {
            table.push((pid, stat));
        }
    }
    let mut below = vec![root];
    let mut found = Vec::new();
    while let Some(parent) = below.pop() {
        for (pid, stat) in table.iter().filter(|(_, stat)| stat.parent == parent) {
            below.push(*pid);
            if stat.lives() {
                found.push(Process { pid: *pid, start_time: stat.start_time });
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reused_number_is_another_process() {
        let me = Process::of(std::process::id()).unwrap();
        assert!(me.alive());
        let other = Process { start_time: me.start_time + 1, ..me };
        assert!(!other.alive());
        assert!(!other.signal(Signal::KILL).unwrap());
    }

    #[tokio::test]
    async fn an_ended_process_is_dead_before_anyone_waits_for_it() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let process = Process::of(child.id()).unwrap();
        process.kill().await.unwrap();
        assert!(!process.alive());
        process.kill().await.unwrap();
        child.wait().unwrap();
    }

    #[tokio::test]
    async fn a_tree_is_killed_down_to_its_leaves() {
        let mut shell = std::process::Command::new("sh")
            .args(["-c", "(sleep 61 & sleep 62) & echo up; wait"])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = [0; 3];
        io::Read::read_exact(&mut shell.stdout.take().unwrap(), &mut said).unwrap();
        let process = Process::of(shell.id()).unwrap();
        let below = descendants(process.pid).unwrap();
        assert!(!below.is_empty());
        process.kill_tree().await.unwrap();
        assert!(below.iter().all(|process| !process.alive()));
        shell.wait().unwrap();
    }
}
