//! The one way out: results to standard output, everything else to standard error.
//!
//! Invariants: a closed pipe ends the writing, never the program; without colour the text is the same but for its SGR
//! codes; symbols appear only on a terminal with a UTF-8 locale, everywhere else the state's word stands for them. A
//! terminal with another locale gets our punctuation in ASCII, too.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;
use tagline_run::view::Status;

use crate::exit::Exit;

/// Columns where nobody says how wide the paper is.
const WIDTH: usize = 120;

/// What is known of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Somebody looks at it.
    pub(crate) terminal: bool,
    /// SGR codes are welcome.
    pub(crate) colour: bool,
    /// Symbols stand for words.
    pub(crate) symbols: bool,
    /// Columns.
    pub(crate) width: usize,
}

/// How a piece of text stands out. Colour never carries meaning by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// Success.
    Good,
    /// Failure.
    Bad,
    /// Warning, waiting.
    Warn,
    /// Names to find again.
    Accent,
    /// Headings.
    Strong,
    /// Beside the point.
    Dim,
}

/// A state as symbol or word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// Ended well.
    Success,
    /// Failed.
    Failure,
    /// Under way.
    InProgress,
    /// On people or time.
    Waiting,
    /// On capacity, a lock or other jobs.
    Queued,
    /// Not run.
    Skipped,
    /// Cancelled.
    Cancelled,
    /// Look here.
    Warning,
    /// May or may not have happened.
    Unknown,
}

impl Mark {
    /// The symbol.
    pub(crate) fn symbol(self) -> &'static str {
        match self {
            Self::Success => "✓",
            Self::Failure => "✗",
            Self::InProgress => "⠹",
            Self::Waiting => "◷",
            Self::Queued => "○",
            Self::Skipped => "–",
            Self::Cancelled => "⊘",
            Self::Warning => "!",
            Self::Unknown => "?",
        }
    }

    /// The word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::InProgress => "in progress",
            Self::Waiting => "waiting",
            Self::Queued => "queued",
            Self::Skipped => "skipped",
            Self::Cancelled => "cancelled",
            Self::Warning => "warning",
            Self::Unknown => "unknown",
        }
    }

    fn style(self) -> Style {
        match self {
            Self::Success => Style::Good,
            Self::Failure => Style::Bad,
            Self::Waiting | Self::Warning | Self::Unknown => Style::Warn,
            Self::InProgress => Style::Accent,
            Self::Queued | Self::Skipped | Self::Cancelled => Style::Dim,
        }
    }
}

impl From<Status> for Mark {
    fn from(status: Status) -> Self {
        match status {
            Status::Queued => Self::Queued,
            Status::Waiting => Self::Waiting,
            Status::InProgress => Self::InProgress,
            Status::Success => Self::Success,
            Status::Failure | Status::TimedOut => Self::Failure,
            Status::Cancelled => Self::Cancelled,
            Status::Skipped => Self::Skipped,
            Status::Lost => Self::Unknown,
        }
    }
}

impl Facts {
    /// A pipe or file: words, no colour.
    pub(crate) const PLAIN: Self = Self { terminal: false, colour: false, symbols: false, width: WIDTH };

    fn of(stream: &(impl IsTerminal + std::os::fd::AsFd)) -> Self {
        if !stream.is_terminal() {
            return Self::PLAIN;
        }
        let width = rustix::termios::tcgetwinsize(stream).map_or(0, |size| usize::from(size.ws_col));
        Self {
            terminal: true,
            colour: std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
                && std::env::var_os("TERM").is_some_and(|term| term != "dumb"),
            symbols: locale_is_utf8(),
            width: if width == 0 { WIDTH } else { width },
        }
    }

    /// The text as this stream can show it. Each sign is as wide as what stands for it.
    pub(crate) fn shown<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if !self.terminal || self.symbols || text.is_ascii() {
            return Cow::Borrowed(text);
        }
        let ascii = |letter| match letter {
            '·' | '–' => '-',
            '…' => '~',
            '→' => '>',
            other => other,
        };
        Cow::Owned(text.chars().map(ascii).collect())
    }

    /// The text in a style, where colour is welcome.
    pub(crate) fn paint(&self, style: Style, text: impl Display) -> String {
        let code = match style {
            Style::Good => "32",
            Style::Bad => "31",
            Style::Warn => "33",
            Style::Accent => "36",
            Style::Strong => "1",
            Style::Dim => "2",
        };
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_string() }
    }

    /// The mark alone: a symbol, or its word where symbols cannot be.
    pub(crate) fn mark(&self, mark: Mark) -> String {
        self.paint(mark.style(), if self.symbols { mark.symbol() } else { mark.word() })
    }

    /// The mark before a word that says the state by itself: `✓ healthy`, or just `healthy`.
    pub(crate) fn state(&self, mark: Mark, word: &str) -> String {
        if self.symbols { format!("{} {word}", self.mark(mark)) } else { self.paint(mark.style(), word) }
    }
}

