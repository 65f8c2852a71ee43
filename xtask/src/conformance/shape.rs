//! The parsed shape of a workflow, as `tagline plan --json` shows it, beside the one GitHub's parser gives.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::Value;

use super::Verdict::{self, Fail, Pass};
use super::engine::{Engine, Folder};

/// What is compared of a job.
#[derive(Debug, PartialEq)]
struct Shape {
    needs: Vec<String>,
    condition: String,
    labels: Vec<String>,
    steps: Vec<(String, String)>,
}

/// Plans the linted file and compares its jobs with the template's. A valid file that is not carried out yet has no
/// plan; its shape is held by the tests of the syntax crate alone.
pub(super) fn compare(engine: &Engine, folder: &Folder, file: &str, template: &Value) -> Result<Verdict> {
    folder.commit()?;
    let said = engine.run(folder, &["plan", file, "--json"])?;
    let Ok(plan) = serde_json::from_str::<Value>(&said.stdout) else {
        let left_out = said.stderr.contains("error[not-carried-out]");
        return Ok(if left_out { Pass } else { Fail(format!("it has no plan: {}", said.brief())) });
    };
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let wanted: BTreeMap<String, Shape> =
        list(&template["jobs"]).iter().map(|job| (text(&job["id"]), official(job))).collect();
    let jobs = plan["jobs"].as_object().cloned().unwrap_or_default();
    let found: BTreeMap<String, Shape> = jobs.iter().map(|(id, planned)| (id.clone(), ours(&planned["job"]))).collect();
    if wanted == found {
        return Ok(Pass);
    }
    let differs = wanted.iter().find(|(id, shape)| found.get(*id) != Some(shape));
    Ok(Fail(match differs {
        Some((id, shape)) => format!("job `{id}` is {:?}, not {shape:?}", found.get(id)),
        None => format!("jobs {:?}, expected {:?}", found.keys(), wanted.keys()),
    }))
}

fn strings(value: &Value, one: impl Fn(&Value) -> String) -> Vec<String> {
    value.as_array().map(|list| list.iter().map(one).collect()).unwrap_or_default()
}

/// A literal or an expression of the official template: `"x"`, `{lit}`, `{expr}`.
fn text(value: &Value) -> String {
    let inner = value.get("lit").or_else(|| value.get("expr")).unwrap_or(value);
    inner.as_str().map_or_else(|| inner.to_string(), str::to_owned)
}

fn official(job: &Value) -> Shape {
    let runs_on = &job["runs-on"];
    let labels = match runs_on.get("seq") {
        Some(list) => strings(list, text),
        None if runs_on.is_null() => Vec::new(),
        None => vec![text(runs_on)],
    };
    let step = |step: &Value| (text(&step["id"]), bare(&text(&step["if"])));
    Shape {
        needs: strings(&job["needs"], text),
        condition: bare(&text(&job["if"])),
        labels,
        steps: job["steps"].as_array().map(|list| list.iter().map(step).collect()).unwrap_or_default(),
    }
}

fn ours(job: &Value) -> Shape {
    let condition = |value: &Value| bare(value["condition"]["text"].as_str().unwrap_or("success()"));
    let step = |step: &Value| (text(&step["id"]), condition(step));
    Shape {
        needs: strings(&job["needs"], text),
        condition: condition(job),
        labels: strings(&job["runs_on"]["labels"], |label| bare(label["text"].as_str().unwrap_or_default())),
        steps: job["steps"].as_array().map(|list| list.iter().map(step).collect()).unwrap_or_default(),
    }
}

/// A condition without what GitHub's parser adds (`success() && (…)`) and without its marks.
fn bare(condition: &str) -> String {
    let text = condition.trim();
    let text = text.strip_prefix("${{").and_then(|rest| rest.strip_suffix("}}")).map_or(text, str::trim);
    let inner = text.strip_prefix("success() && (").and_then(|rest| rest.strip_suffix(')'));
    match inner.unwrap_or(text) {
        "" => "success()".to_owned(),
        other => other.to_owned(),
    }
}
