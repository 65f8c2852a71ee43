//! `package-lock.json` in its three versions, and npm's record in `node_modules`.

use super::{Component, Found, Surroundings, integrity, npm_component};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Lock {
    lockfile_version: Option<u64>,
    /// Since version 2: by place in `node_modules`.
    packages: Option<BTreeMap<String, Package>>,
    /// Version 1: by name, nested.
    #[serde(default)]
    dependencies: BTreeMap<String, Dependency>,
}

#[derive(Deserialize)]
struct Package {
    name: Option<String>,
    version: Option<String>,
    integrity: Option<String>,
    #[serde(default)]
    link: bool,
}

#[derive(Deserialize)]
struct Dependency {
    version: Option<String>,
    integrity: Option<String>,
    #[serde(default)]
    dependencies: BTreeMap<String, Dependency>,
}

pub(super) fn catalog(text: &str, _: &Surroundings<'_>) -> Found {
    let lock: Lock = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if lock.lockfile_version.is_some_and(|version| version > 3) {
        return Err("its version is newer than 3".to_owned());
    }
    let mut components = Vec::new();
    match &lock.packages {
        Some(packages) => components.extend(packages.iter().filter_map(installed)),
        None => nested(&lock.dependencies, &mut components),
    }
    Ok((components, Vec::new()))
}

/// A package in `node_modules`; folders of the project itself are not installed ones.
fn installed((place, package): (&String, &Package)) -> Option<Component> {
    let (_, by_place) = place.rsplit_once("node_modules/")?;
    if package.link {
        return None;
    }
    let name = package.name.as_deref().unwrap_or(by_place);
    let version = package.version.as_deref().unwrap_or_default();
    Some(with_integrity(npm_component(name, version), package.integrity.as_deref()))
}

fn nested(dependencies: &BTreeMap<String, Dependency>, components: &mut Vec<Component>) {
    for (name, dependency) in dependencies {
        let version = dependency.version.as_deref().unwrap_or_default();
        // `npm:OTHER@VERSION` installs another package under this name.
        let alias = version.strip_prefix("npm:").and_then(|alias| alias.rsplit_once('@'));
        let (name, version) = alias.unwrap_or((name, version));
        if !version.starts_with("file:") {
            let component = npm_component(name, version);
            components.push(with_integrity(component, dependency.integrity.as_deref()));
        }
        nested(&dependency.dependencies, components);
    }
}

fn with_integrity(component: Component, value: Option<&str>) -> Component {
    match value.and_then(integrity) {
        Some((algorithm, hex)) => component.hash(algorithm, &hex),
        None => component,
    }
}