fn locale_is_utf8() -> bool {
    let set = ["LC_ALL", "LC_CTYPE", "LANG"].iter().filter_map(|name| std::env::var(name).ok());
    set.into_iter().find(|value| !value.is_empty()).is_some_and(|value| {
        let value = value.to_ascii_lowercase();
        value.contains("utf-8") || value.contains("utf8")
    })
}

/// Standard output and standard error.
#[derive(Debug)]
pub(crate) struct Output {
    /// What is known of standard output.
    pub(crate) out: Facts,
    /// What is known of standard error.
    pub(crate) err: Facts,
    closed: AtomicBool,
    /// What was to be written could not be.
    lost: AtomicBool,
}

impl Output {
    /// Looks at the two streams.
    pub(crate) fn new() -> Self {
        let (out, err) = (Facts::of(&io::stdout()), Facts::of(&io::stderr()));
        Self { out, err, closed: AtomicBool::new(false), lost: AtomicBool::new(false) }
    }

    /// A line of the result. What came from outside goes through [`crate::words::plain`] before.
    pub(crate) fn line(&self, text: impl Display) {
        let text = text.to_string();
        self.outcome(writeln!(io::stdout().lock(), "{}", self.out.shown(&text)));
    }

    /// Lines of the result.
    pub(crate) fn lines(&self, lines: impl IntoIterator<Item = impl Display>) {
        for line in lines {
            self.line(line);
        }
    }

    /// A line beside the result: progress, warnings, errors.
    pub(crate) fn note(&self, text: impl Display) {
        // Whoever closed standard error does not want to know.
        let _ = writeln!(io::stderr().lock(), "{}", self.err.shown(&text.to_string()));
    }

    /// One JSON value, on lines of its own.
    pub(crate) fn json(&self, value: &impl Serialize) {
        match serde_json::to_string_pretty(value) {
            Ok(text) => self.line(text),
            Err(error) => self.note(format!("error[json]: {error}")),
        }
    }

    /// One JSON value on one line, for streams of them.
    pub(crate) fn json_line(&self, value: &impl Serialize) {
        match serde_json::to_string(value) {
            Ok(text) => self.line(text),
            Err(error) => self.note(format!("error[json]: {error}")),
        }
    }

    /// Writes a lot to standard output, buffered.
    pub(crate) fn stream(&self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) {
        let mut out = BufWriter::with_capacity(64 * 1024, io::stdout().lock());
        self.outcome(write(&mut out).and_then(|()| out.flush()));
    }

    /// Nobody reads standard output any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// The exit code of a command that ended with `exit`: it has failed where its result was not written.
    pub(crate) fn checked(&self, exit: Exit) -> Exit {
        if exit == Exit::Done && self.lost.load(Ordering::Relaxed) { Exit::Failed } else { exit }
    }

    fn outcome(&self, written: io::Result<()>) {
        match written {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => self.closed.store(true, Ordering::Relaxed),
            Err(error) => {
                self.lost.store(true, Ordering::Relaxed);
                if !self.closed.swap(true, Ordering::Relaxed) {
                    self.note(format!("error[output]: cannot write to standard output: {error}"));
                }
            }
        }
    }
}

/// Says that the program itself is at fault.
pub(crate) fn bug(what: &str) {
    let version = env!("CARGO_PKG_VERSION");
    let _ = writeln!(
        io::stderr().lock(),
        "error[bug]: {what}\n  why     this is a mistake in tagline {version}, not in what you did\n  \
         next    report it with this message and the command you typed"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_without_utf_8_gets_ascii() {
        let terminal = Facts { terminal: true, ..Facts::PLAIN };
        assert_eq!(terminal.shown("1 of 2 · a → b…"), "1 of 2 - a > b~");
        assert_eq!(Facts { symbols: true, ..terminal }.shown("a · b"), "a · b");
        assert_eq!(Facts::PLAIN.shown("a · b"), "a · b");
    }

    #[test]
    fn a_pipe_gets_words_and_a_terminal_both() {
        let terminal = Facts { terminal: true, colour: true, symbols: true, width: 80 };
        assert_eq!(Facts::PLAIN.mark(Mark::Waiting), "waiting");
        assert_eq!(Facts::PLAIN.state(Mark::Success, "healthy"), "healthy");
        assert_eq!(terminal.state(Mark::Success, "healthy"), "\u{1b}[32m✓\u{1b}[0m healthy");
        assert_eq!(Facts { colour: false, ..terminal }.state(Mark::Success, "healthy"), "✓ healthy");
    }
}
