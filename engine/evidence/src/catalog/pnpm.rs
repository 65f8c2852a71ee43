//! `pnpm-lock.yaml`, versions 5, 6 and 9.

use super::{Found, Surroundings, integrity, npm_component};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Lock {
    #[serde(default)]
    packages: Option<BTreeMap<String, Package>>,
}

#[derive(Deserialize)]
struct Package {
    name: Option<String>,
    version: Option<String>,
    #[serde(default)]
    resolution: Resolution,
}

#[derive(Deserialize, Default)]
struct Resolution {
    integrity: Option<String>,
}

pub(super) fn catalog(text: &str, _: &Surroundings<'_>) -> Found {
    let lock: Lock = serde_yaml::from_str(text).map_err(|error| error.to_string())?;
    let mut components = Vec::new();
    let mut remarks = Vec::new();
    for (key, package) in lock.packages.unwrap_or_default() {
        let by_key = split(&key);
        let name = package.name.as_deref().or(by_key.map(|(name, _)| name));
        let version = package.version.as_deref().or(by_key.map(|(_, version)| version));
        let (Some(name), Some(version)) = (name, version) else {
            remarks.push(format!("package `{key}` has no name or version"));
            continue;
        };
        let mut component = npm_component(name, version);
        component.hashes.extend(package.resolution.integrity.as_deref().and_then(integrity));
        components.push(component);
    }
    Ok((components, remarks))
}

/// `NAME@VERSION` (9), `/NAME@VERSION(PEERS)` (6), `/NAME/VERSION_PEERS` (5).
fn split(key: &str) -> Option<(&str, &str)> {
    let plain = key.trim_start_matches('/').split('(').next()?;
    let scope = if plain.starts_with('@') { plain.find('/')? + 1 } else { 0 };
    let name_end = plain[scope..].find('/').map_or(plain.len(), |at| scope + at);
    // A scope's own `@` separates no version.
    if let Some(at) = plain[scope..name_end].find('@') {
        return Some((&plain[..scope + at], &plain[scope + at + 1..]));
    }
    let version = plain.get(name_end + 1..).filter(|_| key.starts_with('/'))?;
    Some((&plain[..name_end], version.split('_').next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_all_versions() {
        assert_eq!(split("lodash@4.17.21"), Some(("lodash", "4.17.21")));
        assert_eq!(split("@babel/core@7.1.0"), Some(("@babel/core", "7.1.0")));
        assert_eq!(split("/@babel/core@7.1.0(x@1.0.0)"), Some(("@babel/core", "7.1.0")));
        assert_eq!(split("/@babel/core/7.1.0_x@1"), Some(("@babel/core", "7.1.0")));
        assert_eq!(split("@babel"), None);
        assert_eq!(split("a@https://x.example/a.tgz"), Some(("a", "https://x.example/a.tgz")));
        assert_eq!(split("/lodash/4.17.21_peer"), Some(("lodash", "4.17.21")));
        assert_eq!(split(""), None);
        assert_eq!(split("/"), None);
    }
}
