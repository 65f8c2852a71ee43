//! Workflow and action files of other systems' test suites: what GitHub accepts is accepted, what it refuses is refused
//! at the same place. Scored; skipped, with a line that says so, where the cases are not beside the repository.

#![expect(clippy::disallowed_methods, reason = "a test that reads its cases")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tagline_syntax::diagnostic::{Diagnostic, SourceFile};
use tagline_syntax::expression::convert_if;
use tagline_syntax::{lint, workflow};

/// Cases of each kind that pass; a change that passes fewer is a step back.
const FLOOR: &[(&str, usize)] = &[("action-err", 1), ("action-ok", 17), ("parse-err", 114), ("parse-ok", 386)];

struct Case {
    kind: String,
    id: String,
    value: Value,
}

#[expect(clippy::print_stdout, reason = "says why nothing was tested")]
fn cases() -> Option<Vec<Case>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance");
    let Ok(entries) = std::fs::read_dir(&folder) else {
        println!("skipped: no conformance cases at {}", folder.display());
        return None;
    };
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    files.sort();
    let mut cases = Vec::new();
    let texts: Vec<String> = files.iter().map(|path| std::fs::read_to_string(path).expect("a file of cases")).collect();
    for line in texts.iter().flat_map(|text| text.lines()) {
        let value: Value = serde_json::from_str(line).expect("one case a line");
        let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
        let (kind, id) = (text("kind"), text("id"));
        if matches!(kind.as_str(), "parse-ok" | "parse-err" | "action-ok" | "action-err") {
            cases.push(Case { kind, id, value });
        }
    }
    Some(cases)
}

/// The file to read; of a case with several, the first workflow.
fn text(case: &Value) -> Option<&str> {
    case["input"].as_str().or_else(|| case["files"][case["input"]["workflows"][0].as_str()?].as_str())
}

/// Why a case fails.
fn check(case: &Case) -> Result<(), String> {
    let name = if case.kind.starts_with("action") { "action.yml" } else { "workflow.yml" };
    let source = SourceFile::new(name, text(&case.value).ok_or("no text")?);
    let diagnostics = lint::run(&source, &lint::Options::default());
    let workflow = workflow::read(&source).workflow.filter(|_| case.kind == "parse-ok");
    let errors: Vec<&Diagnostic> = diagnostics.iter().filter(|one| one.is_error()).collect();
    let told = errors
        .iter()
        .map(|one| {
            let at = source.position(one.span().start);
            format!("{}:{} {} {}", at.line, at.column, one.code, one.message)
        })
        .collect::<Vec<_>>()
        .join("\n      ");
    // Where a suite expects what GitHub's parser refuses, GitHub is right.
    let refused = case.value["official"]["accepts"] == Value::Bool(false);
    if case.kind == "parse-ok" && refused && !errors.is_empty() {
        return Ok(());
    }
    if case.kind.ends_with("-ok") {
        if !errors.is_empty() {
            return Err(format!("refused:\n      {told}"));
        }
        return workflow.map_or(Ok(()), |workflow| shape(&workflow, &case.value["expected"]["template"]));
    }
    if errors.is_empty() {
        return Err("accepted".to_owned());
    }
    let places = places(&case.value);
    let agrees = errors.iter().any(|one| {
        let at = source.position(one.span().start);
        places.contains(&(u64::from(at.line), u64::from(at.column)))
    });
    if places.is_empty() || agrees { Ok(()) } else { Err(format!("elsewhere than {places:?}:\n      {told}")) }
}

/// Where GitHub's parser, or else the suite, sees errors.
fn places(case: &Value) -> Vec<(u64, u64)> {
    let lists = [&case["official"]["errors"], &case["expected"]["diagnostics"]];
    let entries = lists.into_iter().filter_map(Value::as_array).flatten();
    let mut places: Vec<(u64, u64)> =
        entries.filter_map(|entry| Some((entry["line"].as_u64()?, entry["col"].as_u64()?))).collect();
    // The runner's own form: `FILE (Line: 6, Col: 14): message`.
    for text in case["expected"]["errors"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        let number = |after: &str| -> Option<u64> {
            let rest = &text[text.find(after)? + after.len()..];
            rest[..rest.find(|letter: char| !letter.is_ascii_digit())?].parse().ok()
        };
        places.extend(number("Line: ").zip(number("Col: ")));
    }
    places
}

