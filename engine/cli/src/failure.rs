//! Errors for people: what is so, why, what it did, what to do next.
//!
//! Every error type of the libraries becomes a [`Failure`] in one place, so each has an exit code and a next step.

use std::error::Error;
use std::fmt::Display;
use std::ops::Range;

use crate::exit::Exit;
use crate::output::{Output, Style};
use crate::words::plain;

/// What a command answers.
pub(crate) type Outcome = Result<Exit, Failure>;

/// An error as it is printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) exit: Exit,
    /// A stable name in words.
    pub(crate) code: &'static str,
    /// What is so, one sentence.
    pub(crate) message: Box<str>,
    /// The causes, nearest first.
    pub(crate) why: Vec<String>,
    /// What it did, or that it did nothing.
    pub(crate) effect: Option<Box<str>>,
    /// What to do: sentences that may end in a command after a colon.
    pub(crate) next: Vec<String>,
    /// Lines to print as they are before the error: diagnostics with carets.
    pub(crate) before: Box<str>,
}

impl Failure {
    /// An error without details.
    pub(crate) fn new(exit: Exit, code: &'static str, message: impl Display) -> Self {
        let message = message.to_string().into();
        Self { exit, code, message, why: Vec::new(), effect: None, next: Vec::new(), before: Box::default() }
    }

    /// An error that is nothing but lines drawn before: diagnostics that say it all.
    pub(crate) fn drawn(exit: Exit, lines: String) -> Self {
        Self { before: lines.into(), ..Self::new(exit, "diagnostics", "") }
    }

    /// Nothing could start.
    pub(crate) fn unusable(code: &'static str, message: impl Display) -> Self {
        Self::new(Exit::Unusable, code, message)
    }

    /// Something failed, or was refused.
    pub(crate) fn failed(code: &'static str, message: impl Display) -> Self {
        Self::new(Exit::Failed, code, message)
    }

    /// An error with the errors that caused it.
    pub(crate) fn of(exit: Exit, code: &'static str, error: &dyn Error) -> Self {
        let causes = std::iter::successors(error.source(), |cause: &&dyn Error| (*cause).source());
        Self { why: causes.map(ToString::to_string).collect(), ..Self::new(exit, code, error) }
    }

    /// Adds a cause.
    #[must_use]
    pub(crate) fn why(mut self, why: impl Display) -> Self {
        self.why.push(why.to_string());
        self
    }

    /// Says what it did.
    #[must_use]
    pub(crate) fn effect(mut self, effect: impl Display) -> Self {
        self.effect = Some(effect.to_string().into());
        self
    }

    /// Adds what to do.
    #[must_use]
    pub(crate) fn next(mut self, next: impl Display) -> Self {
        let next = next.to_string();
        debug_assert!(commands(&next).all(|words| parses(&words)), "no such command: {next}");
        self.next.push(next);
        self
    }

    /// Names the store in the commands it proposes, where this command was given one.
    #[must_use]
    pub(crate) fn at_store(mut self, url: Option<&str>) -> Self {
        if let Some(url) = url {
            for next in &mut self.next {
                *next = at_store(next, url);
            }
        }
        self
    }

    /// The lines below the first: why, effect, next, then.
    pub(crate) fn details(&self) -> Vec<(&'static str, String)> {
        let why = self.why.iter().map(|line| ("why", line.clone()));
        let effect = self.effect.iter().map(|line| ("effect", line.to_string()));
        let labels = std::iter::once("next").chain(std::iter::repeat("then"));
        let next = labels.zip(self.next.iter().cloned());
        why.chain(effect).chain(next).collect()
    }

    /// Prints it to standard error; its exit code.
    pub(crate) fn report(&self, output: &Output) -> Exit {
        if !self.before.is_empty() {
            output.note(self.before.trim_end());
        }
        if self.message.is_empty() {
            return self.exit;
        }
        let head = output.err.paint(Style::Bad, format!("error[{}]:", self.code));
        output.note(format!("{head} {}", plain(&self.message)));
        for (label, text) in self.details() {
            output.note(format!("  {} {}", output.err.paint(Style::Strong, format!("{label:<7}")), plain(&text)));
        }
        self.exit
    }
}

/// Where the `tagline` commands of a line are: from `tagline` at the start or after a colon to two blanks or the end.
fn places(line: &str) -> Vec<Range<usize>> {
    let starts = line.match_indices("tagline ").map(|(at, _)| at);
    let starts = starts.filter(|at| *at == 0 || line[..*at].ends_with(": ") || line[..*at].ends_with("  "));
    let place = |at: usize| {
        let rest = &line[at..];
        let end = ["  ", " | ", " && ", " < "].map(|sign| rest.find(sign)).into_iter().flatten().min();
        at..at + end.unwrap_or(rest.len())
    };
    starts.map(place).collect()
}

/// The `tagline` commands in a line, as words.
pub(crate) fn commands(line: &str) -> impl Iterator<Item = Vec<String>> + '_ {
    let words = |place: Range<usize>| line[place].split_whitespace().map(|word| word.trim_matches('"').to_owned());
    places(line).into_iter().map(move |place| words(place).collect())
}

/// The line with the store's name in each command that needs one.
pub(crate) fn at_store(line: &str, url: &str) -> String {
    let needs_none = |command: &str| {
        let word = command.split_whitespace().nth(1).unwrap_or_default();
        ["lint", "eval", "init", "plan", "sbom", "completions"].contains(&word) || command.contains("--store")
    };
    let mut out = line.to_owned();
    for place in places(line).into_iter().rev().filter(|place| !needs_none(&line[place.clone()])) {
        out.insert_str(place.end, &format!(" --store {url}"));
    }
    out
}

/// Whether the command line takes these words.
pub(crate) fn parses(words: &[String]) -> bool {
    use clap::Parser as _;
    crate::args::Arguments::try_parse_from(words).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_of_a_line_are_found() {
        let found = |line: &str| commands(line).map(|words| words.join(" ")).collect::<Vec<_>>();
        assert_eq!(found("renew it, then: tagline rerun 4 --from deploy"), ["tagline rerun 4 --from deploy"]);
        assert_eq!(found("tagline init       writes release.yml"), ["tagline init"]);
        assert_eq!(found("commit, git tag v0.1.0"), Vec::<String>::new());
        assert_eq!(found("the tagline command"), Vec::<String>::new());
    }

    #[test]
    fn commands_name_the_store_that_this_one_was_given() {
        let named = |line: &str| at_store(line, "sqlite:///s");
        assert_eq!(named("make room, then: tagline resume"), "make room, then: tagline resume --store sqlite:///s");
        assert_eq!(named("tagline runs       lists them"), "tagline runs --store sqlite:///s       lists them");
        assert_eq!(named("tagline lint"), "tagline lint");
        assert_eq!(named("tagline runs --store sqlite:///t"), "tagline runs --store sqlite:///t");
    }

    #[test]
    fn commands_are_held_against_the_parser() {
        let parses = |text: &str| parses(&text.split(' ').map(str::to_owned).collect::<Vec<_>>());
        assert!(parses("tagline approve 418 --environment production --plan 7d31c0e94b1a"));
        assert!(!parses("tagline aprove 418"));
    }
}
