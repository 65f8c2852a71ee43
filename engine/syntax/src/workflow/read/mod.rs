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
use crate::diagnostic::{Diagnostic, SourceFile, tidy};
use crate::expression::Availability;
use crate::read::Reader;
use crate::tree::{self, Tree};

/// What reading a workflow file gives.
#[derive(Debug)]
pub struct Outcome {
    /// The workflow; nothing where a diagnostic is an error.
    pub workflow: Option<Workflow>,
    /// What is wrong, in the order of the file.
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads a workflow file, with all its errors at once.
pub fn read(source: &SourceFile) -> Outcome {
    let draft = draft(source);
    let sound = !draft.diagnostics.iter().any(Diagnostic::is_error);
    Outcome { workflow: draft.workflow.filter(|_| sound), diagnostics: draft.diagnostics }
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
