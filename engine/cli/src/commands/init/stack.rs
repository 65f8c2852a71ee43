//! What kind of project a folder holds, and the commands that test and build it.

use std::fs;
use std::path::Path;

/// The project.
pub(super) struct Stack {
    /// The kind, for people.
    kind: &'static str,
    /// The name of what is built: letters, digits, `.`, `_` and `-`.
    pub(super) name: String,
    /// Commands that test it.
    pub(super) test: Vec<String>,
    /// Commands that build it.
    pub(super) build: Vec<String>,
    /// The files that the build leaves.
    pub(super) path: String,
    /// The image its container file ends with.
    pub(super) base: Option<String>,
    /// There is a container file.
    docker: bool,
    /// One program comes out of the build.
    pub(super) program: bool,
}

impl Stack {
    /// Looks at a folder. The first of Cargo, npm and Go counts.
    pub(super) fn find(root: &Path) -> Self {
        let folder = root.canonicalize().ok().and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
        let folder = plain_name(folder.as_deref().unwrap_or_default());
        let read = |name: &str| fs::read_to_string(root.join(name)).ok();
        let found = if let Some(manifest) = read("Cargo.toml") {
            cargo(root, &manifest, &folder)
        } else if let Some(manifest) = read("package.json") {
            npm(root, &manifest, &folder)
        } else if let Some(manifest) = read("go.mod") {
            go(&manifest, &folder)
        } else {
            other(folder)
        };
        let container = read("Dockerfile");
        Self { docker: container.is_some(), base: container.as_deref().and_then(base), ..found }
    }

    /// `the Cargo.toml and Dockerfile found here`.
    pub(super) fn describe(&self) -> String {
        match (self.kind, self.docker) {
            ("", false) => "a project of no known kind".to_owned(),
            ("", true) => "the Dockerfile found here".to_owned(),
            (kind, false) => format!("the {kind} found here"),
            (kind, true) => format!("the {kind} and Dockerfile found here"),
        }
    }
}

fn lines(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|line| (*line).to_owned()).collect()
}

fn cargo(root: &Path, manifest: &str, folder: &str) -> Stack {
    let locked = if root.join("Cargo.lock").exists() { " --locked" } else { "" };
    let name =
        value_in_section(manifest, "[package]", "name").map_or_else(|| folder.to_owned(), |name| plain_name(&name));
    let program = root.join("src/main.rs").exists();
    let (build, path) = if program {
        (format!("cargo build --release{locked}"), format!("target/release/{name}"))
    } else {
        (format!("cargo package --workspace --no-verify{locked}"), "target/package/*.crate".to_owned())
    };
    let test = vec![format!("cargo test --workspace{locked}")];
    Stack { kind: "Cargo.toml", name, test, build: vec![build], path, program, ..other(String::new()) }
}

fn npm(root: &Path, manifest: &str, folder: &str) -> Stack {
    let name = serde_json::from_str::<serde_json::Value>(manifest).ok();
    let name = name.as_ref().and_then(|manifest| manifest["name"].as_str());
    let install = if root.join("package-lock.json").exists() { "npm ci" } else { "npm install" };
    Stack {
        kind: "package.json",
        name: plain_name(name.unwrap_or(folder)),
        test: lines(&[install, "npm test"]),
        build: lines(&[install, "npm run build --if-present", "mkdir -p dist", "npm pack --pack-destination dist"]),
        path: "dist/*.tgz".to_owned(),
        ..other(String::new())
    }
}

fn go(manifest: &str, folder: &str) -> Stack {
    let module = manifest.lines().find_map(|line| line.trim().strip_prefix("module ")).unwrap_or(folder);
    let is_version = |part: &&str| part.starts_with('v') && part[1..].bytes().all(|b| b.is_ascii_digit());
    let name = module.trim().rsplit('/').find(|part| !is_version(part)).unwrap_or(folder);
    Stack {
        kind: "go.mod",
        name: plain_name(name),
        test: lines(&["go vet ./...", "go test ./..."]),
        build: lines(&["mkdir -p dist", "CGO_ENABLED=0 go build -trimpath -o dist/ ./..."]),
        path: "dist/".to_owned(),
        ..other(String::new())
    }
}

fn other(name: String) -> Stack {
    Stack {
        kind: "",
        name,
        test: lines(&["echo 'put the commands that test it here'"]),
        build: lines(&["mkdir -p dist", "git archive --output dist/source.tar HEAD"]),
        path: "dist/".to_owned(),
        base: None,
        docker: false,
        program: false,
    }
}

/// The value of a key in a section of a TOML file, as far as a line tells it.
fn value_in_section(text: &str, section: &str, key: &str) -> Option<String> {
    let inside = text.lines().map(str::trim).skip_while(|line| *line != section).skip(1);
    let mut inside = inside.take_while(|line| !line.starts_with('['));
    let value = inside.find_map(|line| line.strip_prefix(key)?.trim_start().strip_prefix('='))?;
    Some(value.trim().trim_matches(['"', '\'']).to_owned())
}

/// The image of the last stage; none where it is built from nothing or named by an argument.
fn base(container: &str) -> Option<String> {
    let mut from = container
        .lines()
        .map(str::trim)
        .filter(|line| line.get(..5).is_some_and(|word| word.eq_ignore_ascii_case("from ")));
    let last = from.next_back()?[5..].split_whitespace().find(|word| !word.starts_with("--"))?;
    let known = last.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-/:@".contains(&b));
    (known && last != "scratch").then(|| last.to_owned())
}

/// What can stand in a file without quotes.
fn plain_name(text: &str) -> String {
    let text = text.rsplit('/').next().unwrap_or_default();
    let name: String = text.chars().filter(|c| c.is_ascii_alphanumeric() || "._-".contains(*c)).collect();
    let name = name.trim_matches(['.', '-']).to_owned();
    if name.is_empty() { "app".to_owned() } else { name }
}
