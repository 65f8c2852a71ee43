//! Ids of jobs and steps, and the ids GitHub makes up for steps without one.

use std::collections::{HashMap, HashSet};

use crate::diagnostic::Diagnostic;
use crate::read::Reader;
use crate::tree::Node;

/// Ids have fewer characters than this.
const MAX_LENGTH: usize = 100;

/// Reports an id that is none.
pub(super) fn check(reader: &mut Reader<'_>, node: Node<'_>, id: &str, what: &str) {
    if id.is_empty() {
        reader.error("empty-value", node.span(), format!("the id of {what} is missing"));
    } else if !is_id(id) {
        let message = format!("`{id}` is no id for {what}");
        let help = "an id begins with a letter or `_`, goes on with letters, digits, `-` and `_`, and has fewer than 100 characters";
        reader.report(Diagnostic::error("bad-id", node.span(), message).help(help));
    } else if id.starts_with("__") {
        let message = format!("`{id}` begins with `__`, which is kept for ids that are made up");
        reader.error("bad-id", node.span(), message);
    }
}

/// Whether a text is an id: `[A-Za-z_][A-Za-z0-9_-]*`, shorter than 100.
pub(super) fn is_id(text: &str) -> bool {
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let first = text.bytes().next();
    first.is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
        && text.bytes().all(sound)
        && text.len() < MAX_LENGTH
}

/// The ids of one job's steps, unique ignoring case.
#[derive(Default)]
pub(crate) struct StepIds {
    used: HashSet<String>,
    /// The last number that each made-up name has.
    numbers: HashMap<String, usize>,
}

impl StepIds {
    /// Takes an id that the file gives; false when another step has it.
    pub(crate) fn take(&mut self, id: &str) -> bool {
        self.used.insert(id.to_lowercase())
    }

    /// Makes up an id: `__` and the name, with `_2` and so on while it is taken.
    pub(crate) fn make(&mut self, name: &str) -> String {
        let legal = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-');
        let clean: String = name.chars().map(|letter| if legal(letter) { letter } else { '_' }).collect();
        let base = format!("__{clean}");
        let last = self.numbers.entry(base.to_lowercase()).or_default();
        loop {
            *last += 1;
            let suffix = if *last == 1 { String::new() } else { format!("_{last}") };
            let room = MAX_LENGTH - 1 - suffix.len();
            let id = format!("{}{suffix}", &base[..base.len().min(room)]);
            if self.used.insert(id.to_lowercase()) {
                return id;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_ids_are_clean_and_unique() {
        let mut ids = StepIds::default();
        assert!(ids.take("Build") && !ids.take("BUILD"));
        let made: Vec<String> =
            ["run", "run", "actions/checkout", "alpine:3.8", "RUN"].map(|name| ids.make(name)).into();
        assert_eq!(made, ["__run", "__run_2", "__actions_checkout", "__alpine_3_8", "__RUN_3"]);
        let long = "x".repeat(300);
        assert_eq!((ids.make(&long).len(), ids.make(&long).len()), (99, 99));
    }

    #[test]
    fn ids() {
        assert!(is_id("a") && is_id("_-9") && !is_id("9a") && !is_id("-a") && !is_id("a.b") && !is_id("é"));
        assert!(is_id(&"a".repeat(99)) && !is_id(&"a".repeat(100)));
    }
}