/// A text of a template, alone or with its place.
fn literal(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| value["lit"].as_str())
}

/// Compares ids, needs, labels and step ids where the case has them.
fn shape(workflow: &workflow::Workflow, template: &Value) -> Result<(), String> {
    for (number, expected) in template["jobs"].as_array().into_iter().flatten().enumerate() {
        let first = workflow.jobs.get_index(number).map(|(id, _)| id.as_str());
        let id = literal(&expected["id"]).or(first).unwrap_or_default();
        let job = workflow.jobs.get(id).ok_or_else(|| format!("no job `{id}`"))?;
        if let Some(needs) = expected["needs"].as_array() {
            let needs: Vec<&str> = needs.iter().filter_map(literal).collect();
            if job.needs != needs {
                return Err(format!("`{id}` needs {:?}, not {needs:?}", job.needs));
            }
        }
        condition(id, job.condition.as_ref(), &expected["if"])?;
        let label = job.runs_on.as_ref().and_then(|runs_on| Some(runs_on.labels.first()?.text.as_str()));
        match (literal(&expected["runs-on"]), label) {
            (Some(expected), Some(label)) if expected != label => {
                return Err(format!("`{id}` runs on {label}, not {expected}"));
            }
            _ => {}
        }
        // Steps that wait for others are no part of the model.
        let carried_out = |step: &&Value| ["wait", "wait-all", "cancel"].iter().all(|key| step.get(key).is_none());
        let steps: Vec<&Value> = expected["steps"].as_array().into_iter().flatten().filter(carried_out).collect();
        let expected: Vec<&str> = steps.iter().filter_map(|step| step["id"].as_str()).collect();
        let ids: Vec<&str> = job.steps.iter().map(|step| step.id.as_str()).collect();
        if ids != expected {
            return Err(format!("`{id}` has the steps {ids:?}, not {expected:?}"));
        }
        for (step, expected) in job.steps.iter().zip(steps) {
            condition(&step.id, step.condition.as_ref(), &expected["if"])?;
        }
    }
    Ok(())
}

/// Compares a condition with the expression GitHub makes of it, `success() && (…)` included.
fn condition(id: &str, text: Option<&workflow::Text>, expected: &Value) -> Result<(), String> {
    let Some(expected) = expected["expr"].as_str() else { return Ok(()) };
    let text = text.map_or("", |text| text.text.trim());
    let written = text.strip_prefix("${{").and_then(|text| text.strip_suffix("}}")).unwrap_or(text).trim();
    let converted = convert_if(text).map_err(|error| error.to_string())?;
    let found = match (written, converted.implicit_success) {
        ("", _) => "success()".to_owned(),
        (written, true) => format!("success() && ({written})"),
        (written, false) => written.to_owned(),
    };
    if found == expected { Ok(()) } else { Err(format!("`{id}` has the condition {found}, not {expected}")) }
}

#[test]
fn files_of_other_systems() {
    let Some(cases) = cases() else { return };
    let mut score: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for case in &cases {
        let entry = score.entry(&case.kind).or_default();
        entry.1 += 1;
        match check(case) {
            Ok(()) => entry.0 += 1,
            Err(why) => println!("FAILED {} {}\n    {why}", case.kind, case.id),
        }
    }
    for (kind, (passed, all)) in &score {
        println!("{kind}: {passed} of {all}");
    }
    for (kind, floor) in FLOOR {
        let passed = score.get(kind).map_or(0, |score| score.0);
        assert!(passed >= *floor, "{kind}: {passed} pass, fewer than the {floor} that did");
    }
}
