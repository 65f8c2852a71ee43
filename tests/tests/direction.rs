//! Dependencies point one way: `syntax ← plan ← run ← store ← server ← cli`, `protocol ← agent`, `protocol ← executor`,
//! and the pure crates pull in nothing that touches the world.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// Each crate of the workspace and the crates of the workspace it may use. A new edge is a decision: it is made here.
const ALLOWED: [(&str, &[&str]); 15] = [
    ("syntax", &[]),
    ("plan", &["syntax"]),
    ("run", &["syntax", "plan"]),
    ("store", &["syntax", "plan", "run"]),
    ("evidence", &[]),
    // What an artifact is stands in its bytes: the actions' code looks, on both sides.
    ("server", &["syntax", "plan", "run", "store", "evidence", "protocol", "executor", "actions", "delivery"]),
    ("cli", &["syntax", "plan", "run", "store", "evidence", "server", "protocol", "executor", "actions", "delivery"]),
    ("protocol", &[]),
    ("agent", &["protocol", "syntax", "actions"]),
    // Image layers are unpacked by the one extractor, which the actions have.
    ("executor", &["protocol", "actions"]),
    ("actions", &["protocol", "evidence"]),
    // The table of inputs is the actions'.
    ("delivery", &["actions"]),
    ("tests", &[]),
    ("rows", &["tests"]),
    ("xtask", &[]),
];

/// No clock, file, network or async: whatever these crates pull in, it is none of the world's.
const PURE: [&str; 3] = ["syntax", "plan", "run"];
const WORLD: [&str; 14] = [
    "tokio",
    "mio",
    "async-std",
    "rusqlite",
    "libsqlite3-sys",
    "git2",
    "libgit2-sys",
    "bollard",
    "hyper",
    "reqwest",
    "rustix",
    "nix",
    "kube",
    "socket2",
];

/// The agent is small and static: threads and poll, no runtime.
const AGENT_LACKS: [&str; 5] = ["tokio", "rusqlite", "git2", "bollard", "kube"];

/// `cargo metadata`: package ids with their names, and what each needs to be built (not to be tested).
struct Graph {
    names: BTreeMap<String, String>,
    needs: BTreeMap<String, BTreeSet<String>>,
    members: BTreeSet<String>,
}

impl Graph {
    fn read() -> Self {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut metadata = Command::new(cargo);
        metadata.args(["metadata", "--format-version", "1"]).current_dir(tagline_tests::workspace());
        let out = metadata.output().expect("cargo runs");
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        let told: Value = serde_json::from_slice(&out.stdout).expect("metadata is JSON");
        let text = |value: &Value| value.as_str().expect("an id or a name").to_owned();
        let list = |value: &Value| value.as_array().expect("a list").clone();
        let names =
            list(&told["packages"]).iter().map(|package| (text(&package["id"]), text(&package["name"]))).collect();
        let members = list(&told["workspace_members"]).iter().map(text).collect();
        let needed = |dep: &Value| list(&dep["dep_kinds"]).iter().any(|kind| kind["kind"] != "dev");
        let mut needs = BTreeMap::new();
        for node in list(&told["resolve"]["nodes"]) {
            let deps = list(&node["deps"]);
            let deps = deps.iter().filter(|dep| needed(dep)).map(|dep| text(&dep["pkg"])).collect();
            needs.insert(text(&node["id"]), deps);
        }
        Self { names, needs, members }
    }

    /// The crate's name without the common prefix.
    fn short(&self, id: &str) -> &str {
        let name = &self.names[id];
        name.strip_prefix("tagline-").unwrap_or(name)
    }

    fn member(&self, short: &str) -> &str {
        let found = self.members.iter().find(|id| self.short(id) == short);
        found.unwrap_or_else(|| panic!("no crate `{short}` in the workspace"))
    }

    /// Names of everything that is built for the crate.
    fn closure(&self, short: &str) -> BTreeSet<&str> {
        let mut open = vec![self.member(short)];
        let mut seen = BTreeSet::new();
        while let Some(id) = open.pop() {
            if seen.insert(id) {
                open.extend(self.needs[id].iter().map(String::as_str));
            }
        }
        seen.into_iter().map(|id| self.names[id].as_str()).collect()
    }
}

#[test]
fn every_edge_between_crates_is_an_allowed_one() {
    let graph = Graph::read();
    let allowed: BTreeMap<_, _> = ALLOWED.into_iter().collect();
    for id in &graph.members {
        let short = graph.short(id);
        let may = allowed.get(short).unwrap_or_else(|| panic!("`{short}` is not in the table of this test"));
        for need in graph.needs[id].iter().filter(|need| graph.members.contains(*need)) {
            let need = graph.short(need);
            assert!(may.contains(&need), "`{short}` must not depend on `{need}`; it may on {may:?}");
        }
    }
}

#[test]
fn the_pure_crates_pull_in_nothing_of_the_world() {
    let graph = Graph::read();
    for short in PURE {
        let built = graph.closure(short);
        let bad: Vec<_> = WORLD.iter().filter(|name| built.contains(*name)).collect();
        assert!(bad.is_empty(), "`{short}` is pure, but {bad:?} would be built for it");
    }
}

#[test]
fn the_agent_has_no_runtime_and_no_store() {
    let graph = Graph::read();
    let built = graph.closure("agent");
    let bad: Vec<_> = AGENT_LACKS.iter().filter(|name| built.contains(*name)).collect();
    assert!(bad.is_empty(), "the agent is small and static, but {bad:?} would be built for it");
}
