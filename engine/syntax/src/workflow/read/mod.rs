//! From a file to a [`Workflow`], with everything that is wrong in it.
//!
//! One file a part of the language; each reads its keys, checks them and gives the model's type. The reader never stops
//! at an error: what it cannot read it leaves out, so that the rest of the file is checked as well.

mod concurrency;
mod container;
mod defaults;
mod environment;
mod events;
mod graph;
mod identifier;
mod inputs;
mod job;
mod permissions;
mod steps;
mod strategy;
mod triggers;
mod uses;

use indexmap::IndexMap;

pub(crate) use identifier::StepIds;
pub(crate) use steps::composite_step;
pub use uses::ActionRef;

use super::{Triggers, Workflow};
use crate::diagnostic::{Diagnostic, SourceFile, Span, tidy};
use crate::expression::Availability;
use crate::read::Reader;
use crate::tree::{self, Node, Tree};

/// What reading a workflow file gives.
#[derive(Debug)]
pub struct Outcome {
    /// The workflow; nothing where a diagnostic is an error.
    pub workflow: Option<Workflow>,
    /// What starts it; known in a file with errors too, where none of them can be about `on`.
    pub triggers: Option<Triggers>,
    /// What is wrong, in the order of the file.
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads a workflow file, with all its errors at once.
pub fn read(source: &SourceFile) -> Outcome {
    let draft = draft(source);
    let sound = !draft.diagnostics.iter().any(Diagnostic::is_error);
    let told = draft.workflow.as_ref().filter(|_| sound || is_on_sound(&draft));
    let triggers = told.map(|workflow| workflow.on.clone());
    Outcome { workflow: draft.workflow.filter(|_| sound), triggers, diagnostics: draft.diagnostics }
}

/// The workflow as far as it could be read, whatever is wrong with the rest: for checks of its parts.
pub fn read_partly(source: &SourceFile) -> Option<Workflow> {
    draft(source).workflow
}

/// Whether what was read of `on` is what the file says, whatever else is wrong in it.
fn is_on_sound(draft: &Draft) -> bool {
    let is_on = |node: Node<'_>| node.scalar().is_some_and(|key| key.value == "on");
    let entry = draft.tree.as_ref().and_then(|tree| tree.root().entries().find(|(key, _)| is_on(*key)));
    let Some((key, value)) = entry.filter(|(_, value)| value.alias().is_none()) else { return false };
    let (start, end) = (key.span().start, value.span().end.max(key.span().end));
    let mut errors = draft.diagnostics.iter().filter(|found| found.is_error());
    // What is missing is reported where it would begin, which may be the end of `on`.
    let before_end = |span: Span| span.start < end || (span.start == end && span.end == end);
    errors.all(|error| {
        // A key that is there twice has its first place among the labels.
        let here = error.labels.iter().any(|label| before_end(label.span) && label.span.end > start);
        !here && error.code != "several-documents"
    })
}

/// A workflow as far as it could be read, for rules that look at files with errors too.
pub(crate) struct Draft {
    pub(crate) tree: Option<Tree>,
    pub(crate) workflow: Option<Workflow>,
    pub(crate) diagnostics: Vec<Diagnostic>,
}

pub(crate) fn draft(source: &SourceFile) -> Draft {
    let (tree, found) = tree::parse(source);
    let mut reader = Reader::new(source, found);
    let workflow = tree.as_ref().and_then(|tree| root(&mut reader, tree));
    let mut diagnostics = reader.into_found();
    tidy(&mut diagnostics);
    Draft { tree, workflow, diagnostics }
}

fn root(reader: &mut Reader<'_>, tree: &Tree) -> Option<Workflow> {
    let mut fields = reader.fields(tree.root(), "a workflow")?;
    let name = fields.take("name").and_then(|node| reader.text(node, None));
    if let Some(node) = fields.take("description") {
        reader.text(node, None);
    }
    let run_name = fields.take("run-name").and_then(|node| reader.text(node, Some(&Availability::RUN_NAME)));
    let on = fields.require(reader, "on").map(|node| triggers::read(reader, node));
    let permissions = fields.take("permissions").and_then(|node| permissions::read(reader, node));
    let env = fields.take("env").map(|node| reader.texts(node, "`env`", Some(&Availability::WORKFLOW_ENV), true));
    let defaults = fields.take("defaults").map(|node| defaults::read(reader, node, None));
    let concurrency = fields.take("concurrency");
    let concurrency = concurrency.and_then(|node| concurrency::read(reader, node, &Availability::WORKFLOW_CONCURRENCY));
    let jobs = fields
        .require(reader, "jobs")
        .map_or_else(IndexMap::new, |node| job::read_all(reader, node, concurrency.as_ref()));
    fields.finish(reader);
    Some(Workflow {
        name: name.map(|name| name.text).filter(|name| !name.is_empty()),
        run_name: run_name.filter(|name| !name.text.is_empty()),
        on: on.unwrap_or_else(Triggers::default),
        permissions,
        env: env.unwrap_or_default(),
        defaults: defaults.unwrap_or_default(),
        concurrency: concurrency.map(|placed| placed.concurrency),
        jobs,
        beyond: std::mem::take(&mut reader.beyond),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The events of a file, where they are known.
    fn events(text: &str) -> Option<Vec<String>> {
        let outcome = read(&SourceFile::new("a.yml", text));
        assert_eq!(outcome.workflow.is_some(), !outcome.diagnostics.iter().any(Diagnostic::is_error), "{text}");
        Some(outcome.triggers?.events.into_keys().collect())
    }

    #[test]
    fn what_starts_a_file_is_known_where_its_errors_are_elsewhere() {
        let sound = "jobs: { a: { runs-on: x, steps: [{ run: 'true' }] } }\n";
        let broken = "jobs: { a: { runs-on: x, stps: [] } }\n";
        for jobs in [sound, broken, ""] {
            assert_eq!(events(&format!("on: pull_request\n{jobs}")), Some(vec!["pull_request".to_owned()]), "{jobs}");
            assert_eq!(events(&format!("{jobs}on:\n  push:\n")), Some(vec!["push".to_owned()]), "{jobs}");
        }
        let block = "on:\n  pull_request:\n    branches: [main]\nnope: 1\njobs: {}\n";
        assert_eq!(events(block), Some(vec!["pull_request".to_owned()]));
    }

    #[test]
    fn what_starts_a_file_is_not_known_where_an_error_may_be_about_it() {
        let jobs = "jobs: { a: { runs-on: x, steps: [{ run: 'true' }] } }\n";
        for on in [
            "",
            "on:\n",
            "on: pull_requst\n",
            "on: [pull_request, pussh]\n",
            "on: { pull_request: { brnches: [main] } }\n",
            "on: pull_request\nOn: push\n",
            "on: pull_request\non: push\n",
            "on: { pull_request: {}, <<: { push: {} } }\n",
            "on: [\n",
            "on: *nothing\n",
        ] {
            assert_eq!(events(&format!("{on}{jobs}")), None, "{on}");
        }
        assert_eq!(events(&format!("on: pull_request\n{jobs}---\non: push\n{jobs}")), None);
    }
}
