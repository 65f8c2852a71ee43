//! `--name value` arguments, and how a command fails.

use std::fmt;

/// Why a command ended: 1 it failed, 2 it was used wrongly.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub exit: u8,
    message: String,
}

impl Failure {
    /// The command was understood and did not work.
    pub fn new(message: impl fmt::Display) -> Self {
        Self { exit: 1, message: message.to_string() }
    }

    /// The command was not understood; nothing was done.
    pub fn usage(message: impl fmt::Display) -> Self {
        Self { exit: 2, message: message.to_string() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::new(format!("database: {error}"))
    }
}

/// The flags of one command; every one takes a value, but those named as switches.
pub struct Flags<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Flags<'a> {
    /// Reads `words`, which may name `known` flags and `switches` only, each once.
    pub fn parse(words: &[&'a str], known: &[&str], switches: &[&str]) -> Result<Self, Failure> {
        let mut flags: Vec<(&str, &str)> = Vec::new();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let name = word.strip_prefix("--").unwrap_or_default();
            let value = if switches.contains(&name) {
                "true"
            } else if known.contains(&name) {
                words.next().ok_or_else(|| Failure::usage(format!("--{name} has no value")))?
            } else {
                let names = [known, switches].concat().join(", --");
                return Err(Failure::usage(format!("unknown argument `{word}`; known: --{names}")));
            };
            if flags.iter().any(|(given, _)| *given == name) {
                return Err(Failure::usage(format!("--{name} is given twice")));
            }
            flags.push((name, value));
        }
        Ok(Self(flags))
    }

    /// The value of a flag that may be left out.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(given, _)| *given == name).map(|(_, value)| *value)
    }

    /// The value of a flag that may not.
    pub fn need(&self, name: &str) -> Result<&'a str, Failure> {
        self.get(name).ok_or_else(|| Failure::usage(format!("--{name} is missing")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_read_once_and_by_name() {
        let parse = |words: &[&'static str]| Flags::parse(words, &["to"], &["lifeline"]);
        let flags = parse(&["--to", "3", "--lifeline"]).unwrap();
        assert_eq!((flags.get("to"), flags.get("lifeline")), (Some("3"), Some("true")));
        for wrong in [&["--to"][..], &["--too", "3"], &["3"], &["--to", "1", "--to", "2"]] {
            assert_eq!(parse(wrong).err().map(|failure| failure.exit), Some(2), "{wrong:?}");
        }
    }
}
