//! From a file to an [`Action`], with everything that is wrong in it.

use indexmap::IndexMap;

use super::{Action, ActionInput, Runs};
use crate::diagnostic::{Diagnostic, SourceFile, tidy};
use crate::expression::{Availability, Function};
use crate::read::{Entry, Fields, Reader};
use crate::tree::{self, Kind, Node};
use crate::workflow::{StepIds, Text, composite_step};

/// What `pre-if` and `post-if` may use.
const RUNS_IF: Availability = Availability {
    key: "runs.pre-if",
    contexts: &["runner", "github", "job", "strategy", "matrix", "env", "inputs"],
    functions: &[
        (Function::Always, 0, 0),
        (Function::Success, 0, 0),
        (Function::Failure, 0, 0),
        (Function::Cancelled, 0, 0),
        (Function::HashFiles, 1, 255),
    ],
};

/// What `args` and `env` of a Docker action may use.
const DOCKER: Availability = Availability { key: "runs.args", contexts: &["inputs"], functions: &[] };

const NODES: &[&str] = &["node12", "node16", "node20", "node24"];
const USING: &[&str] = &["composite", "docker", "node12", "node16", "node20", "node24"];

/// What reading an action's metadata gives.
#[derive(Debug)]
pub struct Outcome {
    /// The action; nothing where a diagnostic is an error.
    pub action: Option<Action>,
    /// What is wrong, in the order of the file.
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads an action's metadata, with all its errors at once.
pub fn read(source: &SourceFile) -> Outcome {
    let (tree, found) = tree::parse(source);
    let mut reader = Reader::new(source, found);
    let action = tree.as_ref().and_then(|tree| root(&mut reader, tree.root()));
    let mut diagnostics = reader.into_found();
    tidy(&mut diagnostics);
    let sound = !diagnostics.iter().any(Diagnostic::is_error);
    Outcome { action: action.filter(|_| sound), diagnostics }
}

fn root(reader: &mut Reader<'_>, node: Node<'_>) -> Option<Action> {
    let mut fields = reader.fields(node, "an action")?;
    let name = fields.require(reader, "name").and_then(|node| reader.literal(node));
    let description = fields.require(reader, "description").and_then(|node| reader.text(node, None));
    let inputs = fields.take("inputs").map(|node| inputs(reader, node)).unwrap_or_default();
    let outputs = fields.take("outputs").map(|node| outputs(reader, node)).unwrap_or_default();
    let runs = fields.require(reader, "runs").and_then(|node| runs(reader, node));
    for key in ["author", "branding"] {
        fields.take(key);
    }
    // GitHub's runner takes any other key, its marketplace does not.
    for Entry { key, node, .. } in fields.rest() {
        let message = format!("an action has no key `{key}`, and the runner ignores it");
        reader.report(Diagnostic::warning("unknown-key", node.span(), message));
    }
    Some(Action { name: name?, description: description?.text, inputs, outputs, runs: runs? })
}

fn inputs(reader: &mut Reader<'_>, node: Node<'_>) -> IndexMap<String, ActionInput> {
    let Some(fields) = reader.fields(node, "`inputs`") else { return IndexMap::new() };
    let mut inputs = IndexMap::new();
    for Entry { key, node, value } in fields.rest() {
        reader.name(node, &key);
        let Some(mut fields) = reader.fields(value, "an input") else { continue };
        if let Some(node) = fields.take("description") {
            reader.text(node, None);
        }
        let place = Some(&Availability::ACTION_INPUT_DEFAULT);
        let input = ActionInput {
            required: fields.take("required").and_then(|node| reader.boolean(node)).unwrap_or(false),
            default: fields.take("default").and_then(|node| reader.text(node, place)),
            deprecation: fields
                .take("deprecationMessage")
                .and_then(|node| reader.text(node, None))
                .map(|text| text.text),
        };
        inputs.insert(key, input);
    }
    inputs
}

fn outputs(reader: &mut Reader<'_>, node: Node<'_>) -> IndexMap<String, Option<Text>> {
    let Some(fields) = reader.fields(node, "`outputs`") else { return IndexMap::new() };
    let mut outputs = IndexMap::new();
    for Entry { key, node, value } in fields.rest() {
        reader.name(node, &key);
        let Some(mut fields) = reader.fields(value, "an output") else { continue };
        if let Some(node) = fields.take("description") {
            reader.text(node, None);
        }
        let value = fields.take("value").and_then(|node| reader.text(node, Some(&Availability::ACTION_OUTPUT)));
        fields.finish(reader);
        outputs.insert(key, value);
    }
    outputs
}

fn runs(reader: &mut Reader<'_>, node: Node<'_>) -> Option<Runs> {
    let mut fields = reader.fields(node, "`runs`")?;
    let using = fields.require(reader, "using").and_then(|node| reader.choice(node, "a kind of action", USING))?;
    let runs = match using {
        "composite" => composite(reader, &mut fields),
        "docker" => docker(reader, &mut fields),
        _ => node_action(reader, &mut fields, using),
    };
    fields.finish(reader);
    runs
}

fn composite(reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> Option<Runs> {
    let node = fields.require(reader, "steps")?;
    if !matches!(node.kind(), Kind::Sequence) {
        reader.wrong_type(node, "a list of steps");
        return None;
    }
    let mut ids = StepIds::default();
    let steps = node.items().filter_map(|item| composite_step(reader, item, &mut ids)).collect::<Vec<_>>();
    let steps = steps.into_iter().map(|draft| draft.finish(&mut ids)).collect();
    Some(Runs::Composite { steps })
}

fn node_action(reader: &mut Reader<'_>, fields: &mut Fields<'_>, using: &str) -> Option<Runs> {
    debug_assert!(NODES.contains(&using));
    let mut scripts = IndexMap::new();
    let main = fields.require(reader, "main").and_then(|node| reader.literal(node));
    scripts.insert("main".to_owned(), main?);
    for key in ["pre", "post"] {
        if let Some(script) = fields.take(key).and_then(|node| reader.literal(node)) {
            scripts.insert(key.to_owned(), script);
        }
    }
    Some(Runs::Node { using: using.to_owned(), scripts, conditions: conditions(reader, fields) })
}

fn docker(reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> Option<Runs> {
    let image = fields.require(reader, "image").and_then(|node| reader.literal(node));
    let mut entrypoints = IndexMap::new();
    for key in ["entrypoint", "pre-entrypoint", "post-entrypoint"] {
        if let Some(program) = fields.take(key).and_then(|node| reader.literal(node)) {
            entrypoints.insert(key.to_owned(), program);
        }
    }
    let args = fields.take("args").filter(|node| {
        let is_list = matches!(node.kind(), Kind::Sequence);
        if !is_list {
            reader.wrong_type(*node, "a list");
        }
        is_list
    });
    let args = args.into_iter().flat_map(Node::items).filter_map(|item| reader.text(item, Some(&DOCKER))).collect();
    let env = fields.take("env").map(|node| reader.texts(node, "`env`", Some(&DOCKER), false)).unwrap_or_default();
    let conditions = conditions(reader, fields);
    Some(Runs::Docker { image: image?, entrypoints, args, env, conditions })
}

fn conditions(reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> IndexMap<String, Text> {
    let mut conditions = IndexMap::new();
    for key in ["pre-if", "post-if"] {
        if let Some(text) = fields.take(key).and_then(|node| reader.condition_text(node, &RUNS_IF)) {
            conditions.insert(key.to_owned(), text);
        }
    }
    conditions
}
