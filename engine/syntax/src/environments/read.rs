//! From a file to an [`EnvironmentsFile`], with everything that is wrong in it.
//!
//! A key that is not enforced is an error: a rule that protects nothing is worse than none.

use std::collections::HashSet;

use indexmap::IndexMap;

use super::cluster::cluster;
use super::reviewers::{is_person, list, reviewers};
use super::{Environment, EnvironmentsFile, duration};
use crate::diagnostic::{Diagnostic, SourceFile, Span, tidy};
use crate::expression::nearest;
use crate::read::{Entry, Fields, MAX_CANDIDATES, Reader};
use crate::tag::VersionRange;
use crate::tree::{self, Node};

/// Silence for three days is a no.
const DEFAULT_EXPIRES: u64 = 72 * 60 * 60;

/// Keys that are planned and do nothing yet.
const NOT_ENFORCED: &[&str] = &["requires", "wait", "windows", "freezes", "checklist"];

/// What reading an environments file gives.
#[derive(Debug)]
pub struct Outcome {
    /// The environments; nothing where a diagnostic is an error.
    pub file: Option<EnvironmentsFile>,
    /// What is wrong, in the order of the file.
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads an environments file, with all its errors at once.
pub fn read(source: &SourceFile) -> Outcome {
    let (tree, found) = tree::parse(source);
    let mut reader = Reader::new(source, found);
    let file = tree.as_ref().and_then(|tree| root(&mut reader, tree.root()));
    let mut diagnostics = reader.into_found();
    tidy(&mut diagnostics);
    let sound = !diagnostics.iter().any(Diagnostic::is_error);
    Outcome { file: file.filter(|_| sound), diagnostics }
}

/// `after` by environment, with its place: checked once every environment is known.
type Links = IndexMap<String, (String, Span)>;

fn root(reader: &mut Reader<'_>, node: Node<'_>) -> Option<EnvironmentsFile> {
    let mut fields = reader.fields(node, "an environments file")?;
    let teams = fields.take("teams").map(|node| teams(reader, node)).unwrap_or_default();
    let variables = fields.take("variables").map(|node| variables(reader, node)).unwrap_or_default();
    let mut links = Links::default();
    let mut environments = IndexMap::new();
    let node = fields.take("environments").filter(|node| !node.is_null());
    let entries = node.and_then(|node| reader.fields(node, "`environments`")).map(Fields::rest);
    for Entry { key, node, value } in entries.unwrap_or_default() {
        reader.name(node, &key);
        let environment = environment(reader, &key, value, &teams, &mut links);
        environments.insert(key, environment);
    }
    finish(reader, fields);
    check_after(reader, &mut environments, &links);
    Some(EnvironmentsFile { teams, variables, environments })
}

fn teams(reader: &mut Reader<'_>, node: Node<'_>) -> IndexMap<String, Vec<String>> {
    let Some(fields) = reader.fields(node, "`teams`") else { return IndexMap::new() };
    let mut teams = IndexMap::new();
    for Entry { key, node, value } in fields.rest() {
        reader.name(node, &key);
        if key.contains('@') {
            reader.error("bad-team", node.span(), format!("`{key}` is a person's address, not the name of a team"));
        }
        let mut members = Vec::new();
        for item in list(reader, value) {
            let Some(name) = reader.literal(item) else { continue };
            let person = name.to_lowercase();
            if !is_person(&person) {
                let message = format!("`{name}` is no e-mail address");
                let help = "a person is known by the `user.email` of their Git configuration";
                reader.report(Diagnostic::error("bad-person", item.span(), message).help(help));
            } else if !members.contains(&person) {
                members.push(person);
            }
        }
        teams.insert(key, members);
    }
    teams
}

fn environment(
    reader: &mut Reader<'_>,
    name: &str,
    node: Node<'_>,
    teams: &IndexMap<String, Vec<String>>,
    links: &mut Links,
) -> Environment {
    let mut environment = Environment { expires_seconds: DEFAULT_EXPIRES, ..Environment::default() };
    if node.is_null() {
        return environment;
    }
    let Some(mut fields) = reader.fields(node, "an environment") else { return environment };
    environment.url = fields.take("url").and_then(|node| reader.literal(node));
    environment.tags = fields.take("tags").and_then(|node| range(reader, node));
    let after = fields.take("after").and_then(|node| Some((reader.literal(node)?, node.span())));
    links.extend(after.map(|after| (name.to_owned(), after)));
    environment.reviewers = fields.take("reviewers").and_then(|node| reviewers(reader, node, teams));
    if let Some(seconds) = fields.take("expires").and_then(|node| expires(reader, node)) {
        environment.expires_seconds = seconds;
    }
    environment.variables = fields.take("variables").map(|node| variables(reader, node)).unwrap_or_default();
    environment.required_variables =
        fields.take("required-variables").map(|node| names(reader, node)).unwrap_or_default();
    environment.secrets = fields.take("secrets").map(|node| names(reader, node)).unwrap_or_default();
    environment.cluster = fields.take("cluster").and_then(|node| cluster(reader, node));
    finish(reader, fields);
    environment
}

/// Reports what is not enforced by name, and everything else as unknown.
fn finish(reader: &mut Reader<'_>, mut fields: Fields<'_>) {
    for key in NOT_ENFORCED {
        if !fields.has(key) {
            continue;
        }
        if let Some(entry) = fields.entry(key) {
            let message = format!("`{key}` is not enforced yet, so it may not stand here");
            let help = "leave the key away: a rule that is written and not kept would deceive its readers";
            reader.report(Diagnostic::error("not-enforced-yet", entry.node.span(), message).help(help));
        }
    }
    fields.finish(reader);
}

fn range(reader: &mut Reader<'_>, node: Node<'_>) -> Option<String> {
    let text = reader.literal(node)?;
    match VersionRange::parse(&text) {
        Ok(_) => Some(text),
        Err(error) => {
            reader.error("bad-range", node.span(), error.to_string());
            None
        }
    }
}

fn expires(reader: &mut Reader<'_>, node: Node<'_>) -> Option<u64> {
    let text = reader.literal(node)?;
    duration::parse(&text)
        .map_err(|why| {
            let report = Diagnostic::error("bad-duration", node.span(), why);
            reader.report(report.help("write a number and s, m, h or d: `72h`"));
        })
        .ok()
}

fn variables(reader: &mut Reader<'_>, node: Node<'_>) -> IndexMap<String, String> {
    let Some(fields) = reader.fields(node, "`variables`") else { return IndexMap::new() };
    let mut variables = IndexMap::new();
    for Entry { key, node, value } in fields.rest() {
        check_name(reader, node, &key);
        if let Some(text) = reader.text(value, None) {
            variables.insert(key, text.text);
        }
    }
    variables
}

fn names(reader: &mut Reader<'_>, node: Node<'_>) -> Vec<String> {
    let mut names = Vec::new();
    for item in list(reader, node) {
        let Some(name) = reader.literal(item) else { continue };
        check_name(reader, item, &name);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// GitHub's rule for names of variables and secrets.
fn check_name(reader: &mut Reader<'_>, node: Node<'_>, name: &str) {
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    let sound = first && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !sound {
        let message = format!("`{name}` is no name: letters, digits and `_`, a digit not first");
        reader.error("bad-name", node.span(), message);
    } else if name.to_ascii_uppercase().starts_with("GITHUB_") {
        reader.error("bad-name", node.span(), format!("`{name}` begins with `GITHUB_`, which is GitHub's own"));
    }
}

/// Puts each `after` into its environment; reports unknown ones and cycles.
fn check_after(reader: &mut Reader<'_>, environments: &mut IndexMap<String, Environment>, after: &Links) {
    for (name, (before, span)) in after {
        if environments.contains_key(before) {
            environments[name].after = Some(before.clone());
        } else {
            let others = environments.keys().map(String::as_str).filter(|other| *other != name);
            let guess = nearest(before, others.take(MAX_CANDIDATES));
            let report = Diagnostic::error("unknown-environment", *span, format!("there is no environment `{before}`"));
            reader.report(report.suggest(*span, guess));
        }
    }
    // Environments whose way back was walked before: a cycle is told once, by the first of the file that is in it.
    let mut done: HashSet<&str> = HashSet::new();
    for name in after.keys() {
        let mut path: IndexMap<&str, Span> = IndexMap::new();
        let mut at = name.as_str();
        while let Some((next, span)) = after.get(at).filter(|_| !done.contains(at)) {
            path.insert(at, *span);
            if let Some(start) = path.get_index_of(next.as_str()) {
                let names: Vec<&str> = path.keys().skip(start).copied().chain([next.as_str()]).collect();
                let message = format!("the environments come after each other: {}", names.join(" → "));
                reader.error("cycle", path[start], message);
                break;
            }
            at = next;
        }
        done.extend(path.keys());
    }
}
