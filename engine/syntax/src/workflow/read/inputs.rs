//! `workflow_dispatch` and `workflow_call`: inputs, outputs and secrets.

use indexmap::IndexMap;

use crate::diagnostic::{Diagnostic, Span};
use crate::expression::Availability;
use crate::read::{Entry, Reader, is_whole_expression};
use crate::tree::{Kind, Node, Typed};
use crate::workflow::{Event, Input, Text};

/// Most inputs of a dispatch: GitHub's limit.
const MAX_INPUTS: usize = 25;

const CALL_TYPES: &[&str] = &["string", "boolean", "number"];
const DISPATCH_TYPES: &[&str] = &["string", "boolean", "number", "choice", "environment"];

/// `workflow_dispatch`.
pub(super) fn dispatch(reader: &mut Reader<'_>, node: Node<'_>) -> Event {
    let mut event = Event::default();
    if node.is_null() {
        return event;
    }
    let Some(mut fields) = reader.fields(node, "`workflow_dispatch`") else { return event };
    if let Some(node) = fields.take("inputs") {
        event.inputs = inputs(reader, node, false);
        if event.inputs.len() > MAX_INPUTS {
            reader.error("too-many-inputs", node.span(), format!("a dispatch has {MAX_INPUTS} inputs at most"));
        }
    }
    fields.finish(reader);
    event
}

/// `workflow_call`.
pub(super) fn call(reader: &mut Reader<'_>, node: Node<'_>) -> Event {
    let mut event = Event::default();
    if node.is_null() {
        return event;
    }
    let Some(mut fields) = reader.fields(node, "`workflow_call`") else { return event };
    event.inputs = fields.take("inputs").map(|node| inputs(reader, node, true)).unwrap_or_default();
    event.outputs = fields.take("outputs").map(|node| outputs(reader, node)).unwrap_or_default();
    event.secrets = fields.take("secrets").map(|node| secrets(reader, node)).unwrap_or_default();
    fields.finish(reader);
    event
}

fn inputs(reader: &mut Reader<'_>, node: Node<'_>, call: bool) -> IndexMap<String, Input> {
    let Some(fields) = reader.fields(node, "`inputs`") else { return IndexMap::new() };
    let mut inputs = IndexMap::new();
    for Entry { key, node, value } in fields.rest() {
        reader.name(node, &key);
        if let Some(input) = input(reader, value, call) {
            inputs.insert(key, input);
        }
    }
    inputs
}

fn input(reader: &mut Reader<'_>, node: Node<'_>, call: bool) -> Option<Input> {
    let mut fields = reader.fields(node, "an input")?;
    let description = fields.take("description").and_then(|node| reader.text(node, None));
    let types = if call { CALL_TYPES } else { DISPATCH_TYPES };
    let kind = if call { fields.require(reader, "type") } else { fields.take("type") };
    let kind = match kind {
        Some(node) => reader.choice(node, "a type of input", types),
        None => Some("string"),
    };
    let required = fields.take("required").and_then(|node| reader.boolean(node)).unwrap_or(false);
    let default = fields.take("default").and_then(|node| default(reader, node, kind, call));
    let mut options = Vec::new();
    if !call {
        let entry = fields.entry("options");
        match entry {
            Some(entry) if kind == Some("choice") => {
                options =
                    entry.value.items().filter_map(|item| reader.text(item, None)).map(|text| text.text).collect();
                match entry.value.kind() {
                    Kind::Sequence if options.is_empty() => fields.missing(reader, "options"),
                    Kind::Sequence => {}
                    _ => reader.wrong_type(entry.value, "a list of options"),
                }
            }
            Some(entry) if kind.is_some() => {
                // GitHub names the input, not the key.
                let at = Span::new(fields.span().start, fields.span().start);
                let message = "only an input of `type: choice` has `options`";
                reader.report(Diagnostic::error("bad-input", at, message).label(entry.node.span(), "these"));
            }
            None if kind == Some("choice") => fields.missing(reader, "options"),
            _ => {}
        }
    }
    fields.finish(reader);
    let description = description.map(|text| text.text);
    Some(Input { kind: kind?.to_owned(), required, default, options, description })
}

fn default(reader: &mut Reader<'_>, node: Node<'_>, kind: Option<&str>, call: bool) -> Option<Text> {
    let place = call.then_some(&Availability::WORKFLOW_CALL_DEFAULT);
    let scalar = reader.scalar(node, "text, a number or a boolean")?;
    let fits = match (kind, scalar.typed) {
        _ if call && is_whole_expression(&scalar.value) => true,
        (Some("boolean"), typed) => matches!(typed, Typed::Bool(_)),
        (Some("number"), typed) => matches!(typed, Typed::Number(_)),
        (Some(_), typed) => matches!(typed, Typed::String | Typed::Null) || call,
        (None, _) => true,
    };
    if !fits {
        let kind = kind.unwrap_or("string");
        let message = format!("the default of this {kind} is {}", node.describe());
        reader.report(Diagnostic::error("wrong-type", node.span(), message));
        return None;
    }
    reader.text(node, place)
}

fn outputs(reader: &mut Reader<'_>, node: Node<'_>) -> IndexMap<String, Text> {
    let Some(fields) = reader.fields(node, "`outputs`") else { return IndexMap::new() };
    let mut outputs = IndexMap::new();
    for Entry { key, node, value } in fields.rest() {
        reader.name(node, &key);
        let Some(mut fields) = reader.fields(value, "an output") else { continue };
        if let Some(node) = fields.take("description") {
            reader.text(node, None);
        }
        let value = fields.require(reader, "value");
        if let Some(text) = value.and_then(|node| reader.text(node, Some(&Availability::WORKFLOW_CALL_OUTPUT))) {
            outputs.insert(key, text);
        }
        fields.finish(reader);
    }
    outputs
}

fn secrets(reader: &mut Reader<'_>, node: Node<'_>) -> IndexMap<String, bool> {
    let Some(fields) = reader.fields(node, "`secrets`") else { return IndexMap::new() };
    let mut secrets = IndexMap::new();
    for Entry { key, node, value } in fields.rest() {
        reader.name(node, &key);
        let mut required = false;
        if !value.is_null() {
            let Some(mut fields) = reader.fields(value, "a secret") else { continue };
            if let Some(node) = fields.take("description") {
                reader.text(node, None);
            }
            required = fields.take("required").and_then(|node| reader.boolean(node)).unwrap_or(false);
            fields.finish(reader);
        }
        secrets.insert(key, required);
    }
    secrets
}

#[cfg(test)]
mod tests {
    use crate::diagnostic::SourceFile;
    use crate::workflow::read;

    #[test]
    fn options_are_wrong_where_the_input_stands() {
        let text = "on:\n  workflow_dispatch:\n    inputs:\n      a:\n        type: choice\n        options: []\n      b:\n        \
                    type: string\n        options: [x]\n";
        let source = SourceFile::new("a.yml", text);
        let found = read(&source).diagnostics;
        let lines = found.iter().filter(|one| matches!(one.code, "missing-key" | "bad-input")).map(|one| {
            let at = source.position(one.span().start);
            (at.line, at.column)
        });
        assert_eq!(lines.skip(1).collect::<Vec<_>>(), [(5, 9), (8, 9)]);
    }
}
