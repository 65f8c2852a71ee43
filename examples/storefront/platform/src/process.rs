//! One running version: a process group of its own, tied to this process by a pipe.
//!
//! An artifact is a program that takes `migrate up --database FILE` and
//! `serve --listen 127.0.0.1:0 --database FILE --lifeline`, prints `{"url": …}` once it listens, answers
//! `/q/health/ready`, and ends on SIGTERM and at the end of its standard input. The latter is why a killed
//! platform leaves nothing running.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use storefront_http::{Url, get};

use crate::route::Target;

/// How often processes are looked after.
pub(crate) const WATCH: Duration = Duration::from_millis(200);
/// Longest time for a new version to get ready, and for a known one to come back.
pub(crate) const READY: Duration = Duration::from_secs(60);
pub(crate) const BACK: Duration = Duration::from_secs(5);
/// Longest time to print the address, to migrate, and to end by itself.
const START: Duration = Duration::from_secs(10);
const MIGRATE: Duration = Duration::from_secs(60);
const STOP: Duration = Duration::from_secs(15);
/// Bytes of a child's output that are kept to explain a failure.
const OUTPUT_LIMIT: u64 = 4096;

/// A started version. Dropped, it is killed.
pub(crate) struct Process {
    child: Child,
    pub(crate) target: Arc<Target>,
    url: Url,
    lifeline: Option<ChildStdin>,
}

impl Process {
    /// Starts it and waits for its address; its standard error goes to `log`, written anew.
    pub(crate) fn start(binary: &Path, database: &Path, log: &Path) -> Result<Self, String> {
        let errors = File::create(log).and_then(|_| OpenOptions::new().append(true).open(log));
        let errors = errors.map_err(|error| format!("{}: {error}", log.display()))?;
        let mut command = Command::new(binary);
        command.args(["serve", "--listen", "127.0.0.1:0", "--lifeline", "--database"]).arg(database);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(errors);
        let mut child = spawn(&mut command).map_err(|error| format!("cannot be started: {error}"))?;
        let lifeline = child.stdin.take();
        let address = child.stdout.take().and_then(first_line).and_then(|line| {
            let line: serde_json::Value = serde_json::from_str(&line).ok()?;
            let url = Url::parse(line["url"].as_str()?).ok()?;
            Some((url.host.parse().ok()?, url))
        });
        let Some((address, url)) = address else {
            kill(&mut child, Signal::KILL);
            drop(child.wait());
            return Err(format!("did not print where it listens: {}", tail(log)));
        };
        Ok(Self { child, target: Target::new(address), url, lifeline })
    }

    /// Waits until it is ready, `limit` at most; the error is why it is not.
    pub(crate) fn wait_ready(&mut self, limit: Duration) -> Result<(), String> {
        let begin = Instant::now();
        loop {
            let reason = match self.ready() {
                Ok(()) => return Ok(()),
                Err(reason) => reason,
            };
            if self.has_exited() || begin.elapsed() > limit {
                return Err(reason);
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Whether it says to be ready, now; the error is why not.
    pub(crate) fn ready(&mut self) -> Result<(), String> {
        if self.has_exited() {
            return Err("it has exited".to_owned());
        }
        match get(&self.url, "/q/health/ready", Duration::from_secs(5)) {
            Ok((200, _)) => Ok(()),
            Ok((status, body)) => Err(format!("/q/health/ready answers {status}: {}", body.trim())),
            Err(error) => Err(format!("/q/health/ready: {error}")),
        }
    }

    /// Where it can be reached beside the public port.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.url.host)
    }

    pub(crate) fn has_exited(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Lets running requests end, then the process, by force when it takes longer than 15 s.
    pub(crate) fn stop(mut self) {
        self.target.drain(STOP);
        kill(&mut self.child, Signal::TERM);
        self.lifeline = None;
        let begin = Instant::now();
        while !self.has_exited() && begin.elapsed() < STOP {
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        kill(&mut self.child, Signal::KILL);
        // Reaped here, so that nothing is left of it.
        drop(self.child.wait());
    }
}

/// Brings the database to what `binary` needs; the error is what it printed.
pub(crate) fn migrate(binary: &Path, database: &Path, log: &Path) -> Result<(), String> {
    let output = File::create(log).map_err(|error| format!("{}: {error}", log.display()))?;
    let both = output.try_clone().map_err(|error| error.to_string())?;
    let mut command = Command::new(binary);
    command.args(["migrate", "up", "--database"]).arg(database);
    command.stdin(Stdio::null()).stdout(output).stderr(both);
    let mut child = spawn(&mut command).map_err(|error| format!("cannot be started: {error}"))?;
    let begin = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(None) if begin.elapsed() < MIGRATE => thread::sleep(Duration::from_millis(5)),
            Ok(Some(_)) => return Err(tail(log)),
            _ => break,
        }
    }
    kill(&mut child, Signal::KILL);
    drop(child.wait());
    Err(format!("took longer than {}s and was ended", MIGRATE.as_secs()))
}

/// Starts a command in a process group of its own, with none of this process's variables.
fn spawn(command: &mut Command) -> io::Result<Child> {
    command.env_clear().current_dir("/").process_group(0);
    let begin = Instant::now();
    loop {
        match command.spawn() {
            // A child forked elsewhere just now may still hold the file open for writing, until its own exec.
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy && begin.elapsed() < START => {
                thread::sleep(Duration::from_millis(10));
            }
            other => return other,
        }
    }
}

/// Signals a whole group, unless its leader was reaped: then the number may be another's.
fn kill(child: &mut Child, signal: Signal) {
    if let (Ok(None), Ok(id)) = (child.try_wait(), i32::try_from(child.id()))
        && let Some(group) = Pid::from_raw(id)
    {
        // The group may just have ended.
        kill_process_group(group, signal).ok();
    }
}

/// The first line, within the time to start; what follows is read and forgotten, so that nobody blocks on it.
fn first_line(from: impl Read + Send + 'static) -> Option<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut reader = BufReader::new(from);
        let mut line = String::new();
        if reader.by_ref().take(OUTPUT_LIMIT).read_line(&mut line).is_ok() {
            // Nobody waits any more when it took too long.
            drop(sender.send(line));
        }
        drop(io::copy(&mut reader, &mut io::sink()));
    });
    receiver.recv_timeout(START).ok()
}

/// The beginning of a log, for a message.
fn tail(log: &Path) -> String {
    let mut bytes = Vec::new();
    let read = OpenOptions::new().read(true).open(log);
    match read.and_then(|file| file.take(OUTPUT_LIMIT).read_to_end(&mut bytes)) {
        Ok(0) => "it printed nothing".to_owned(),
        Ok(_) => String::from_utf8_lossy(&bytes).trim().to_owned(),
        Err(error) => format!("{}: {error}", log.display()),
    }
}
