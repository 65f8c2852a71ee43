//! `go.mod`, with the digests of the `go.sum` beside it. What `go.sum` lists beyond it was looked at to
//! choose versions and is not part of the build.

use super::{Component, Found, Surroundings};
use crate::purl::purl;
use base64::Engine;
use std::collections::BTreeMap;

#[expect(clippy::unnecessary_wraps, reason = "all catalogers have one shape")]
pub(super) fn catalog(text: &str, around: &Surroundings<'_>) -> Found {
    let sums = (around.neighbour)("go.sum").unwrap_or_default();
    let mut required: BTreeMap<&str, &str> = BTreeMap::new();
    let mut replaced: Vec<(&str, Option<&str>, &str, Option<&str>)> = Vec::new();
    for (directive, words) in lines(text) {
        match (directive, words.as_slice()) {
            ("require", [path, version]) => {
                required.insert(path, version);
            }
            ("replace", [from, "=>", to @ ..]) => {
                replaced.push((from, None, to.first().copied().unwrap_or_default(), to.get(1).copied()));
            }
            ("replace", [from, version, "=>", to @ ..]) => {
                let target = to.first().copied().unwrap_or_default();
                replaced.push((from, Some(version), target, to.get(1).copied()));
            }
            _ => {}
        }
    }
    let mut components = Vec::new();
    for (path, version) in required {
        let replacement = replaced.iter().find(|(from, at, ..)| *from == path && at.is_none_or(|at| at == version));
        match replacement {
            // A folder: part of the source, without a version of its own.
            Some((_, _, _, None)) => {}
            Some((_, _, to, Some(at))) => components.push(component(to, at, &sums)),
            None => components.push(component(path, version, &sums)),
        }
    }
    Ok((components, Vec::new()))
}

/// The words of each line with the directive they stand under, comments removed.
fn lines(text: &str) -> impl Iterator<Item = (&str, Vec<&str>)> {
    let mut block = None;
    text.lines().filter_map(move |line| {
        let line = line.split("//").next().unwrap_or_default().trim();
        let mut words: Vec<&str> = line.split_whitespace().map(|word| word.trim_matches(['"', '`'])).collect();
        match (block, words.as_slice()) {
            (_, []) => None,
            (Some(_), [")"]) => {
                block = None;
                None
            }
            (Some(directive), _) => Some((directive, words)),
            (None, [directive, "("]) => {
                block = Some(*directive);
                None
            }
            (None, _) => {
                let directive = words.remove(0);
                Some((directive, words))
            }
        }
    })
}

fn component(path: &str, version: &str, sums: &str) -> Component {
    let lower = path.to_lowercase();
    let (namespace, name) = lower.rsplit_once('/').unwrap_or(("", &lower));
    let component = Component::new(purl("golang", namespace, name, version, &[]), path, version);
    // `h1:` is a SHA-256 over the list of the module's files and their digests.
    let sum = sums.lines().find_map(|line| {
        let rest = line.strip_prefix(path)?.strip_prefix(' ')?;
        let base64 = rest.strip_prefix(version)?.strip_prefix(" h1:")?;
        base64::engine::general_purpose::STANDARD.decode(base64.trim()).ok()
    });
    match sum {
        Some(bytes) => component.hash("SHA-256", &hex::encode(bytes)),
        None => component,
    }
}
