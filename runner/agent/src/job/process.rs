//! One process of a step, from its start to its end: its output is read, its time is kept, and when it must end it
//! gets SIGINT, 7.5 s later SIGTERM, 2.5 s later everything the job still runs is killed.

use std::io::{self, PipeReader, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::Signal;

use super::watch::{Stop, Watch};
use crate::clock;
use crate::kill;
use crate::output::{LineSink, Lines};
use crate::reap::{Exit, Reaper, pid};
use crate::wake::Wake;

/// From SIGINT to SIGTERM.
const TO_TERMINATE: Duration = Duration::from_millis(7500);
/// From SIGTERM to the kill.
const TO_KILL: Duration = Duration::from_millis(2500);
/// How long output is awaited from what a process left behind. GitHub waits longer; nothing is lost but lines that a
/// process of the background prints after its step has ended.
const AFTERMATH: Duration = Duration::from_millis(500);
/// Read at a time.
const CHUNK: usize = 64 * 1024;

/// Takes a process's lines, and knows what else happens while it runs.
pub(super) trait Attendant: LineSink {
    /// Something to listen to beside the output.
    fn channel(&self) -> Option<BorrowedFd<'_>> {
        None
    }
    /// The channel may be read, or the bell has rung.
    fn attend(&mut self) {}
    /// Why nothing can be recorded any more.
    fn failure(&self) -> Option<String>;
    /// When lines gathered must be written.
    fn due(&self) -> Option<Instant>;
    /// Writes them if they are due.
    fn flush_due(&mut self);
    /// Whether the step goes on though the job was just cancelled (`if: always()`).
    fn goes_on(&mut self) -> bool;
}

/// How a process ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// Its own end.
    pub exit: Exit,
    /// Why it was made to end.
    pub stop: Option<Stop>,
}

/// Starts processes and sees them through.
#[derive(Debug)]
pub(super) struct Processes {
    /// The children of the agent.
    pub reaper: Reaper,
    /// Rings for exits and for the engine.
    pub wake: Wake,
}

/// Where a process is on its way to its end.
#[derive(Debug)]
struct Stopping {
    why: Stop,
    next: Option<(Instant, Signal)>,
}

impl Processes {
    /// Starts the command in a group of its own and sees it through. An error is a failed start.
    pub(super) fn run(
        &self,
        command: &mut Command,
        stdin: Stdio,
        watch: &mut Watch,
        deadline: Option<Instant>,
        attendant: &mut dyn Attendant,
    ) -> io::Result<Ended> {
        let (mut output, writing) = io::pipe()?;
        // Room for a burst; less is no harm.
        let _ = rustix::pipe::fcntl_setpipe_size(&output, 256 * 1024);
        let nonblocking = rustix::fs::fcntl_getfl(&output)? | rustix::fs::OFlags::NONBLOCK;
        rustix::fs::fcntl_setfl(&output, nonblocking)?;
        command.stdin(stdin).stdout(writing.try_clone()?).stderr(writing).process_group(0);
        let child = self.reaper.spawn(command)?;
        // The command holds the writing ends; the output would never end.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let ended = self.see_through(&child, &mut output, watch, deadline, attendant);
        drain_behind(output);
        Ok(ended)
    }

