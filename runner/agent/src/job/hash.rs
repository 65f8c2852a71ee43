//! `hashFiles`, in a process of its own with the steps' user: the workspace may hold anything.
//!
//! Invariants: it ends with its limit, with a kill, and with a cancel that comes meanwhile; after a cancel, steps with
//! `always()` may call it again.

use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::Signal;
use tagline_protocol::StepUser;
use tagline_syntax::expression::{EvalError, Value};

use super::process::Processes;
use crate::clock;
use crate::control::Control;
use crate::reap::{Exit, Reaper, pid};
use crate::wake::Wake;

/// GitHub's limit.
const LIMIT: Duration = Duration::from_mins(2);
/// What is said when it is over.
const LATE: &str = "hashFiles took longer than two minutes";
/// How long the end of a killed process is awaited.
const BURIAL: Duration = Duration::from_secs(10);

/// Answers `hashFiles`.
#[derive(Debug)]
pub(super) struct Hasher {
    reaper: Reaper,
    wake: Wake,
    control: Control,
    /// The job knows that it is cancelled: what asks now is a step with `always()`.
    pub(super) cancelled: bool,
    workspace: String,
    user: Option<StepUser>,
}

impl Hasher {
    /// Over the workspace, as the steps' user.
    pub(super) fn new(processes: &Processes, control: Control, workspace: &str, user: Option<StepUser>) -> Self {
        let Processes { reaper, wake } = processes;
        let (reaper, wake, workspace) = (reaper.clone(), wake.clone(), workspace.to_owned());
        Self { reaper, wake, control, cancelled: false, workspace, user }
    }

    /// The function as expressions call it.
    pub(super) fn function(&self) -> impl Fn(&[Value]) -> Result<Value, EvalError> + '_ {
        |arguments| {
            let patterns: Vec<String> = arguments.iter().map(|value| value.to_text().into_owned()).collect();
            self.hash(&patterns).map(Value::string).map_err(EvalError::new)
        }
    }

    fn hash(&self, patterns: &[String]) -> Result<String, String> {
        let (mut output, writing) = io::pipe().map_err(|error| format!("hashFiles: {error}"))?;
        let mut command = Command::new("/proc/self/exe");
        command.arg("hash-files").arg(&self.workspace).args(patterns).env_clear();
        command.stdin(Stdio::null()).stdout(writing).stderr(Stdio::null()).process_group(0);
        if let Some(StepUser { uid, gid }) = self.user {
            command.uid(uid).gid(gid);
        }
        let child = self.reaper.spawn(&mut command).map_err(|error| format!("hashFiles cannot start: {error}"))?;
        command.stdout(Stdio::null());
        let end = Instant::now() + LIMIT;
        let mut text = String::new();
        let answered = self.wait(&output, end).and_then(|()| {
            output.read_to_string(&mut text).map_err(|error| format!("hashFiles: {error}"))?;
            self.reaper.wait(&child, end.saturating_duration_since(Instant::now())).ok_or_else(|| LATE.to_owned())
        });
        match answered {
            Ok(Exit::Code(0)) => Ok(text),
            Ok(_) => Err(text),
            Err(why) => {
                self.end(&child);
                Err(why)
            }
        }
    }

    /// Waits for the helper's answer; an error is why it is not waited for any longer.
    fn wait(&self, output: &io::PipeReader, end: Instant) -> Result<(), String> {
        loop {
            self.wake.silence();
            if self.control.killed() || (!self.cancelled && self.control.cancelled().is_some()) {
                return Err("hashFiles was ended: the job is cancelled".to_owned());
            }
            let mut ready = [PollFd::new(output, PollFlags::IN), PollFd::new(&self.wake, PollFlags::IN)];
            // Interrupted or woken for something else, it looks again.
            let _ = poll(&mut ready, clock::until([end]).as_ref());
            if !ready[0].revents().is_empty() {
                return Ok(());
            }
            if Instant::now() >= end {
                return Err(LATE.to_owned());
            }
        }
    }

    /// Kills the helper, which is alone in its group.
    fn end(&self, child: &Child) {
        let _ = rustix::process::kill_process_group(pid(child), Signal::KILL);
        let _ = self.reaper.wait(child, BURIAL);
    }
}

/// The helper's side: the workspace, then the patterns. It prints the hash, or the error with exit code 1.
pub fn main(mut arguments: impl Iterator<Item = String>) -> ExitCode {
    use std::io::Write;
    let workspace = arguments.next().unwrap_or_default();
    let patterns: Vec<String> = arguments.collect();
    let (text, code) = match tagline_actions::hash_files(Path::new(&workspace), &patterns) {
        Ok(hash) => (hash, ExitCode::SUCCESS),
        Err(error) => (error.to_string(), ExitCode::FAILURE),
    };
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => code,
        Err(_) => ExitCode::FAILURE,
    }
}
