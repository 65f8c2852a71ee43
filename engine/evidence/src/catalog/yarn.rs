//! `yarn.lock`: the format of Yarn 1, and the YAML of later ones.

use super::{Component, Found, Surroundings, integrity, npm_component};
use serde::Deserialize;
use std::collections::BTreeMap;

pub(super) fn catalog(text: &str, _: &Surroundings<'_>) -> Found {
    if text.contains("\n__metadata:") || text.starts_with("__metadata:") {
        return berry(text);
    }
    classic(text)
}

/// Blocks: a line of `NAME@RANGE, NAME@RANGE:`, then indented `version "V"`, `integrity I` and others.
#[expect(clippy::unnecessary_wraps, reason = "all catalogers have one shape")]
fn classic(text: &str) -> Found {
    let mut components: Vec<Component> = Vec::new();
    let mut remarks = Vec::new();
    let mut name: Option<&str> = None;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if !line.starts_with(' ') {
            name = line.strip_suffix(':').and_then(|keys| {
                let first = keys.split(", ").next()?.trim_matches('"');
                package_name(first)
            });
            if name.is_none() && !line.trim().is_empty() {
                remarks.push(format!("line `{line}` is not understood"));
            }
        } else if !line.starts_with("   ") {
            let (key, value) = line.trim().split_once(' ').unwrap_or_default();
            let value = value.trim_matches('"');
            match (key, name) {
                ("version", Some(name)) => components.push(npm_component(name, value)),
                ("integrity", Some(_)) => {
                    if let Some(last) = components.last_mut() {
                        last.hashes.extend(integrity(value));
                    }
                }
                _ => {}
            }
        }
    }
    Ok((components, remarks))
}

#[derive(Deserialize)]
struct Package {
    version: Option<serde_yaml::Value>,
    resolution: Option<String>,
}

fn berry(text: &str) -> Found {
    let lock: BTreeMap<String, Package> = serde_yaml::from_str(text).map_err(|error| error.to_string())?;
    let mut components = Vec::new();
    for package in lock.values() {
        // `NAME@npm:VERSION` is what was resolved; `workspace:` ones are the project itself.
        let Some((name, source)) =
            package.resolution.as_deref().and_then(|resolution| Some((package_name(resolution)?, resolution)))
        else {
            continue;
        };
        let version = package.version.as_ref().and_then(serde_yaml::Value::as_str);
        if !source.contains("@workspace:") {
            components.push(npm_component(name, version.unwrap_or_default()));
        }
    }
    Ok((components, Vec::new()))
}

/// The name in `NAME@RANGE`, where a name may begin with `@`; with `NAME@npm:OTHER@RANGE` it is `OTHER`.
fn package_name(key: &str) -> Option<&str> {
    let at = key.get(1..)?.find('@')? + 1;
    let (name, range) = (&key[..at], &key[at + 1..]);
    match range.strip_prefix("npm:").and_then(package_name) {
        Some(other) => Some(other),
        None => Some(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_scopes_and_aliases() {
        assert_eq!(package_name("@babel/core@^7.0.0"), Some("@babel/core"));
        assert_eq!(package_name("string-width-cjs@npm:string-width@^4.2.0"), Some("string-width"));
        assert_eq!(package_name("lodash@npm:4.17.21"), Some("lodash"));
        assert_eq!(package_name("lodash"), None);
    }
}
