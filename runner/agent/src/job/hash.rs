//! `hashFiles`, in a process of its own with the steps' user: the workspace may hold anything.

use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::Signal;
use tagline_protocol::StepUser;
use tagline_syntax::expression::{EvalError, Value};

use super::process::Processes;
use crate::clock;
use crate::reap::{Exit, Reaper, pid};

/// GitHub's limit.
const LIMIT: Duration = Duration::from_mins(2);

/// Answers `hashFiles`.
#[derive(Debug)]
pub(super) struct Hasher {
    reaper: Reaper,
    workspace: String,
    user: Option<StepUser>,
}

impl Hasher {
    /// Over the workspace, as the steps' user.
    pub(super) fn new(processes: &Processes, workspace: &str, user: Option<StepUser>) -> Self {
        Self { reaper: processes.reaper.clone(), workspace: workspace.to_owned(), user }
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
        let mut ready = [PollFd::new(&output, PollFlags::IN)];
        if !matches!(poll(&mut ready, clock::until([end]).as_ref()), Ok(1)) {
            let _ = rustix::process::kill_process_group(pid(&child), Signal::KILL);
            return Err("hashFiles took longer than two minutes".to_owned());
        }
        let mut text = String::new();
        output.read_to_string(&mut text).map_err(|error| format!("hashFiles: {error}"))?;
        let exit = loop {
            match self.reaper.ended(&child) {
                Some(exit) => break exit,
                None => self.reaper.wait_for_change(LIMIT),
            }
        };
        match exit {
            Exit::Code(0) => Ok(text),
            _ => Err(text),
        }
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
