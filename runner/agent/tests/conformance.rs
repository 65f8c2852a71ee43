//! Cases of GitHub's own runner, from a folder beside the project; skipped where it is missing.
#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test may panic and say why it skips"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;
use tagline_agent::env_file;
use tagline_agent::job::refusal;
use tagline_agent::output::command::{parse_v1, parse_v2};
use tagline_agent::output::mask::Masker;

fn cases(name: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance").join(name);
    let Ok(text) = fs::read_to_string(&path) else {
        eprintln!("skipped: no {}", path.display());
        return Vec::new();
    };
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|item| item.as_str().unwrap()).collect()
}

#[test]
fn env_files() {
    for case in cases("runner-envfile.jsonl") {
        let (input, expected) = (&case["input"], &case["expected"]);
        let text = format!("\u{feff}{}", input["text"].as_str().unwrap());
        let parsed = env_file::parse(&text);
        if expected.get("error").is_some() {
            assert!(parsed.is_err(), "{}", case["id"]);
            continue;
        }
        let checked = input["file"] == "GITHUB_ENV";
        let (refused, kept): (Vec<_>, Vec<_>) =
            parsed.unwrap().into_iter().partition(|(name, _)| checked && refusal(name).is_some());
        let values: BTreeMap<String, String> = kept.into_iter().collect();
        assert_eq!(serde_json::to_value(values).unwrap(), expected["values"], "{}", case["id"]);
        assert_eq!(refused.len() as u64, expected["errors_logged"].as_u64().unwrap(), "{}", case["id"]);
    }
}

#[test]
fn commands() {
    for case in cases("runner-commands.jsonl") {
        let (input, expected) = (&case["input"], &case["expected"]);
        let registered = texts(&input["registered"]);
        let line = input["line"].as_str().unwrap();
        let parsed = if input["syntax"] == "v1" { parse_v1(line, &registered) } else { parse_v2(line, &registered) };
        match (parsed, expected["command"].as_str()) {
            (None, None) => {}
            (Some(command), Some(name)) => {
                assert_eq!(command.name, name, "{}", case["id"]);
                assert_eq!(serde_json::to_value(command.properties).unwrap(), expected["properties"], "{}", case["id"]);
                assert_eq!(command.data, expected["data"], "{}", case["id"]);
            }
            (parsed, _) => panic!("{}: {parsed:?}", case["id"]),
        }
    }
}

#[test]
fn masks() {
    for case in cases("runner-mask.jsonl") {
        let mut masker = Masker::default();
        masker.add(texts(&case["input"]["secrets"]));
        let text = case["input"]["text"].as_str().unwrap();
        assert_eq!(masker.mask(text), case["expected"]["text"].as_str().unwrap(), "{}", case["id"]);
    }
}