    fn see_through(
        &self,
        child: &Child,
        output: &mut PipeReader,
        watch: &mut Watch,
        deadline: Option<Instant>,
        attendant: &mut dyn Attendant,
    ) -> Ended {
        let mut lines = Lines::default();
        let mut buffer = vec![0; CHUNK];
        let mut open = true;
        let mut exited: Option<(Exit, Instant)> = None;
        let mut stopping: Option<Stopping> = None;
        loop {
            self.wake.silence();
            if exited.is_none() {
                exited = self.reaper.ended(child).map(|exit| (exit, Instant::now() + AFTERMATH));
            }
            // In this order: what was printed before the exit is in the pipe by now.
            while open {
                match output.read(&mut buffer) {
                    Ok(0) => open = false,
                    Ok(count) => {
                        lines.push(&buffer[..count], attendant);
                        if exited.is_none_or(|(_, patience)| Instant::now() >= patience) {
                            break;
                        }
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(_) => open = false,
                }
            }
            attendant.attend();
            attendant.flush_due();
            if let Some((exit, patience)) = exited
                && (!open || Instant::now() >= patience)
            {
                lines.finish(attendant);
                let stop = stopping.map(|stopping| stopping.why);
                return Ended { exit, stop };
            }
            self.urge(child, watch, deadline, attendant, &mut stopping);
            let moments = [
                Some(watch.next()),
                deadline.filter(|_| stopping.is_none()),
                stopping.as_ref().and_then(|stopping| stopping.next).map(|(at, _)| at),
                attendant.due(),
                exited.map(|(_, patience)| patience),
            ];
            let output = open.then(|| output.as_fd());
            self.wait(output, attendant.channel(), moments.into_iter().flatten());
        }
    }

    /// Sees whether the process must end, and takes the next step on its way there.
    fn urge(
        &self,
        child: &Child,
        watch: &mut Watch,
        deadline: Option<Instant>,
        attendant: &mut dyn Attendant,
        stopping: &mut Option<Stopping>,
    ) {
        let just_cancelled = watch.look();
        let now = Instant::now();
        if watch.is_over() {
            let killed = stopping.as_ref().is_some_and(|stopping| stopping.why == Stop::Kill);
            if !killed {
                kill::everything(&self.reaper);
                *stopping = Some(Stopping { why: Stop::Kill, next: None });
            }
            return;
        }
        if stopping.is_none() {
            let why = if just_cancelled && !attendant.goes_on() {
                Stop::Cancel
            } else if let Some(why) = attendant.failure() {
                Stop::Disk(why)
            } else if deadline.is_some_and(|deadline| now >= deadline) {
                Stop::StepTime
            } else {
                return;
            };
            *stopping = Some(Stopping { why, next: Some((now, Signal::INT)) });
        }
        let Some(stopping) = stopping else {
            return;
        };
        let Some((at, signal)) = stopping.next.filter(|(at, _)| now >= *at) else {
            return;
        };
        if signal == Signal::KILL {
            kill::everything(&self.reaper);
        } else {
            // The whole group, as a terminal would: a shell passes nothing on to the program it waits for.
            let _ = rustix::process::kill_process_group(pid(child), signal);
        }
        stopping.next = match signal {
            Signal::INT => Some((at + TO_TERMINATE, Signal::TERM)),
            Signal::TERM => Some((at + TO_KILL, Signal::KILL)),
            _ => None,
        };
    }

    /// Waits for output, the channel, the bell or the earliest moment.
    pub(super) fn wait(
        &self,
        output: Option<BorrowedFd<'_>>,
        channel: Option<BorrowedFd<'_>>,
        moments: impl Iterator<Item = Instant>,
    ) {
        let mut sources = vec![PollFd::new(&self.wake, PollFlags::IN)];
        sources.extend(output.map(|output| PollFd::from_borrowed_fd(output, PollFlags::IN)));
        sources.extend(channel.map(|channel| PollFd::from_borrowed_fd(channel, PollFlags::IN)));
        // Interrupted or not, the caller looks at everything again.
        let _ = poll(&mut sources, clock::until(moments).as_ref());
    }
}

/// Reads on for processes of the background that still hold the output, so that they neither block nor get SIGPIPE.
fn drain_behind(mut output: PipeReader) {
    if matches!(output.read(&mut [0]), Ok(0)) {
        return;
    }
    let blocking = rustix::fs::fcntl_getfl(&output)
        .and_then(|flags| rustix::fs::fcntl_setfl(&output, flags - rustix::fs::OFlags::NONBLOCK));
    if blocking.is_ok() {
        let drain = move || {
            let mut buffer = [0; 4096];
            while matches!(output.read(&mut buffer), Ok(1..)) {}
        };
        // Without a thread for it they get SIGPIPE, as on GitHub.
        let _ = thread::Builder::new().name("drain".to_owned()).stack_size(64 * 1024).spawn(drain);
    }
}
