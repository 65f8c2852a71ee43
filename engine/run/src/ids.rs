//! Names of runs, jobs, gates, locks and timers. All are plain text without path characters, so a name that came from
//! outside can never become a path or an address.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A text that is no name of the kind asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {expected}")]
pub struct BadId {
    /// What was given.
    pub text: String,
    /// What would have been right.
    pub expected: &'static str,
}

/// The number of a run in its store, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(pub u64);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for RunId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        match text.parse() {
            Ok(number) if number > 0 => Ok(Self(number)),
            _ => Err(BadId { text: text.to_owned(), expected: "the number of a run" }),
        }
    }
}

/// Which go of a run, from 1: GitHub's `run_attempt`. A job's attempt is the run's attempt in which it last started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Attempt(pub u32);

impl Attempt {
    /// The first one.
    pub const FIRST: Self = Self(1);

    /// The one after.
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One leg of one job. As text `build` for the first or only leg, `build.2` for the second; it names the job's folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JobKey {
    /// The job's id in the file.
    pub job: String,
    /// The leg, from 0: `strategy.job-index`.
    pub leg: u32,
}

impl JobKey {
    /// The key of a leg.
    pub fn new(job: impl Into<String>, leg: u32) -> Self {
        Self { job: job.into(), leg }
    }
}

impl fmt::Display for JobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.leg {
            0 => f.write_str(&self.job),
            leg => write!(f, "{}.{}", self.job, u64::from(leg) + 1),
        }
    }
}

impl FromStr for JobKey {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let bad = || BadId { text: text.to_owned(), expected: "a job, such as `build` or `build.2`" };
        let (job, leg) = match text.split_once('.') {
            None => (text, 0),
            Some((job, number)) => {
                let number: u32 = number.parse().map_err(|_| bad())?;
                (job, number.checked_sub(1).ok_or_else(bad)?)
            }
        };
        let mut bytes = job.bytes();
        let head = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
        if head && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-') {
            Ok(Self::new(job, leg))
        } else {
            Err(bad())
        }
    }
}

impl TryFrom<String> for JobKey {
    type Error = BadId;

    fn try_from(text: String) -> Result<Self, BadId> {
        text.parse()
    }
}

impl From<JobKey> for String {
    fn from(key: JobKey) -> Self {
        key.to_string()
    }
}

/// A gate of a run: its number in the run, as text `gate-1`. It says nothing about the environment and is never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GateId(pub u32);

impl fmt::Display for GateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gate-{}", self.0)
    }
}

impl FromStr for GateId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let number = text.strip_prefix("gate-").filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
        number
            .and_then(|digits| digits.parse().ok())
            .map(Self)
            .ok_or_else(|| BadId { text: text.to_owned(), expected: "a gate, such as `gate-1`" })
    }
}

impl TryFrom<String> for GateId {
    type Error = BadId;

    fn try_from(text: String) -> Result<Self, BadId> {
        text.parse()
    }
}

impl From<GateId> for String {
    fn from(gate: GateId) -> Self {
        gate.to_string()
    }
}

/// The secret of one start of a job, made by the engine at random. Who reports must know it (fencing).
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Token(pub String);

impl fmt::Debug for Token {
    /// Shows no more than tells two tokens apart.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({}…)", self.0.chars().take(6).collect::<String>())
    }
}

/// What only one holder may have at a time. Groups are compared ignoring case, within one repository.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lock {
    /// A `concurrency` group, in lower case.
    Group(String),
    /// An environment.
    Environment(String),
}

impl Lock {
    /// The lock of a `concurrency` group.
    pub fn group(name: &str) -> Self {
        Self::Group(name.to_lowercase())
    }
}

impl fmt::Display for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group(name) => write!(f, "concurrency group {name}"),
            Self::Environment(name) => write!(f, "environment {name}"),
        }
    }
}

/// Who holds or wants a lock within its run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Holder {
    /// The whole run: `concurrency` of the workflow.
    Run,
    /// The jobs of an environment in this run.
    Stage(String),
    /// One leg: `concurrency` of its job.
    Job(JobKey),
}

/// A deadline of the run. The times stand in the state; a timer only says which of them to look at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimerId {
    /// The whole run's limit of 35 days.
    Run,
    /// A gate expires.
    Gate(GateId),
    /// A started job has overrun its limit and its agent has not said so.
    Job(JobKey),
    /// A launch is tried again.
    Launch(JobKey),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_one_text() {
        for (text, key) in [("build", JobKey::new("build", 0)), ("build.2", JobKey::new("build", 1))] {
            assert_eq!(key.to_string(), text);
            assert_eq!(text.parse::<JobKey>().unwrap(), key);
            assert_eq!(serde_json::to_string(&key).unwrap(), format!("\"{text}\""));
        }
        assert_eq!("build.1".parse::<JobKey>().unwrap(), JobKey::new("build", 0));
        assert_eq!(JobKey::new("b", u32::MAX).to_string(), "b.4294967296");
        for text in ["", ".", "a/b", "../x", "a.0", "a.b", "1a", "a.2.3", "a\n"] {
            assert!(text.parse::<JobKey>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn gates_are_opaque() {
        assert_eq!("gate-7".parse::<GateId>().unwrap(), GateId(7));
        for text in ["../../x?", "%2e%2e", "gate-", "gate-+1", "gate-1\r\n", "production"] {
            assert!(text.parse::<GateId>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_token_is_not_shown_whole() {
        assert_eq!(format!("{:?}", Token("0123456789abcdef".into())), "Token(012345…)");
    }
}
