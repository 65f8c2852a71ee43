//! GitHub's own cases for `hashFiles`, where they are at hand.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use serde_json::Value;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use tagline_actions::hash_files;

/// The hashes GitHub's toolkit gives; `false` where the cases are not there.
fn run(cases: &Path) -> bool {
    let Ok(text) = fs::read_to_string(cases) else {
        return false;
    };
    for line in text.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let (input, id) = (&case["input"], &case["id"]);
        let dir = tempfile::tempdir().unwrap();
        for (path, content) in input["files"].as_object().unwrap() {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content.as_str().unwrap()).unwrap();
        }
        for (path, target) in input["symlinks"].as_object().unwrap() {
            symlink(target.as_str().unwrap(), dir.path().join(path)).unwrap();
        }
        let follow = input["follow-symbolic-links"] == true;
        let option = follow.then_some("--follow-symbolic-links");
        let patterns = input["patterns"].as_array().unwrap();
        let arguments: Vec<&str> = option.into_iter().chain(patterns.iter().filter_map(Value::as_str)).collect();
        let hash = hash_files(dir.path(), &arguments).unwrap();
        assert_eq!(Value::from(hash), case["expected"]["value"], "{id}");
    }
    true
}

#[test]
fn hash_files_agrees_with_github() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    if !run(&root.join("../shared/conformance/toolkit-hashfiles.jsonl")) {
        println!("skipped: ../shared/conformance is not there");
    }
}
