//! A command on a pseudo terminal: the prompt, live trees, Ctrl-C.

use std::fs::File;
use std::io::{PipeReader, PipeWriter, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use crate::{LIMIT, tagline::words};

/// A running command and the terminal it believes to be on; dropping it closes the terminal.
pub struct Terminal {
    child: Child,
    words: String,
    keyboard: File,
    chunks: Receiver<Vec<u8>>,
    reader: JoinHandle<()>,
    /// Dropped, it ends the reader, which has the terminal open too.
    stop: PipeWriter,
    text: String,
    /// How much of `text` was matched by [`Terminal::expect`].
    matched: usize,
}

impl Terminal {
    /// Starts the command in a session of its own with the terminal as its controlling one (`setsid --ctty`).
    #[track_caller]
    pub(crate) fn start(command: &Command, uid: Option<u32>) -> Self {
        let words = words(command);
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a pty");
        grantpt(&keyboard).and_then(|()| unlockpt(&keyboard)).expect("our own pty");
        tcsetwinsize(&keyboard, Winsize { ws_row: 40, ws_col: 120, ws_xpixel: 0, ws_ypixel: 0 }).expect("a size");
        let name = ptsname(&keyboard, Vec::new()).expect("the name of our own pty");
        let path = name.to_str().expect("a terminal's path is ASCII").to_owned();
        let screen = File::options().read(true).write(true).open(&path).expect("the other end of our own pty");
        let mut wrapped = Command::new("setsid");
        // Whoever runs the tests in the background has them ignore Ctrl-C; a terminal's commands never do.
        wrapped.args(["--ctty", "env", "--default-signal=INT,QUIT,HUP"]);
        wrapped.arg(command.get_program()).args(command.get_args()).env_clear();
        wrapped.envs(command.get_envs().filter_map(|(key, value)| Some((key, value?))));
        wrapped.env("TERM", "xterm-256color").current_dir(command.get_current_dir().expect("set by the runner"));
        if let Some(uid) = uid {
            std::os::unix::fs::chown(&path, Some(uid), Some(uid)).expect("root gives the terminal away");
            wrapped.uid(uid).gid(uid);
        }
        let end = || Stdio::from(screen.try_clone().expect("another descriptor"));
        let child = wrapped.stdin(end()).stdout(end()).stderr(end()).spawn().expect("setsid of util-linux");
        let keyboard = File::from(keyboard);
        let (stopped, stop) = std::io::pipe().expect("a pipe");
        let (chunks, reader) = read(keyboard.try_clone().expect("another descriptor"), stopped);
        Self { child, words, keyboard, chunks, reader, stop, text: String::new(), matched: 0 }
    }

    /// Waits until the text appears after the last match; what was printed up to and with it, without escapes.
    #[track_caller]
    pub fn expect(&mut self, text: &str) -> String {
        self.expect_within(LIMIT, text)
    }

    /// The same where it takes longer than most: something is compiled, say.
    #[track_caller]
    pub fn expect_within(&mut self, limit: Duration, text: &str) -> String {
        let start = Instant::now();
        loop {
            let plain = plain(&self.text);
            let rest = plain.get(self.matched..).unwrap_or_default();
            if let Some(at) = rest.find(text) {
                let end = self.matched + at + text.len();
                let found = plain[self.matched..end].to_owned();
                self.matched = end;
                return found;
            }
            let left = limit.saturating_sub(start.elapsed());
            let Ok(chunk) = self.chunks.recv_timeout(left) else {
                panic!("`{}` never showed `{text}`; the screen:\n{plain}", self.words);
            };
            self.text.push_str(&String::from_utf8_lossy(&chunk));
        }
    }

    /// Types a line and Enter.
    #[track_caller]
    pub fn line(&mut self, text: &str) {
        self.keys(&format!("{text}\r"));
    }

    /// Types keys as they are: `\x03` is Ctrl-C, `\x04` end of input.
    #[track_caller]
    pub fn keys(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("the terminal takes keys");
    }

    /// Waits for the end; exit code (128 + signal) and everything printed, without escapes.
    #[track_caller]
    pub fn end(mut self) -> (i32, String) {
        let code = self.ended();
        // The reader ends once nobody has the other end open.
        while let Ok(chunk) = self.chunks.recv_timeout(LIMIT) {
            self.text.push_str(&String::from_utf8_lossy(&chunk));
        }
        (code, plain(&self.text))
    }

    /// Waits for the end of the process; exit code (128 + signal).
    #[track_caller]
    pub fn ended(&mut self) -> i32 {
        let words = self.words.clone();
        let status = crate::ended(&format!("`{words}`"), &mut self.child);
        let signal = std::os::unix::process::ExitStatusExt::signal(&status);
        status.code().or(signal.map(|number| 128 + number)).unwrap_or(-1)
    }

    /// Sends the process a signal.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("our own child");
    }

    /// Whether the terminal shows what is typed.
    pub fn echoes(&self) -> bool {
        tcgetattr(&self.keyboard).expect("our own pty").local_modes.contains(LocalModes::ECHO)
    }

    /// Everything printed so far, escapes and all.
    pub fn raw(&mut self) -> &str {
        for chunk in self.chunks.try_iter() {
            self.text.push_str(&String::from_utf8_lossy(&chunk));
        }
        &self.text
    }

    /// The process on the terminal.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Closes the window: the terminal goes away under the running command, which goes on or not as it likes.
    #[track_caller]
    pub fn close(self) -> Child {
        let Self { child, keyboard, reader, stop, .. } = self;
        drop((keyboard, stop));
        reader.join().expect("the reader does not panic");
        child
    }
}

