//! Kinds `parse-ok`, `parse-err`, `action-ok`, `action-err`: one `tagline lint` each.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use serde_json::Value;

use super::Verdict::{self, Fail, Pass, Skip};
use super::case::Case;
use super::engine::{Engine, Folder, Said};
use super::shape;

/// A line and a column.
type Place = (u64, u64);

pub(super) fn judge(engine: &Engine, case: &Case) -> Result<Verdict> {
    let settings = ["permissions-policy", "max-file-size", "max-job-limit", "max-nested-reusable-workflows-depth"];
    let failing = case.kind.ends_with("-err");
    if failing && (case.tagged("host-config") || settings.iter().any(|key| case.options.contains_key(*key))) {
        return Ok(Skip("it needs a setting of GitHub's host"));
    }
    let folder = engine.folder()?;
    let files = lay_out(case, &folder)?;
    let mut args = vec!["lint", "--format", "json"];
    args.extend(files.iter().map(String::as_str));
    let said = engine.run(&folder, &args)?;
    if failing {
        return Ok(refused(case, &said));
    }
    // Two parsers of GitHub's disagree: either verdict is one of theirs.
    if said.code == 1 && case.official["accepts"] == false {
        return Ok(Pass);
    }
    if said.code != 0 {
        return Ok(Fail(format!("it is valid, got {}", said.stdout.trim())));
    }
    match case.expected.get("template") {
        Some(template) => shape::compare(engine, &folder, &files[0], template),
        None => Ok(Pass),
    }
}

/// Writes the case's files; those to lint.
fn lay_out(case: &Case, folder: &Folder) -> Result<Vec<String>> {
    for (name, text) in &case.files {
        folder.write(name, text.as_str().context("a file is a text")?)?;
    }
    if let Some(names) = case.input.get("workflows").and_then(Value::as_array) {
        return Ok(names.iter().filter_map(Value::as_str).map(str::to_owned).collect());
    }
    let name = match &case.filename {
        _ if case.kind.starts_with("action") => "action.yml".to_owned(),
        Some(name) if name.contains('/') => name.clone(),
        Some(name) => format!(".github/workflows/{name}"),
        None => ".github/workflows/case.yml".to_owned(),
    };
    folder.write(&name, case.text()?)?;
    Ok(vec![name])
}

/// Exit 1, and an error at every place GitHub names.
fn refused(case: &Case, said: &Said) -> Verdict {
    if said.code != 1 {
        return Fail(format!("errors were expected, got {}", said.brief()));
    }
    let diagnostics: Vec<Value> = match serde_json::from_str(&said.stdout) {
        Ok(list) => list,
        Err(error) => return Fail(format!("lint printed no JSON: {error}")),
    };
    let errors = diagnostics.iter().filter(|found| found["severity"] == "error");
    let found: BTreeSet<Place> = errors.filter_map(|error| place(error, "column")).collect();
    let missing: Vec<Place> = wanted(case).difference(&found).copied().collect();
    if missing.is_empty() { Pass } else { Fail(format!("errors at {found:?}, none at {missing:?}")) }
}

fn place(error: &Value, column: &str) -> Option<Place> {
    Some((error["line"].as_u64()?, error[column].as_u64()?))
}

/// GitHub's places; where it has none, those of the source.
fn wanted(case: &Case) -> BTreeSet<Place> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let official: BTreeSet<Place> =
        list(&case.official["errors"]).iter().filter_map(|error| place(error, "col")).collect();
    if !official.is_empty() {
        return official;
    }
    let told = list(&case.expected["diagnostics"]);
    let mut places: BTreeSet<Place> = told.iter().filter_map(|error| place(error, "col")).collect();
    places.extend(list(&case.expected["errors"]).iter().filter_map(|text| in_words(text.as_str()?)));
    places
}

/// The place in `… (Line: 6, Col: 14): …`.
fn in_words(text: &str) -> Option<Place> {
    let (line, rest) = text.split_once("(Line: ")?.1.split_once(", Col: ")?;
    Some((line.parse().ok()?, rest.split_once(')')?.0.parse().ok()?))
}
