//! Reads the inputs of one action one after the other and gathers every problem.

use std::collections::BTreeSet;
use std::fmt::Display;

use indexmap::IndexMap;
use tagline_actions::{Delivery, Input, Support};

use super::expression::{is_open, open_lines};
use super::{Amount, Period, Problem, Quantity, did_you_mean};

/// The inputs of one step. A value that cannot be read is told as a problem and replaced by its default, so that reading
/// goes on; rules between values are passed over where one of them is not settled.
pub(super) struct Reader<'w> {
    action: Delivery,
    with: IndexMap<&'static str, &'w str>,
    /// Values may hold expressions.
    partial: bool,
    unsettled: BTreeSet<&'static str>,
    problems: Vec<Problem>,
}

impl<'w> Reader<'w> {
    pub(super) fn new(action: Delivery, with: &'w IndexMap<String, String>, partial: bool) -> Self {
        let mut reader =
            Self { action, with: IndexMap::new(), partial, unsettled: BTreeSet::new(), problems: Vec::new() };
        for (key, value) in with {
            reader.take(key, value.trim_end());
        }
        for input in action.inputs().iter().filter(|input| input.required) {
            if !reader.is_given(input.name) {
                reader.problem(input.name, format!("{} needs it", action.name()));
            }
        }
        reader
    }

    fn take(&mut self, key: &str, value: &'w str) {
        let known = self.action.inputs();
        let Some(input) = known.iter().find(|input| input.name.eq_ignore_ascii_case(key)) else {
            let guess = did_you_mean(key, known.iter().map(|input| input.name));
            let name = self.action.name();
            let message = if guess.is_empty() {
                format!("unknown input \"{key}\" of {name}")
            } else {
                format!("unknown input \"{key}\"{guess}")
            };
            self.problems.push(Problem::new(key, message));
            return;
        };
        if input.support == Support::Refused && !value.is_empty() {
            self.problem(input.name, format!("{} is not carried out yet; remove it", input.name));
        } else if !value.trim().is_empty() {
            self.with.insert(input.name, value);
        }
    }

    /// All problems found, in the order of the inputs' table.
    pub(super) fn finish(self) -> Vec<Problem> {
        let place = |problem: &Problem| self.action.inputs().iter().position(|input| input.name == problem.key);
        let mut problems = self.problems;
        problems.sort_by_key(|problem| (place(problem), problem.line));
        problems.dedup();
        problems
    }

    pub(super) fn problem(&mut self, key: &'static str, message: impl Into<String>) {
        self.unsettled.insert(key);
        self.problems.push(Problem::new(key, message));
    }

    /// The step gives it, and not empty.
    pub(super) fn is_given(&self, key: &str) -> bool {
        self.with.contains_key(key)
    }

    /// Every one of these was read without a problem and holds no expression.
    pub(super) fn are_settled(&self, keys: &[&str]) -> bool {
        keys.iter().all(|key| !self.unsettled.contains(key))
    }

    /// A rule between values: told at `keys[0]` where it is broken and all of them are settled.
    pub(super) fn rule(&mut self, keys: &[&'static str], broken: bool, message: impl FnOnce() -> String) {
        if broken && self.are_settled(keys) {
            self.problems.push(Problem::new(keys[0], message()));
        }
    }

    fn entry(&self, key: &str) -> &'static Input {
        let table = self.action.inputs();
        table.iter().find(|input| input.name == key).expect("an input that is read is in the action's table")
    }

    /// The value or the default; none where neither is, or where it is open.
    fn raw(&mut self, key: &'static str) -> Option<&'w str> {
        let value = self.with.get(key).copied().or(self.entry(key).default)?;
        if self.partial && is_open(value) {
            self.unsettled.insert(key);
            return None;
        }
        Some(value)
    }

    /// A value through a parser.
    pub(super) fn read<T>(&mut self, key: &'static str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        match parse(self.raw(key)?.trim()) {
            Ok(value) => Some(value),
            Err(message) => {
                self.problem(key, message);
                self.entry(key).default.and_then(|default| parse(default).ok())
            }
        }
    }

    /// A value as it is, without the space around it.
    pub(super) fn text(&mut self, key: &'static str) -> Option<String> {
        self.read(key, |text| Ok(text.to_owned()))
    }

    /// A duration that has a default.
    pub(super) fn period(&mut self, key: &'static str) -> Period {
        self.maybe_period(key).unwrap_or_default()
    }

