//! `reviewers` of an environment: who may vote, and whether enough of them exist.

use std::collections::BTreeMap;

use indexmap::IndexMap;

use super::Reviewers;
use crate::diagnostic::{Diagnostic, Span};
use crate::expression::nearest;
use crate::read::{Entry, MAX_CANDIDATES, Reader};
use crate::tree::{Kind, Node, Typed};

pub(super) fn reviewers(
    reader: &mut Reader<'_>,
    node: Node<'_>,
    teams: &IndexMap<String, Vec<String>>,
) -> Option<Reviewers> {
    let mut fields = reader.fields(node, "`reviewers`")?;
    let any_of = fields.require(reader, "any-of");
    let any_of = any_of.map(|node| voters(reader, node, teams)).unwrap_or_default();
    let required = fields.take("required");
    let required_at = required.unwrap_or(node).span();
    let required = required.and_then(|node| count(reader, node)).unwrap_or(1);
    let from = fields.take("from").map(|node| from(reader, node, teams)).unwrap_or_default();
    let prevent = fields.take("prevent-self-review").and_then(|node| reader.boolean(node)).unwrap_or(true);
    fields.finish(reader);
    let people = people(&any_of, teams);
    if !any_of.is_empty() && people.len() < required as usize {
        let message = format!("{required} approvals are required, and {} can approve", count_people(people.len()));
        reader.error("quorum-out-of-reach", required_at, message);
    }
    for (team, (needed, span)) in &from {
        let available = teams[team].iter().filter(|person| people.contains(person)).count();
        if available < *needed as usize {
            let message = format!(
                "{needed} approvals from `{team}` are required, and {} of it can approve",
                count_people(available)
            );
            reader.error("quorum-out-of-reach", *span, message);
        } else if *needed > required {
            let message = format!("{needed} approvals from `{team}` are required, and {required} in all");
            reader.error("quorum-out-of-reach", *span, message);
        }
    }
    let from = from.into_iter().map(|(team, (needed, _))| (team, needed)).collect();
    Some(Reviewers { any_of, required, from, prevent_self_review: prevent })
}

fn count_people(number: usize) -> String {
    if number == 1 { "1 person".to_owned() } else { format!("{number} people") }
}

/// Teams by their names, people by their addresses in lower case.
fn voters(reader: &mut Reader<'_>, node: Node<'_>, teams: &IndexMap<String, Vec<String>>) -> Vec<String> {
    let mut voters = Vec::new();
    let items = list(reader, node);
    if items.is_empty() {
        reader.error("empty-value", node.span(), "at least one team or person must be named");
    }
    for item in items {
        let Some(name) = reader.literal(item) else { continue };
        let voter = if teams.contains_key(&name) {
            name
        } else if is_person(&name) {
            name.to_lowercase()
        } else {
            unknown_team(reader, item, &name, teams);
            continue;
        };
        if !voters.contains(&voter) {
            voters.push(voter);
        }
    }
    voters
}

fn unknown_team(reader: &mut Reader<'_>, node: Node<'_>, name: &str, teams: &IndexMap<String, Vec<String>>) {
    let guess = nearest(name, teams.keys().map(String::as_str).take(MAX_CANDIDATES));
    let message = format!("there is no team `{name}`, and it is no person's address");
    reader.report(Diagnostic::error("unknown-team", node.span(), message).suggest(node.span(), guess));
}

/// Everybody that teams and addresses stand for.
fn people<'t>(any_of: &'t [String], teams: &'t IndexMap<String, Vec<String>>) -> Vec<&'t String> {
    let mut people: Vec<&String> = Vec::new();
    for voter in any_of {
        match teams.get(voter) {
            Some(members) => people.extend(members),
            None => people.push(voter),
        }
    }
    people.sort();
    people.dedup();
    people
}

fn from(
    reader: &mut Reader<'_>,
    node: Node<'_>,
    teams: &IndexMap<String, Vec<String>>,
) -> BTreeMap<String, (u32, Span)> {
    let Some(fields) = reader.fields(node, "`from`") else { return BTreeMap::new() };
    let mut from = BTreeMap::new();
    for Entry { key, node, value } in fields.rest() {
        if !teams.contains_key(&key) {
            unknown_team(reader, node, &key, teams);
        } else if let Some(number) = count(reader, value) {
            from.insert(key, (number, value.span()));
        }
    }
    from
}

/// A whole number from 1.
fn count(reader: &mut Reader<'_>, node: Node<'_>) -> Option<u32> {
    const MAX: f64 = 1000.0;
    match node.scalar().map(|scalar| scalar.typed) {
        Some(Typed::Number(number)) if number.fract() == 0.0 && (1.0..=MAX).contains(&number) =>
        {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole, from 1 to 1,000")]
            Some(number as u32)
        }
        _ => {
            reader.wrong_type(node, "a whole number from 1");
            None
        }
    }
}

/// Whether a name is a person: an e-mail address.
pub(super) fn is_person(name: &str) -> bool {
    name.split_once('@').is_some_and(|(user, host)| !user.is_empty() && !host.is_empty() && !host.contains('@'))
        && !name.contains(char::is_whitespace)
}

/// The items of a list, or one word as a list of one.
pub(super) fn list<'t>(reader: &mut Reader<'_>, node: Node<'t>) -> Vec<Node<'t>> {
    match node.kind() {
        Kind::Sequence => node.items().collect(),
        Kind::Scalar(_) => vec![node],
        _ => {
            reader.wrong_type(node, "a list");
            Vec::new()
        }
    }
}
