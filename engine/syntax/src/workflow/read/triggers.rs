//! `on`: a word, a list of words, or a mapping of events to their configuration.

use indexmap::IndexMap;

use super::events::{EVENTS, EventKind, OTHERS};
use super::inputs;
use crate::cron::Cron;
use crate::diagnostic::Diagnostic;
use crate::expression::nearest;
use crate::filter::{Pattern, PatternList, Subject};
use crate::read::{Entry, Fields, Reader, coerce};
use crate::tree::{Kind, Node};
use crate::workflow::{Event, Triggers};

pub(super) fn read(reader: &mut Reader<'_>, node: Node<'_>) -> Triggers {
    let mut events = IndexMap::new();
    match node.kind() {
        Kind::Scalar(_) => name(reader, node, &mut events),
        Kind::Sequence => node.items().for_each(|item| name(reader, item, &mut events)),
        _ => {
            let Some(fields) = reader.fields(node, "`on`") else { return Triggers::default() };
            for Entry { key, node, value } in fields.rest() {
                if let Some(event) = event(reader, &key, node, value) {
                    events.insert(key, event);
                }
            }
        }
    }
    Triggers { events }
}

/// An event that is only named.
fn name(reader: &mut Reader<'_>, node: Node<'_>, events: &mut IndexMap<String, Event>) {
    let Some(name) = reader.literal(node) else { return };
    if known(&name) {
        events.insert(name, Event::default());
    } else {
        unknown(reader, node, &name);
    }
}

fn known(name: &str) -> bool {
    OTHERS.contains(&name) || EVENTS.iter().any(|event| event.name == name)
}

fn unknown(reader: &mut Reader<'_>, node: Node<'_>, name: &str) {
    let names = EVENTS.iter().map(|event| event.name).chain(OTHERS.iter().copied());
    let guess = nearest(name, names);
    let report = Diagnostic::error("unknown-event", node.span(), format!("there is no event `{name}`"));
    reader.report(report.suggest(node.span(), guess));
}

fn event(reader: &mut Reader<'_>, name: &str, key: Node<'_>, value: Node<'_>) -> Option<Event> {
    match name {
        "schedule" => return Some(schedule(reader, value)),
        "workflow_dispatch" => return Some(inputs::dispatch(reader, value)),
        "workflow_call" => return Some(inputs::call(reader, value)),
        _ => {}
    }
    let Some(kind) = EVENTS.iter().find(|event| event.name == name) else {
        unknown(reader, key, name);
        return None;
    };
    if value.is_null() {
        return Some(Event::default());
    }
    if kind.types.is_empty() && kind.keys.is_empty() {
        reader.wrong_type(value, "nothing: this event has no configuration");
        return Some(Event::default());
    }
    let mut fields = reader.fields(value, "this event")?;
    let event = configuration(reader, &mut fields, kind);
    fields.finish(reader);
    Some(event)
}

fn configuration(reader: &mut Reader<'_>, fields: &mut Fields<'_>, kind: &EventKind) -> Event {
    let mut event = Event { types: types(reader, fields, kind), ..Event::default() };
    for &key in kind.keys {
        let Some(node) = fields.take(key) else { continue };
        if key == "types" {
            event.types = reader.list(node, None).into_iter().map(|text| text.text).collect();
            continue;
        }
        let words: Vec<String> = reader.words(node, None).into_iter().map(|text| text.text).collect();
        check_patterns(reader, node, key, &words);
        match key {
            "branches" => event.branches = Some(words),
            "branches-ignore" => event.branches_ignore = Some(words),
            "tags" => event.tags = Some(words),
            "tags-ignore" => event.tags_ignore = Some(words),
            "paths" => event.paths = Some(words),
            "paths-ignore" => event.paths_ignore = Some(words),
            "workflows" => event.workflows = words,
            _ => reader.beyond(node.span(), format!("the filter `{key}` of `{}`", kind.name)),
        }
    }
    event
}

/// Refuses patterns that are none, and lists that could match nothing.
fn check_patterns(reader: &mut Reader<'_>, node: Node<'_>, key: &str, words: &[String]) {
    let subject = match key {
        "branches" | "branches-ignore" | "tags" | "tags-ignore" => Subject::Ref,
        "paths" | "paths-ignore" => Subject::Path,
        _ => return,
    };
    let one = matches!(node.kind(), Kind::Scalar(_)).then_some(node);
    let mut sound = true;
    for item in node.items().chain(one) {
        let Some(scalar) = item.scalar() else { continue };
        if let Err(error) = Pattern::parse(&coerce(scalar), subject) {
            reader.error("bad-filter", item.span(), error.to_string());
            sound = false;
        }
    }
    // What is wrong with the list as a whole.
    if sound && !key.ends_with("-ignore") {
        for error in PatternList::parse(words, subject).err().into_iter().flatten() {
            reader.error("bad-filter", node.span(), error.to_string());
        }
    }
}

fn types(reader: &mut Reader<'_>, fields: &mut Fields<'_>, kind: &EventKind) -> Vec<String> {
    if kind.types.is_empty() {
        return Vec::new();
    }
    let Some(node) = fields.take("types") else { return Vec::new() };
    let mut one = |item| reader.choice(item, "a type of this event", kind.types).map(str::to_owned);
    if matches!(node.kind(), Kind::Sequence) {
        node.items().filter_map(one).collect()
    } else {
        one(node).into_iter().collect()
    }
}

fn schedule(reader: &mut Reader<'_>, node: Node<'_>) -> Event {
    if !matches!(node.kind(), Kind::Sequence) {
        reader.wrong_type(node, "a list of `cron` entries");
    }
    let cron = node.items().filter_map(|item| cron(reader, item)).collect();
    Event { cron, ..Event::default() }
}

fn cron(reader: &mut Reader<'_>, node: Node<'_>) -> Option<String> {
    let mut fields = reader.fields(node, "an entry of `schedule`")?;
    let cron = fields.require(reader, "cron").and_then(|node| {
        let text = reader.literal(node)?;
        Cron::parse(&text).map_err(|error| reader.error("bad-cron", node.span(), error.to_string())).ok()?;
        Some(text)
    });
    if let Some(node) = fields.take("timezone") {
        reader.literal(node);
        reader.beyond(node.span(), "`timezone` of a schedule");
    }
    fields.finish(reader);
    cron
}
