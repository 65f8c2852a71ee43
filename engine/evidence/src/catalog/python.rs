//! `requirements.txt`, `poetry.lock` and `uv.lock`.

use super::{Component, Found, Surroundings};
use crate::purl::purl;
use serde::Deserialize;

/// Requirements pinned with `==`; a range is no version, so it is remarked on.
#[expect(clippy::unnecessary_wraps, reason = "all catalogers have one shape")]
pub(super) fn requirements(text: &str, _: &Surroundings<'_>) -> Found {
    let mut components = Vec::new();
    let mut remarks = Vec::new();
    let joined = text.replace("\\\r\n", " ").replace("\\\n", " ");
    for line in joined.lines() {
        let line = line.split(" #").next().unwrap_or_default().trim();
        if line.is_empty() || line.starts_with('#') || line.starts_with('-') {
            if line.starts_with("-r") || line.starts_with("--requirement") || line.starts_with("-e") {
                remarks.push(format!("`{line}` is not followed"));
            }
            continue;
        }
        match pinned(line) {
            Some((name, version)) => {
                let mut component = component(name, version);
                component.hashes.extend(hashes(line));
                components.push(component);
            }
            None => remarks.push(format!("`{line}` is not pinned to one version")),
        }
    }
    Ok((components, remarks))
}

/// `NAME[EXTRAS]==VERSION; MARKERS --hash=…` as name and version.
fn pinned(line: &str) -> Option<(&str, &str)> {
    let requirement = line.split(" --").next()?.split(';').next()?;
    let (name, version) = requirement.split_once("==")?;
    let name = name.split('[').next()?.trim();
    let version = version.trim_start_matches('=').trim();
    let plain = |one: char| one.is_ascii_alphanumeric() || ".-_+!".contains(one);
    let fits = !name.is_empty() && !version.is_empty() && version.chars().all(plain);
    (fits && name.chars().all(plain)).then_some((name, version))
}

fn hashes(line: &str) -> impl Iterator<Item = (&'static str, String)> {
    line.split("--hash=sha256:")
        .skip(1)
        .filter_map(|rest| Some(("SHA-256", rest.split_whitespace().next()?.to_owned())))
}

#[derive(Deserialize)]
struct Lock {
    #[serde(default)]
    package: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: Option<String>,
    /// In `uv.lock`: where it comes from.
    source: Option<toml::Table>,
}

pub(super) fn lock(text: &str, _: &Surroundings<'_>) -> Found {
    let lock: Lock = toml::from_str(text).map_err(|error| error.message().to_owned())?;
    let own = |package: &&Package| {
        let source = package.source.as_ref();
        source.is_some_and(|from| from.contains_key("virtual") || from.contains_key("editable"))
    };
    let components = lock
        .package
        .iter()
        .filter(|package| !own(package))
        .map(|package| component(&package.name, package.version.as_deref().unwrap_or_default()))
        .collect();
    Ok((components, Vec::new()))
}

fn component(name: &str, version: &str) -> Component {
    let normal = name.to_lowercase().replace('_', "-");
    Component::new(purl("pypi", "", &normal, version, &[]), name, version)
}
