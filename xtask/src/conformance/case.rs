//! Reading the cases.

use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::{Map, Value};

/// One record.
#[derive(Deserialize)]
pub(super) struct Case {
    /// Unique.
    pub(super) id: String,
    /// Decides how it is run.
    pub(super) kind: String,
    /// An expression, a file's text, or an object.
    pub(super) input: Value,
    /// Contexts of an expression.
    #[serde(default)]
    pub(super) context: Map<String, Value>,
    /// What the source's own test expects.
    pub(super) expected: Value,
    /// What GitHub's published parser and evaluator say.
    #[serde(default)]
    pub(super) official: Value,
    #[serde(default)]
    tags: Vec<String>,
    /// The file's name in its source.
    pub(super) filename: Option<String>,
    /// Further files, by path.
    #[serde(default)]
    pub(super) files: Map<String, Value>,
    /// Files the case needs; only their names are known.
    #[serde(default)]
    pub(super) local_files: Vec<String>,
    /// Settings of the host in the source's test.
    #[serde(default)]
    pub(super) options: Map<String, Value>,
    /// `github.event` of a run.
    pub(super) event_payload: Option<Value>,
    /// Which contexts the source's test made known.
    #[serde(default)]
    pub(super) availability: Value,
    /// Flags of the source's own command.
    #[serde(default)]
    pub(super) client_args: String,
}

impl Case {
    /// The name of the suite it comes from.
    pub(super) fn source(&self) -> &str {
        self.id.split('/').next().unwrap_or_default()
    }

    /// Whether GitHub's parser refuses the file.
    pub(super) fn officially_refused(&self) -> bool {
        self.official["accepts"] == false
    }

    /// The input as text.
    pub(super) fn text(&self) -> Result<&str> {
        self.input.as_str().context("the input is not a text")
    }

    /// Whether it has a tag.
    pub(super) fn tagged(&self, tag: &str) -> bool {
        self.tags.iter().any(|own| own == tag)
    }
}

/// Every case of every file, in the files' order.
pub(super) fn read(folder: &Path) -> Result<Vec<Case>> {
    let mut files: Vec<_> = std::fs::read_dir(folder)?.collect::<std::io::Result<_>>()?;
    files.sort_by_key(std::fs::DirEntry::path);
    let mut cases = Vec::new();
    for file in
        files.iter().map(std::fs::DirEntry::path).filter(|file| file.extension().is_some_and(|it| it == "jsonl"))
    {
        for (number, line) in std::fs::read_to_string(&file)?.lines().enumerate() {
            let case = serde_json::from_str(line);
            cases.push(case.with_context(|| format!("{}:{}", file.display(), number + 1))?);
        }
    }
    Ok(cases)
}
