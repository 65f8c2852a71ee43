//! What a person does while a run goes on: lines they type, and Ctrl-C.

use std::io::{self, IsTerminal as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

/// Lines of a terminal's keyboard, and interrupts.
#[derive(Debug)]
pub(crate) struct Controls {
    lines: mpsc::Receiver<String>,
    ended: bool,
    interrupts: Signal,
    hands_off: Arc<AtomicBool>,
}

/// How often the keyboard is looked at to see whether it is somebody else's.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

impl Controls {
    /// Listens. Where standard input is no terminal no line ever comes, and its end means nothing.
    pub(crate) fn listen() -> io::Result<Self> {
        let interrupts = signal(SignalKind::interrupt())?;
        let (sender, lines) = mpsc::channel(64);
        let terminal = io::stdin().is_terminal();
        let hands_off = Arc::new(AtomicBool::new(false));
        if terminal {
            // A thread of its own: a read of the keyboard cannot be called off, and must not hold up the end.
            let hands_off = hands_off.clone();
            std::thread::Builder::new().name("keyboard".to_owned()).spawn(move || read(&sender, &hands_off))?;
        }
        Ok(Self { lines, ended: !terminal, interrupts, hands_off })
    }

    /// Leaves the keyboard to another program, or takes it back.
    pub(crate) fn hands_off(&self, off: bool) {
        self.hands_off.store(off, Ordering::Relaxed);
    }

    /// The next line or Ctrl-C.
    pub(crate) async fn answer(&mut self) -> Answer {
        if self.ended {
            return Answer::End;
        }
        tokio::select! {
            biased;
            _ = self.interrupts.recv() => Answer::End,
            line = self.lines.recv() => {
                self.ended = line.is_none();
                line.map_or(Answer::End, Answer::Line)
            }
        }
    }

    /// Ctrl-C, or a line of a person who may type one, whichever comes first.
    pub(crate) async fn any(&mut self) -> Control {
        let Self { lines, ended, interrupts, .. } = self;
        tokio::select! {
            biased;
            Some(()) = interrupts.recv() => Control::Interrupt,
            line = lines.recv(), if !*ended => {
                *ended = line.is_none();
                line.map_or(Control::Nothing, |_| Control::Enter)
            }
            else => std::future::pending().await,
        }
    }

    /// Forgets what was typed before it was asked for: nobody votes by accident.
    pub(crate) fn forget(&mut self) {
        while self.lines.try_recv().is_ok() {}
    }
}

/// What a person answers to a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// A line, without its end.
    Line(String),
    /// Ctrl-C, or the end of input.
    End,
}

/// What a person does while they only watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Control {
    /// Ctrl-C.
    Interrupt,
    /// A line was sent, whatever it says.
    Enter,
    /// Neither.
    Nothing,
}

/// Reads lines; a terminal gives whole ones.
fn read(sender: &mpsc::Sender<String>, hands_off: &AtomicBool) {
    let mut line = Vec::new();
    let mut buffer = [0_u8; 4096];
    loop {
        let mut keyboard = [PollFd::from_borrowed_fd(rustix::stdio::stdin(), PollFlags::IN)];
        match poll(&mut keyboard, Some(&LOOK)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => continue,
            Ok(_) if hands_off.load(Ordering::Relaxed) => {
                std::thread::sleep(std::time::Duration::from_millis(20));
                continue;
            }
            Ok(_) => {}
            Err(_) => return,
        }
        // Not through the buffer of standard input, which would hide lines from `poll`.
        match rustix::io::read(rustix::stdio::stdin(), &mut buffer) {
            Ok(0) => return,
            Ok(count) => line.extend_from_slice(&buffer[..count]),
            Err(rustix::io::Errno::INTR) => continue,
            Err(_) => return,
        }
        while let Some(end) = line.iter().position(|byte| *byte == b'\n') {
            let rest = line.split_off(end + 1);
            let text = String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']).to_owned();
            line = rest;
            if sender.blocking_send(text).is_err() {
                return;
            }
        }
    }
}