/// Reads the screen in a thread until everybody has closed it or the other end of `stopped` is dropped.
fn read(mut screen: File, stopped: PipeReader) -> (Receiver<Vec<u8>>, JoinHandle<()>) {
    let (sender, chunks) = mpsc::channel();
    let reader = thread::spawn(move || {
        let mut buffer = [0_u8; 4096];
        loop {
            let mut ends = [PollFd::new(&screen, PollFlags::IN), PollFd::new(&stopped, PollFlags::IN)];
            if poll(&mut ends, None).is_err() || !ends[1].revents().is_empty() {
                return;
            }
            // Linux answers EIO once the last writer is gone.
            let Ok(count @ 1..) = screen.read(&mut buffer) else {
                return;
            };
            if sender.send(buffer[..count].to_vec()).is_err() {
                return;
            }
        }
    });
    (chunks, reader)
}

/// Text without escape sequences and carriage returns.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(letter) = rest.next() {
        match letter {
            '\x1b' if rest.peek() == Some(&'[') => {
                rest.next();
                // CSI: parameters, then one final letter.
                while rest.next().is_some_and(|part| !('@'..='~').contains(&part)) {}
            }
            '\x1b' if rest.peek() == Some(&']') => {
                // OSC: up to BEL.
                while rest.next().is_some_and(|part| part != '\x07') {}
            }
            '\r' | '\x1b' => {}
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Terminal {
        let mut command = Command::new("sh");
        command.args(["-c", script]).env("PATH", "/usr/bin:/bin").current_dir("/");
        Terminal::start(&command, None)
    }

    #[test]
    fn a_program_sees_a_terminal_and_answers_what_is_typed() {
        let mut terminal =
            shell("test -t 0 && test -t 2 && printf 'vote> ' && read a && echo \"got $a\"; stty size; exit 3");
        terminal.expect("vote> ");
        terminal.line("approve");
        terminal.expect("got approve");
        let (code, text) = terminal.end();
        assert_eq!(code, 3);
        assert!(text.contains("40 120"), "{text}");
    }

    #[test]
    fn control_c_is_a_signal() {
        let mut terminal = shell("trap 'echo caught; exit 130' INT; echo ready; while :; do read a; done");
        terminal.expect("ready");
        terminal.keys("\x03");
        terminal.expect("caught");
        assert_eq!(terminal.end().0, 130);
    }

    #[test]
    fn a_closed_window_hangs_up() {
        let mut terminal = shell("echo ready; while :; do read a || exit 7; done");
        terminal.expect("ready");
        let mut child = terminal.close();
        let status = crate::ended("a shell without a terminal", &mut child);
        assert!(!status.success());
    }

    #[test]
    fn escapes_are_taken_out() {
        assert_eq!(plain("\x1b[1;32mok\x1b[0m\r\n\x1b]0;title\x07done"), "ok\ndone");
    }
}
