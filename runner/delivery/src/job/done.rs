//! How an action that works by Jobs ends, and what it needs of the cluster.

use indexmap::IndexMap;
use jiff::Timestamp;

use crate::cluster::Verb;
use crate::{Failure, ObjectId, UNCHANGED};

/// How it ended well.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Done {
    /// The step's outputs.
    pub outputs: IndexMap<String, String>,
    /// One line.
    pub summary: String,
    /// What is to be done later.
    pub later: Vec<Later>,
}

/// Something that a note in the cluster says is to be done at a time: made by an operation or a rotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Later {
    /// The note, a ConfigMap.
    pub note: ObjectId,
    /// Its UID: another note of that name is something else.
    pub uid: String,
    /// Not before.
    pub due: Timestamp,
    /// Not before this run has ended, however it ends.
    pub after_run: Option<u64>,
}

impl Done {
    /// With an output.
    #[must_use]
    pub fn output(mut self, name: &str, value: impl Into<String>) -> Self {
        self.outputs.insert(name.to_owned(), value.into());
        self
    }
}

/// The rights that running a Job takes.
pub fn verbs() -> Vec<Verb> {
    let jobs = ["create", "get", "list", "watch", "patch", "delete"].map(|verb| Verb::new(verb, "batch/v1", "Job"));
    let pods = ["list", "watch"].map(|verb| Verb::new(verb, "v1", "Pod"));
    let mut all: Vec<Verb> = jobs.into_iter().chain(pods).collect();
    all.push(Verb::new("get", "v1", "Pod").part("log"));
    all
}

/// What to do where a step is refused: each line says what is wrong.
const NEXT: &str = "correct what is named, then look again: tagline plan";

/// All that stands against a step, as one failure: the first line is the cause, all are evidence.
pub fn refused(what: &str, mut lines: Vec<String>) -> Failure {
    lines.dedup();
    let why = match lines.as_slice() {
        [one] => one.clone(),
        [first, rest @ ..] => format!("{first} (and {} more)", rest.len()),
        [] => String::new(),
    };
    Failure { evidence: lines, ..Failure::new(what, why) }.effect(UNCHANGED).next(NEXT)
}
