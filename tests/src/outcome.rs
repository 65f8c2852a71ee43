//! What a finished command said, and assertions on it that show all of it when they fail.

use std::fmt;
use std::process::Output;

use serde_json::Value;

/// The end of one command.
pub struct Outcome {
    /// The command's words.
    pub command: String,
    /// Its exit code; 128 + the signal where it was killed by one.
    pub code: i32,
    /// Standard output; bytes that are not UTF-8 are replaced.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Outcome {
    pub(crate) fn new(command: String, output: &Output) -> Self {
        let signal = std::os::unix::process::ExitStatusExt::signal(&output.status);
        Self {
            command,
            code: output.status.code().or(signal.map(|number| 128 + number)).unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Asserts the exit code.
    #[track_caller]
    pub fn code(&self, code: i32) -> &Self {
        assert_eq!(self.code, code, "exit code\n{self}");
        self
    }

    /// Asserts exit code 0.
    #[track_caller]
    pub fn success(&self) -> &Self {
        self.code(0)
    }

    /// Asserts that standard output holds the text.
    #[track_caller]
    pub fn stdout_has(&self, text: &str) -> &Self {
        assert!(self.stdout.contains(text), "standard output lacks `{text}`\n{self}");
        self
    }

    /// Asserts that standard error holds the text.
    #[track_caller]
    pub fn stderr_has(&self, text: &str) -> &Self {
        assert!(self.stderr.contains(text), "standard error lacks `{text}`\n{self}");
        self
    }

    /// Asserts an error for people: exit code, its code in words, the place it names, what it did and what to do next.
    #[track_caller]
    pub fn refused(&self, exit: i32, code: &str, place: &str) -> &Self {
        self.code(exit).stderr_has(&format!("error[{code}]")).stderr_has(place);
        let says = |label: &str| self.stderr.lines().any(|line| line.starts_with(&format!("  {label:<7} ")));
        assert!(says("effect"), "it does not say what it did\n{self}");
        assert!(says("next"), "it does not say what to do\n{self}");
        assert!(!self.stderr.contains("panicked"), "a panic\n{self}");
        self
    }

    /// Asserts that neither output holds the text: a secret, a path, an escape sequence.
    #[track_caller]
    pub fn lacks(&self, text: &str) -> &Self {
        let there = self.stdout.contains(text) || self.stderr.contains(text);
        assert!(!there, "the output holds `{text}`\n{self}");
        self
    }

    /// Standard output as one JSON value.
    #[track_caller]
    pub fn json(&self) -> Value {
        match serde_json::from_str(&self.stdout) {
            Ok(value) => value,
            Err(error) => panic!("standard output is not one JSON value: {error}\n{self}"),
        }
    }

    /// Standard output as one JSON value a line.
    #[track_caller]
    pub fn json_lines(&self) -> Vec<Value> {
        let parse = |line: &str| match serde_json::from_str(line) {
            Ok(value) => value,
            Err(error) => panic!("`{line}` is not JSON: {error}\n{self}"),
        };
        self.stdout.lines().map(parse).collect()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "$ {}", self.command)?;
        writeln!(out, "exit code {}", self.code)?;
        writeln!(out, "--- stdout\n{}--- stderr\n{}---", self.stdout, self.stderr)
    }
}
