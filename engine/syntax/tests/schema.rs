//! `schemas/environments.schema.json` says the same as the reader: every key it lists is known, and it lists every key
//! the reader suggests for a misspelt one.
#![expect(clippy::disallowed_methods, reason = "the schema is a file of the repository")]
#![expect(clippy::unwrap_used, reason = "a test ends at the first thing that is not as it should be")]

use std::path::Path;

use serde_json::Value;
use tagline_syntax::diagnostic::SourceFile;
use tagline_syntax::environments;

fn schema() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas/environments.schema.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn keys(schema: &Value, pointer: &str) -> Vec<String> {
    schema.pointer(pointer).and_then(Value::as_object).unwrap().keys().cloned().collect()
}

/// The codes of a text's diagnostics, and what they say.
fn findings(text: &str) -> Vec<(String, String)> {
    let outcome = environments::read(&SourceFile::new("environments.yml", text));
    outcome.diagnostics.into_iter().map(|d| (d.code.to_owned(), format!("{} {:?}", d.message, d.help))).collect()
}

/// Where a key may stand, as a text around it.
const PLACES: [(&str, &str); 4] = [
    ("/properties", "KEY: VALUE\n"),
    ("/$defs/environment/properties", "environments: {production: {KEY: VALUE}}\n"),
    ("/$defs/reviewers/properties", "environments: {production: {reviewers: {any-of: [a@b.example], KEY: VALUE}}}\n"),
    ("/$defs/cluster/properties", "environments: {production: {cluster: {KEY: VALUE}}}\n"),
];

#[test]
fn every_key_of_the_schema_is_known_to_the_reader() {
    let schema = schema();
    for (pointer, around) in PLACES {
        for key in keys(&schema, pointer) {
            let text =
                around.replace("any-of: [a@b.example], ", if key == "any-of" { "" } else { "any-of: [a@b.example], " });
            let found = findings(&text.replace("KEY", &key).replace("VALUE", "null"));
            let unknown = found.iter().any(|(code, _)| code == "unknown-key" || code == "not-enforced-yet");
            assert!(!unknown, "{key} at {pointer}: {found:?}");
        }
    }
}

#[test]
fn a_key_that_is_not_in_the_schema_is_refused() {
    for (pointer, around) in PLACES {
        for key in ["strange", "wait", "windows", "requires"] {
            assert!(!keys(&schema(), pointer).contains(&key.to_owned()));
            let found = findings(&around.replace("KEY", key).replace("VALUE", "x"));
            let refused = found.iter().any(|(code, _)| code == "unknown-key" || code == "not-enforced-yet");
            assert!(refused, "{key} at {pointer}: {found:?}");
        }
    }
}

#[test]
fn the_schema_lists_what_the_reader_suggests() {
    let schema = schema();
    for (pointer, around) in PLACES {
        let listed = keys(&schema, pointer);
        for key in &listed {
            // One letter more, and the reader names the key it knows.
            let found = findings(&around.replace("KEY", &format!("{key}x")).replace("VALUE", "null"));
            let suggested =
                found.iter().any(|(code, text)| code == "unknown-key" && text.contains(&format!("`{key}`")));
            assert!(suggested, "{key} at {pointer}: {found:?}");
        }
    }
}
