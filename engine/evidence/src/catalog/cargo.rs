//! `Cargo.lock`.

use super::{Component, Found, Surroundings};
use crate::purl::purl;
use serde::Deserialize;

#[derive(Deserialize)]
struct Lock {
    #[serde(default)]
    package: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    source: Option<String>,
    checksum: Option<String>,
}

pub(super) fn catalog(text: &str, _: &Surroundings<'_>) -> Found {
    let lock: Lock = toml::from_str(text).map_err(|error| error.message().to_owned())?;
    let components = lock.package.iter().map(component).collect();
    Ok((components, Vec::new()))
}

fn component(package: &Package) -> Component {
    let vcs_url = package.source.as_deref().filter(|source| source.starts_with("git+")).unwrap_or_default();
    let url = purl("cargo", "", &package.name, &package.version, &[("vcs_url", vcs_url)]);
    let component = Component::new(url, &package.name, &package.version);
    match &package.checksum {
        Some(checksum) => component.hash("SHA-256", checksum),
        None => component,
    }
}
