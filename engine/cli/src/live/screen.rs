//! A terminal with lines that stay and a live area below them.
//!
//! Invariants: a printed line never changes; the live area is redrawn in one write, at most ten times a second, and is
//! gone whenever something else is to be printed; what is typed does not show while it is there.

use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

use crate::output::Facts;

/// Redraws are at least so far apart.
pub(crate) const PACE: Duration = Duration::from_millis(100);
/// The live area has at most so many lines.
const TALLEST: usize = 12;

/// Standard error as a terminal.
#[derive(Debug)]
pub(crate) struct Screen {
    facts: Facts,
    /// What is drawn.
    area: Vec<String>,
    /// What is drawn with the next lines in its place.
    next: Option<Vec<String>>,
    drawn_at: Option<Instant>,
    quiet: Option<Quiet>,
}

impl Screen {
    /// Nothing is drawn yet.
    pub(crate) fn new(facts: Facts) -> Self {
        Self { facts, area: Vec::new(), next: None, drawn_at: None, quiet: None }
    }

    /// How many lines the live area may have now.
    pub(crate) fn lines() -> usize {
        let rows = tcgetwinsize(io::stderr()).map_or(24, |size| usize::from(size.ws_row));
        let rows = if rows == 0 { 24 } else { rows };
        rows.saturating_sub(2).clamp(1, TALLEST)
    }

    /// Columns now; none where they are not known.
    pub(crate) fn width() -> Option<usize> {
        tcgetwinsize(io::stderr()).ok().map(|size| usize::from(size.ws_col)).filter(|width| *width > 0)
    }

    /// Whether it is time for another frame.
    pub(crate) fn is_due(&self) -> bool {
        self.drawn_at.is_none_or(|at| at.elapsed() >= PACE)
    }

    /// Shows this live area in place of the one before.
    pub(crate) fn draw(&mut self, area: Vec<String>) {
        if self.quiet.is_none() {
            self.quiet = Quiet::begin();
        }
        self.drawn_at = Some(Instant::now());
        self.next = None;
        if area == self.area {
            return;
        }
        let text = format!("{}{}", self.erase(), joined(&area));
        self.area = area;
        self.write(&text);
    }

    /// Prints lines for good, above the live area.
    pub(crate) fn print(&mut self, lines: &[String]) {
        if lines.is_empty() {
            return;
        }
        let erase = self.erase();
        if let Some(next) = self.next.take() {
            self.area = next;
        }
        self.write(&format!("{erase}{}{}", joined(lines), joined(&self.area)));
    }

    /// With the next printed lines the live area, where there is one, becomes this.
    pub(crate) fn renew(&mut self, area: impl FnOnce() -> Vec<String>) {
        if !self.area.is_empty() {
            self.next = Some(area());
        }
    }

    /// Takes the live area away and lets what is typed show again.
    pub(crate) fn clear(&mut self) {
        let text = self.erase();
        self.area.clear();
        self.next = None;
        self.quiet = None;
        self.write(&text);
    }

    fn write(&self, text: &str) {
        if !text.is_empty() {
            // A terminal that is gone shows nothing.
            let _ = io::stderr().lock().write_all(self.facts.shown(text).as_bytes());
        }
    }

    fn erase(&self) -> String {
        match self.area.len() {
            0 => String::new(),
            lines => format!("\u{1b}[{lines}A\r\u{1b}[J"),
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.clear();
    }
}

fn joined(lines: &[String]) -> String {
    lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
}

/// The terminal does not show what is typed, until this is dropped. Ctrl-C still works.
#[derive(Debug)]
struct Quiet {
    before: Termios,
}

impl Quiet {
    fn begin() -> Option<Self> {
        let before = tcgetattr(io::stdin()).ok()?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Now, &silent).ok()?;
        Some(Self { before })
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}