    pub(super) fn maybe_period(&mut self, key: &'static str) -> Option<Period> {
        self.read(key, Period::parse)
    }

    /// `true` or `false`; false where it is open.
    pub(super) fn flag(&mut self, key: &'static str) -> bool {
        let parse = |text: &str| match text {
            "true" | "True" | "TRUE" => Ok(true),
            "false" | "False" | "FALSE" => Ok(false),
            _ => Err(format!("\"{text}\" is not a boolean; true, false")),
        };
        self.read(key, parse).unwrap_or_default()
    }

    /// A whole number of at least `least`.
    pub(super) fn count(&mut self, key: &'static str, least: u32) -> Option<u32> {
        self.read(key, |text| match text.parse::<u32>() {
            Ok(number) if number >= least => Ok(number),
            Ok(number) => Err(format!("{key} {number}: at least {least}")),
            Err(_) => Err(format!("\"{text}\" is not a whole number; {least} or more")),
        })
    }

    /// A TCP port.
    pub(super) fn port(&mut self, key: &'static str) -> Option<u16> {
        self.read(key, |text| match text.parse::<u16>() {
            Ok(port) if port > 0 => Ok(port),
            _ => Err(format!("\"{text}\" is not a port; 1 to 65535")),
        })
    }

    pub(super) fn amount(&mut self, key: &'static str) -> Amount {
        self.read(key, Amount::parse).unwrap_or_default()
    }

    /// A size in bytes.
    pub(super) fn bytes(&mut self, key: &'static str) -> u64 {
        self.read(key, |text| Quantity::parse(text)?.bytes()).unwrap_or_default()
    }

    /// One of some words; the first is what stands in for a value that is not known.
    pub(super) fn choice<T: Copy>(&mut self, key: &'static str, noun: &str, choices: &[(&str, T)]) -> T {
        self.read(key, |text| one_of(text, noun, choices)).unwrap_or(choices[0].1)
    }

    /// The lines of a value, each through a parser.
    pub(super) fn lines<T, E: Display>(&mut self, key: &'static str, parse: impl Fn(&str) -> Result<T, E>) -> Vec<T> {
        let Some(text) = self.with.get(key).copied().or(self.entry(key).default) else { return Vec::new() };
        let open = if self.partial { open_lines(text) } else { Vec::new() };
        let mut values = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if open.get(number) == Some(&true) {
                self.unsettled.insert(key);
            } else if !line.is_empty() && !line.starts_with('#') {
                match parse(line) {
                    Ok(value) => values.push(value),
                    Err(error) => {
                        self.unsettled.insert(key);
                        let line = text.contains('\n').then_some(number);
                        self.problems.push(Problem { key: key.to_owned(), line, message: error.to_string() });
                    }
                }
            }
        }
        values
    }

    /// Words between spaces, commas and line ends, each through a parser.
    pub(super) fn words<T, E: Display>(&mut self, key: &'static str, parse: impl Fn(&str) -> Result<T, E>) -> Vec<T> {
        let parts = |line: &str| {
            let words = line.split([',', ' ', '\t']).filter(|word| !word.is_empty());
            words.map(&parse).collect::<Result<Vec<T>, E>>()
        };
        self.lines(key, parts).into_iter().flatten().collect()
    }

    /// `NAME=VALUE` lines. A name given twice is a problem.
    pub(super) fn pairs(&mut self, key: &'static str) -> Vec<(String, String)> {
        let pairs = self.lines(key, |line| match line.split_once('=') {
            Some((name, value)) if !name.trim().is_empty() => Ok((name.trim().to_owned(), value.trim().to_owned())),
            _ => Err(format!("\"{line}\" is not NAME=VALUE")),
        });
        let mut seen = BTreeSet::new();
        for (name, _) in &pairs {
            if !seen.insert(name) {
                self.problem(key, format!("\"{name}\" is given twice"));
            }
        }
        pairs
    }
}

/// One of some words, or `"x" is not NOUN; a, b, c; did you mean a?`.
pub(super) fn one_of<T: Copy>(text: &str, noun: &str, choices: &[(&str, T)]) -> Result<T, String> {
    let found = choices.iter().find(|(word, _)| *word == text);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        format!("\"{text}\" is not {noun}; {}{}", words.join(", "), did_you_mean(text, words.iter().copied()))
    })
}
