//! Finds the components of a tree: a cataloger for each kind of manifest, a pure function of its text.
//!
//! What cannot be read is reported beside the components, never passed over in silence.

mod cargo;
mod dpkg;
mod go;
mod npm;
mod pnpm;
mod python;
mod yarn;

use crate::tree::{FileTree, TreeError};
use std::collections::{BTreeMap, BTreeSet};

/// One package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Component {
    /// Its package URL: identifies it among all others.
    pub purl: String,
    /// Its group: an npm scope; empty for most.
    pub group: String,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Digests of what was published, as (algorithm as CycloneDX names it, lower-case hex).
    pub hashes: BTreeSet<(&'static str, String)>,
    /// The files it was found in, relative to the root.
    pub found_in: BTreeSet<String>,
}

impl Component {
    fn new(purl: String, name: &str, version: &str) -> Self {
        Self {
            purl,
            group: String::new(),
            name: name.to_owned(),
            version: version.to_owned(),
            hashes: BTreeSet::new(),
            found_in: BTreeSet::new(),
        }
    }

    fn hash(mut self, algorithm: &'static str, hex: &str) -> Self {
        self.hashes.insert((algorithm, hex.to_owned()));
        self
    }
}

/// A manifest or folder that could not be read, or not wholly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The manifest or folder, relative to the root.
    pub path: String,
    /// What is wrong with it.
    pub why: String,
}

/// What a tree holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Catalog {
    /// Every component once, sorted by package URL.
    pub components: Vec<Component>,
    /// What could not be read; the components are then incomplete.
    pub problems: Vec<Problem>,
}

/// What a cataloger makes of one manifest: components and remarks, or why it cannot be read.
type Found = Result<(Vec<Component>, Vec<String>), String>;

/// What catalogers may know besides their manifest's text.
struct Surroundings<'a> {
    /// `NAME-VERSION` of the distribution, and its name, from `os-release`.
    distribution: Option<(String, String)>,
    /// Text of another file in the same folder.
    neighbour: &'a dyn Fn(&str) -> Option<String>,
}

type Cataloger = fn(&str, &Surroundings<'_>) -> Found;

/// The cataloger for a path, if it is a manifest.
fn cataloger(path: &str) -> Option<Cataloger> {
    if path == "var/lib/dpkg/status"
        || (path.starts_with("var/lib/dpkg/status.d/")
            && !path.rsplit('/').next().is_some_and(|name| name.contains(".md5sums")))
    {
        return Some(dpkg::catalog);
    }
    match path.rsplit('/').next()? {
        "Cargo.lock" => Some(cargo::catalog),
        "package-lock.json" | "npm-shrinkwrap.json" | ".package-lock.json" => Some(npm::catalog),
        "pnpm-lock.yaml" => Some(pnpm::catalog),
        "yarn.lock" => Some(yarn::catalog),
        "go.mod" => Some(go::catalog),
        "requirements.txt" => Some(python::requirements),
        "poetry.lock" | "uv.lock" => Some(python::lock),
        _ => None,
    }
}

/// Whether [`catalog`] wants to read the file at this path.
pub fn is_wanted(path: &str) -> bool {
    cataloger(path).is_some() || path.rsplit('/').next() == Some("go.sum") || OS_RELEASE.contains(&path)
}

const OS_RELEASE: &[&str] = &["etc/os-release", "usr/lib/os-release"];

/// Catalogs a tree.
pub fn catalog(tree: &dyn FileTree) -> Result<Catalog, TreeError> {
    let mut problems = Vec::new();
    let files = tree.files(&mut problems)?;
    let read = |path: &str| -> Result<String, String> {
        let bytes = tree.read(path).map_err(|error| error.source.to_string())?;
        String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())
    };
    let distribution =
        OS_RELEASE.iter().filter(|path| files.contains(**path)).find_map(|path| distribution(&read(path).ok()?));
    let mut components: BTreeMap<String, Component> = BTreeMap::new();
    for path in &files {
        let Some(cataloger) = cataloger(path).filter(|_| !is_covered(path, &files)) else {
            continue;
        };
        let folder = path.rsplit_once('/').map(|(folder, _)| folder);
        let surroundings = Surroundings {
            distribution: distribution.clone(),
            neighbour: &|name| {
                let beside = folder.map_or(name.to_owned(), |folder| format!("{folder}/{name}"));
                files.contains(&beside).then(|| read(&beside).ok())?
            },
        };
        let (found, remarks) = match read(path).and_then(|text| cataloger(&text, &surroundings)) {
            Ok(found) => found,
            Err(why) => (Vec::new(), vec![why]),
        };
        problems.extend(remarks.into_iter().map(|why| Problem { path: path.clone(), why }));
        for mut component in found {
            component.found_in.insert(path.clone());
            merge(&mut components, component);
        }
    }
    Ok(Catalog { components: components.into_values().collect(), problems })
}

/// npm's record in `node_modules` says nothing new where the project has a lock file.
fn is_covered(path: &str, files: &BTreeSet<String>) -> bool {
    let Some(project) = path.strip_suffix("node_modules/.package-lock.json") else {
        return false;
    };
    ["package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml"]
        .iter()
        .any(|lock| files.contains(&format!("{project}{lock}")))
}

fn merge(components: &mut BTreeMap<String, Component>, found: Component) {
    match components.get_mut(&found.purl) {
        None => {
            components.insert(found.purl.clone(), found);
        }
        Some(known) => {
            known.hashes.extend(found.hashes);
            known.found_in.extend(found.found_in);
        }
    }
}

/// Reads `ID` and `VERSION_ID`.
fn distribution(os_release: &str) -> Option<(String, String)> {
    let value = |key: &str| {
        os_release.lines().find_map(|line| {
            let (name, value) = line.trim().split_once('=')?;
            (name == key).then(|| value.trim_matches(['"', '\'']).to_owned())
        })
    };
    let id = value("ID")?;
    let full = value("VERSION_ID").map_or(id.clone(), |version| format!("{id}-{version}"));
    Some((id, full))
}

/// The hash of a subresource integrity value such as `sha512-BASE64`, as hex.
fn integrity(value: &str) -> Option<(&'static str, String)> {
    use base64::Engine;
    let (algorithm, base64) = value.split_whitespace().next()?.split_once('-')?;
    let algorithm = match algorithm {
        "sha512" => "SHA-512",
        "sha384" => "SHA-384",
        "sha256" => "SHA-256",
        "sha1" => "SHA-1",
        _ => return None,
    };
    let bytes = base64::engine::general_purpose::STANDARD.decode(base64).ok()?;
    Some((algorithm, hex::encode(bytes)))
}

/// A component of npm's world, by its name with an optional scope.
fn npm_component(full_name: &str, version: &str) -> Component {
    let (group, name) = match full_name.split_once('/') {
        Some((scope, name)) if scope.starts_with('@') => (scope, name),
        _ => ("", full_name),
    };
    let purl = crate::purl::purl("npm", group, name, version, &[]);
    Component { group: group.to_owned(), ..Component::new(purl, name, version) }
}
