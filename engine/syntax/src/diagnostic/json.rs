//! Diagnostics as `lint --format json` prints them.

use serde::Serialize;

use super::{Diagnostic, Label, SourceFile};

/// One diagnostic, flat. Lines and columns start at 1 and count characters; the end is exclusive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// The file's name.
    pub file: String,
    /// First line.
    pub line: u32,
    /// First column.
    pub column: u32,
    /// Line of the end.
    pub end_line: u32,
    /// Column one past the last character.
    pub end_column: u32,
    /// `error` or `warning`.
    pub severity: &'static str,
    /// The diagnostic's code.
    pub code: &'static str,
    /// What is so.
    pub message: String,
    /// Further places of the same finding; not there when it has only one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub related: Vec<Related>,
}

/// A further place of a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Related {
    /// Its line.
    pub line: u32,
    /// Its column.
    pub column: u32,
    /// What is there.
    pub message: String,
}

/// The diagnostic as one entry of the array.
pub fn entry(file: &SourceFile, diagnostic: &Diagnostic) -> Entry {
    let start = file.position(diagnostic.span().start);
    let end = file.position(diagnostic.span().end);
    Entry {
        file: file.name().to_owned(),
        line: start.line,
        column: start.column,
        end_line: end.line,
        end_column: end.column,
        severity: diagnostic.severity.name(),
        code: diagnostic.code,
        message: diagnostic.message.clone(),
        related: diagnostic.labels[1..].iter().map(|label| related(file, label)).collect(),
    }
}

fn related(file: &SourceFile, label: &Label) -> Related {
    let start = file.position(label.span.start);
    Related { line: start.line, column: start.column, message: label.text.clone() }
}

#[cfg(test)]
mod tests {
    use super::super::Span;
    use super::*;

    #[test]
    fn the_shape_is_the_documented_one() {
        let file = SourceFile::new("a.yml", "on: pussh\n");
        let diagnostic = Diagnostic::error("unknown-event", Span::new(4, 9), "`pussh` is not an event");
        let value = serde_json::to_value(entry(&file, &diagnostic)).unwrap();
        let expected = serde_json::json!({
            "file": "a.yml", "line": 1, "column": 5, "endLine": 1, "endColumn": 10,
            "severity": "error", "code": "unknown-event", "message": "`pussh` is not an event",
        });
        assert_eq!(value, expected);
    }

    #[test]
    fn further_places_of_one_finding_are_listed() {
        let file = SourceFile::new("a.yml", "on: push\njobs: {}\n");
        let diagnostic =
            Diagnostic::error("cycle", Span::new(0, 2), "a cycle").label(Span::new(9, 13), "by way of this");
        let value = serde_json::to_value(entry(&file, &diagnostic)).unwrap();
        assert_eq!(value["related"], serde_json::json!([{"line": 2, "column": 1, "message": "by way of this"}]));
    }
}
