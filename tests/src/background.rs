//! A command that goes on running while the test does other things.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};

use crate::{LIMIT, Outcome, tagline::words};

/// A running command; killed with this value.
pub struct Background {
    child: Child,
    words: String,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Background {
    #[track_caller]
    pub(crate) fn start(command: &mut Command) -> Self {
        let words = words(command);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start {words}: {error}"));
        let (sender, lines) = mpsc::channel();
        forward(child.stdout.take().expect("piped"), sender.clone());
        forward(child.stderr.take().expect("piped"), sender);
        Self { child, words, lines, seen: Vec::new() }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the next line, of either output, that holds the text.
    #[track_caller]
    pub fn line_with(&mut self, text: &str) -> String {
        let start = Instant::now();
        loop {
            let left = LIMIT.saturating_sub(start.elapsed());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("`{}` printed no line with `{text}`:\n{}", self.words, self.seen.join("\n"));
            };
            self.seen.push(line.clone());
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|ended| ended.is_none())
    }

    /// All lines so far, of both outputs, in the order they were read.
    pub fn lines(&mut self) -> &[String] {
        self.seen.extend(self.lines.try_iter());
        &self.seen
    }

    /// Kills it at once, as a crash would, and waits for its end.
    #[track_caller]
    pub fn kill(mut self) {
        self.signal(Signal::KILL);
        self.child.wait().expect("our own child");
    }

    /// Asks it to end (SIGTERM) and waits; its exit code, 128 + the signal where one ended it.
    #[track_caller]
    pub fn terminate(mut self) -> i32 {
        self.signal(Signal::TERM);
        self.code()
    }

    /// Sends a signal.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("our own child");
    }

    /// Waits for its end; its exit code, 128 + the signal where one ended it.
    #[track_caller]
    pub fn wait(mut self) -> i32 {
        self.code()
    }

    /// Waits for its end; its exit code and all that it said, both outputs as one.
    #[track_caller]
    pub fn outcome(mut self) -> Outcome {
        let code = self.code();
        // The readers end with the pipes, which end with the process.
        self.seen.extend(self.lines.iter());
        let said = self.seen.join("\n");
        Outcome { command: self.words.clone(), code, stdout: String::new(), stderr: said }
    }

    #[track_caller]
    fn code(&mut self) -> i32 {
        let words = self.words.clone();
        let status = crate::ended(&format!("`{words}`"), &mut self.child);
        let signal = std::os::unix::process::ExitStatusExt::signal(&status);
        status.code().or(signal.map(|number| 128 + number)).unwrap_or(-1)
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        if self.child.kill().is_ok() {
            let _ = self.child.wait();
        }
    }
}

fn forward(from: impl Read + Send + 'static, to: Sender<String>) {
    thread::spawn(move || {
        for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
            if to.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                return;
            }
        }
    });
}
