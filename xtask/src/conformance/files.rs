//! Kinds `parse-ok`, `parse-err`, `action-ok`, `action-err`: one `tagline lint` each.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use serde_json::Value;

use super::Verdict::{self, Fail, Pass, Refused, Skip};
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
    if failing && case.files.contains_key("actionlint.yaml") {
        return Ok(Skip("it is about settings of the source's own program"));
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
    if said.code == 1 && case.officially_refused() {
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
    let diagnostics: Vec<Value> = match serde_json::from_str(&said.stdout) {
        Ok(list) => list,
        Err(error) => return Fail(format!("lint printed no JSON: {error}")),
    };
    let errors = diagnostics.iter().filter(|found| found["severity"] == "error");
    let found: BTreeSet<Place> = errors.flat_map(places_of).collect();
    let missing: Vec<Place> = wanted(case).difference(&found).copied().collect();
    if said.code == 1 && missing.is_empty() {
        return Pass;
    }
    if names_others(case) {
        return Refused("what an action or workflow of the repository declares is not looked at yet");
    }
    if said.code == 1 {
        Fail(format!("errors at {found:?}, none at {missing:?}"))
    } else {
        Fail(format!("errors were expected, got {}", said.brief()))
    }
}

/// Whether one file of the case uses another, so that only both together show what is wrong.
fn names_others(case: &Case) -> bool {
    let own = case.input.as_str().into_iter();
    let texts: Vec<&str> = case.files.values().filter_map(Value::as_str).chain(own).collect();
    let named = |file: &String| texts.iter().any(|text| text.contains(&format!("uses: {file}")));
    texts.iter().any(|text| text.contains("uses: ./") && !case.files.is_empty()) || case.files.keys().any(named)
}

/// Where an error says it is: its place, and the further places it names.
fn places_of(error: &Value) -> Vec<Place> {
    let further = error["related"].as_array().into_iter().flatten();
    std::iter::once(error).chain(further).filter_map(|at| place(at, "column")).collect()
}

fn place(error: &Value, column: &str) -> Option<Place> {
    Some((error["line"].as_u64()?, error[column].as_u64()?))
}

/// GitHub's places; where it has none, those of the source.
fn wanted(case: &Case) -> BTreeSet<Place> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let official: BTreeSet<Place> = list(&case.official["errors"])
        .iter()
        .filter(|error| !is_lost(error))
        .filter_map(|error| place(error, "col"))
        .collect();
    if !official.is_empty() {
        return official;
    }
    let told = list(&case.expected["diagnostics"]);
    let mut places: BTreeSet<Place> =
        told.iter().filter_map(|error| place(error, "col")).filter(|(line, _)| *line > 0).collect();
    places.extend(list(&case.expected["errors"]).iter().filter_map(|text| in_words(text.as_str()?)));
    places
}

/// Whether an error is of a parser that fell over the file as a whole: its place, 2:2, is nowhere.
fn is_lost(error: &Value) -> bool {
    let message = error["message"].as_str().unwrap_or_default();
    place(error, "col") == Some((2, 2))
        && ["Expected a scalar value, a sequence", "Unexpected value type"]
            .iter()
            .any(|start| message.starts_with(start))
}

/// The place in `… (Line: 6, Col: 14): …`.
fn in_words(text: &str) -> Option<Place> {
    let (line, rest) = text.split_once("(Line: ")?.1.split_once(", Col: ")?;
    Some((line.parse().ok()?, rest.split_once(')')?.0.parse().ok()?))
}
