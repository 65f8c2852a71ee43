//! Diagnostics as SARIF 2.1.0, the format code-scanning services read.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Diagnostic, Severity, SourceFile, json::entry};

/// Where the format is described.
const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

/// One log with one run over all files. `rules` gives a code its one-line description.
pub fn log(files: &[(SourceFile, Vec<Diagnostic>)], rules: &dyn Fn(&str) -> Option<String>) -> Value {
    let mut used = BTreeMap::new();
    let mut results = Vec::new();
    for (file, diagnostics) in files {
        for diagnostic in diagnostics {
            used.entry(diagnostic.code).or_insert_with(|| rules(diagnostic.code));
            results.push(result(file, diagnostic));
        }
    }
    let rules: Vec<Value> = used
        .into_iter()
        .map(|(code, text)| json!({ "id": code, "shortDescription": { "text": text.unwrap_or_else(|| code.replace('-', " ")) } }))
        .collect();
    let driver = json!({ "name": "tagline", "version": env!("CARGO_PKG_VERSION"), "rules": rules });
    let run = json!({ "tool": { "driver": driver }, "columnKind": "unicodeCodePoints", "results": results });
    json!({ "$schema": SCHEMA, "version": "2.1.0", "runs": [run] })
}

fn result(file: &SourceFile, diagnostic: &Diagnostic) -> Value {
    let place = entry(file, diagnostic);
    let level = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let text = match &diagnostic.help {
        Some(help) => format!("{}. {help}", diagnostic.message),
        None => diagnostic.message.clone(),
    };
    let region = json!({
        "startLine": place.line, "startColumn": place.column, "endLine": place.end_line, "endColumn": place.end_column,
    });
    let location = json!({ "physicalLocation": { "artifactLocation": { "uri": place.file }, "region": region } });
    json!({ "ruleId": diagnostic.code, "level": level, "message": { "text": text }, "locations": [location] })
}

#[cfg(test)]
mod tests {
    use super::super::Span;
    use super::*;

    #[test]
    fn a_log_names_each_rule_once_and_each_place() {
        let file = SourceFile::new("a.yml", "on: x\n");
        let found = vec![
            Diagnostic::error("unknown-event", Span::new(4, 5), "no such event").help("use `push`"),
            Diagnostic::error("unknown-event", Span::new(4, 5), "again"),
        ];
        let log = log(&[(file, found)], &|_| None);
        let run = &log["runs"][0];
        assert_eq!(run["tool"]["driver"]["rules"].as_array().unwrap().len(), 1);
        assert_eq!(run["results"][0]["message"]["text"], "no such event. use `push`");
        assert_eq!(run["results"][1]["locations"][0]["physicalLocation"]["region"]["startColumn"], 5);
    }
}
