//! What a person does while a run goes on: lines they type, Ctrl-C, and closing the terminal; and SIGTERM.
//!
//! A terminal that closes ends this command by SIGHUP. Where that is ignored the keyboard's end tells; a command whose
//! input is no terminal, as under `nohup`, goes on.

use std::io::{self, IsTerminal as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

/// Lines of a terminal's keyboard, and signals.
#[derive(Debug)]
pub(crate) struct Controls {
    typed: mpsc::Receiver<Typed>,
    ended: bool,
    interrupts: Signal,
    terminations: Signal,
    quits: Signal,
    /// Told to end, by a signal or because the terminal is gone.
    told: bool,
    hands_off: Arc<AtomicBool>,
}

/// How often the keyboard is looked at to see whether it is somebody else's.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

impl Controls {
    /// Listens. Where standard input is no terminal no line ever comes, and its end means nothing.
    pub(crate) fn listen() -> io::Result<Self> {
        let [interrupts, terminations, quits] =
            [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, signal(SignalKind::quit())?];
        let (sender, typed) = mpsc::channel(64);
        let terminal = io::stdin().is_terminal();
        let hands_off = Arc::new(AtomicBool::new(false));
        if terminal {
            // A thread of its own: a read of the keyboard cannot be called off, and must not hold up the end.
            let hands_off = hands_off.clone();
            std::thread::Builder::new().name("keyboard".to_owned()).spawn(move || read(&sender, &hands_off))?;
        }
        Ok(Self { typed, ended: !terminal, interrupts, terminations, quits, told: false, hands_off })
    }

    /// Leaves the keyboard to another program, or takes it back.
    pub(crate) fn hands_off(&self, off: bool) {
        self.hands_off.store(off, Ordering::Relaxed);
    }

    /// The next line, or the wish to leave.
    pub(crate) async fn answer(&mut self) -> Answer {
        if self.ended || self.told {
            return Answer::End;
        }
        let Self { typed, ended, interrupts, terminations, quits, told, .. } = self;
        tokio::select! {
            biased;
            _ = interrupts.recv() => {}
            _ = terminations.recv() => *told = true,
            _ = quits.recv() => *told = true,
            typed = typed.recv() => match typed {
                Some(Typed::Line(line)) => return Answer::Line(line),
                Some(Typed::Gone) => *told = true,
                None => *ended = true,
            }
        }
        Answer::End
    }

    /// A signal, or a line of a person who may type one, whichever comes first.
    pub(crate) async fn any(&mut self) -> Control {
        if self.told {
            return Control::Leave;
        }
        let Self { typed, ended, interrupts, terminations, quits, told, .. } = self;
        tokio::select! {
            biased;
            Some(()) = terminations.recv() => *told = true,
            Some(()) = quits.recv() => *told = true,
            Some(()) = interrupts.recv() => return Control::Interrupt,
            typed = typed.recv(), if !*ended => match typed {
                Some(Typed::Line(_)) => return Control::Enter,
                Some(Typed::Gone) => *told = true,
                None => *ended = true,
            },
            else => std::future::pending().await,
        }
        if *told { Control::Leave } else { Control::Nothing }
    }

    /// Forgets what was typed before it was asked for: nobody votes by accident.
    pub(crate) fn forget(&mut self) {
        while let Ok(typed) = self.typed.try_recv() {
            self.told |= typed == Typed::Gone;
        }
    }
}

/// What a person answers to a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// A line, without its end.
    Line(String),
    /// Ctrl-C, the end of input, or the wish of whoever sent SIGTERM.
    End,
}

/// What comes from the keyboard.
#[derive(Debug, PartialEq, Eq)]
enum Typed {
    /// A line, without its end.
    Line(String),
    /// The terminal has closed.
    Gone,
}

/// What a person does while they only watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Control {
    /// Ctrl-C.
    Interrupt,
    /// A line was sent, whatever it says.
    Enter,
    /// This command is to end; the run goes on.
    Leave,
    /// None of these.
    Nothing,
}

/// Reads lines; a terminal gives whole ones.
fn read(sender: &mpsc::Sender<Typed>, hands_off: &AtomicBool) {
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
            Ok(_) if keyboard[0].revents().contains(PollFlags::HUP) => {
                let _ = sender.blocking_send(Typed::Gone);
                return;
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
            if sender.blocking_send(Typed::Line(text)).is_err() {
                return;
            }
        }
    }
}
