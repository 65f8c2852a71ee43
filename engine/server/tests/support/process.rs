//! The engine's process, seen from outside.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use super::child::{Role, VARIABLE};

/// A release that shows nothing new for so long hangs.
const PATIENCE: Duration = Duration::from_mins(2);

/// What the engine says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    /// Its socket is there.
    Serving,
    /// A gate waits for votes.
    Gate,
    /// The run has ended; the engine tidies up and ends.
    Finished,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Its run has ended.
    Done,
    /// By SIGKILL.
    Killed,
}

/// An engine's process.
pub(crate) struct Engine {
    child: Child,
    words: Receiver<Word>,
}

impl Engine {
    /// Starts this program again as an engine; its messages are added to the file.
    pub(crate) fn start(role: &Role, log: &Path) -> Self {
        let log = File::options().append(true).create(true).open(log).unwrap();
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["engine_process", "--exact", "--nocapture", "--test-threads=1"]);
        command.env(VARIABLE, serde_json::to_string(role).unwrap());
        // Its last words are few, so that a point that fails shows them.
        command.env("RUST_BACKTRACE", "0");
        // Jobs take the stand-in for cargo before any other.
        command.env("PATH", format!("{}:{path}", role.tools.display()));
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let output = child.stdout.take().unwrap();
        let (sender, words) = channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let word = match line.trim_end().rsplit_once("crash: ").map(|(_, word)| word) {
                    Some("serving") => Word::Serving,
                    Some("gate") => Word::Gate,
                    Some("finished") => Word::Finished,
                    _ => continue,
                };
                if sender.send(word).is_err() {
                    return;
                }
            }
        });
        Self { child, words }
    }

    /// The next thing it says; none when it has ended.
    pub(crate) fn word(&mut self) -> Result<Option<Word>, String> {
        match self.words.recv_timeout(PATIENCE) {
            Ok(word) => Ok(Some(word)),
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => Ok(None),
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {
                Err(format!("the engine has said nothing for {} s", PATIENCE.as_secs()))
            }
        }
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended.
    pub(crate) fn gone(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for its end.
    pub(crate) fn end(&mut self) -> Result<End, String> {
        let status = self.child.wait().unwrap();
        match (status.success(), status.signal()) {
            (true, _) => Ok(End::Done),
            (_, Some(9)) => Ok(End::Killed),
            _ => Err(format!("the engine ended with {status}")),
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
