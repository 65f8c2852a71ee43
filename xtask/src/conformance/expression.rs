//! Kinds `expr`, `interp` and `if`: one `tagline eval` each; cases for the type checker are linted in a workflow.

use anyhow::Result;
use serde_json::{Value, json};

use super::Verdict::{self, Fail, Pass, Skip};
use super::case::Case;
use super::engine::{Engine, Said};

/// What a case wants of an evaluation.
enum Want<'a> {
    Value(&'a Value),
    /// Any value.
    Success,
    Error,
}

/// `expr`.
pub(super) fn value(engine: &Engine, case: &Case) -> Result<Verdict> {
    let want = wanted(case);
    if case.expected.get("checks").is_none() && case.availability.get("availContexts").is_some() {
        return Ok(Skip("no key of a workflow has just the contexts of the case"));
    }
    // Where it only matters that it parses, contexts that are null must not decide.
    if case.expected.get("checks").is_some() || matches!(want, Want::Success) {
        return type_check(engine, case);
    }
    let said = eval(engine, case, &[])?;
    Ok(compare(&want, &said))
}

/// `interp`.
pub(super) fn template(engine: &Engine, case: &Case) -> Result<Verdict> {
    let said = eval(engine, case, &["--template"])?;
    Ok(compare(&wanted(case), &said))
}

/// `if`.
pub(super) fn condition(engine: &Engine, case: &Case) -> Result<Verdict> {
    let said = eval(engine, case, &["--if"])?;
    Ok(compare(&wanted(case), &said))
}

fn eval(engine: &Engine, case: &Case, flags: &[&str]) -> Result<Said> {
    let folder = engine.folder()?;
    let contexts = folder.beside("contexts.json", &serde_json::to_string(&case.context)?)?;
    let mut args = vec!["eval", "--context", &contexts];
    args.extend(flags);
    args.extend(["--", case.text()?]);
    engine.run(&folder, &args)
}

/// GitHub's verdict, else the source's. GitHub's bare evaluator has no status functions (it answers `special`), and
/// where its own test data says that an implementation is left out (`ts-skips`), that data holds.
fn wanted(case: &Case) -> Want<'_> {
    let official = &case.official;
    let told = match official.get("error").and_then(Value::as_str) {
        Some("eval") if unset(official) => None,
        Some(_) => Some(Want::Error),
        None => official.get("value").map(Want::Value),
    };
    let expected = &case.expected;
    let own = if expected.get("error").is_some() || expected["parses"] == false {
        Want::Error
    } else {
        expected.get("value").map_or(Want::Success, Want::Value)
    };
    // Cases of a parser's own tests are about what it reads; GitHub's two parsers differ in quotes.
    let about_text = case.tagged("syntax-only") && expected.get("value").is_some() && official.get("value").is_some();
    if case.tagged("ts-skips") || about_text { own } else { told.unwrap_or(own) }
}

/// The official evaluator fell over something it was not given: a status function or a context.
fn unset(official: &Value) -> bool {
    let message = official["message"].as_str().unwrap_or_default();
    message == "special" || message.starts_with("Cannot read properties of undefined")
}

fn compare(want: &Want<'_>, said: &Said) -> Verdict {
    match (want, said.code) {
        (Want::Error, 1 | 2) | (Want::Success, 0) => Pass,
        (Want::Error, _) => Fail(format!("an error was expected, got {}", said.brief())),
        (Want::Success, _) => Fail(format!("no error was expected, got {}", said.brief())),
        (Want::Value(value), 0) => match serde_json::from_str::<Value>(&said.stdout) {
            Ok(found) if equal(value, &found) => Pass,
            _ => Fail(format!("expected {value}, got {}", said.stdout.trim())),
        },
        (Want::Value(value), _) => Fail(format!("expected {value}, got {}", said.brief())),
    }
}

/// Equal as values of the language: one kind of number, objects without order.
fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left.as_f64() == right.as_f64(),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| equal(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(key, value)| right.get(key).is_some_and(|other| equal(value, other)))
        }
        _ => left == right,
    }
}

/// Lints the expression in a step of a workflow that has the contexts the source's test had.
fn type_check(engine: &Engine, case: &Case) -> Result<Verdict> {
    let folder = engine.folder()?;
    let file = ".github/workflows/case.yml";
    // JSON is YAML: no quoting of ours to get wrong.
    folder.write(file, &serde_json::to_string_pretty(&workflow(case)?)?)?;
    let said = engine.run(&folder, &["lint", file, "--format", "json"])?;
    let Some(clean) = case.expected["checks"].as_bool() else {
        let brief = || Fail(format!("no error was expected, got {}", said.brief()));
        return Ok(if said.code == 0 { Pass } else { brief() });
    };
    let failing = case.official.get("error").is_some() && !unset(&case.official);
    let evaluates = case.official.get("value").is_some();
    Ok(match complains(&said) {
        // What GitHub itself cannot evaluate is a mistake, whatever a third party says.
        found if failing && found => Pass,
        found if !failing && found != clean => Pass,
        // GitHub evaluates what the third party calls a mistake: it may be told, but not as an error.
        _ if evaluates && !clean && said.code == 0 => Pass,
        _ => Fail(format!("{} expected, got {}", if clean { "no finding was" } else { "a finding was" }, said.brief())),
    })
}

/// Whether lint has anything to say of types and names. GitHub accepts such files, so a warning will do; what becomes
/// shell text and what is not carried out yet are other matters.
fn complains(said: &Said) -> bool {
    let found: Vec<Value> = serde_json::from_str(&said.stdout).unwrap_or_default();
    let other = ["untrusted-in-run", "not-carried-out"];
    said.code != 0 || found.iter().any(|one| one["code"].as_str().is_none_or(|code| !other.contains(&code)))
}

fn workflow(case: &Case) -> Result<Value> {
    let expression = format!("${{{{ {} }}}}", case.text()?);
    let status = ["always(", "success(", "failure(", "cancelled("];
    let messages = case.expected["messages"].to_string();
    let mut step = json!({ "run": format!("echo {expression}") });
    let mut concurrency = "one".to_owned();
    if messages.contains("no context is available") {
        step = json!({ "id": expression, "run": "true" });
    } else if messages.contains("not allowed here") || messages.contains("is not available here") {
        concurrency = expression;
    } else if status.iter().any(|function| expression.contains(function)) {
        step = json!({ "if": expression, "run": "true" });
    }
    let known = case.availability.get("typed").is_some();
    let bar = if known { json!({ "id": "bar", "run": "true" }) } else { json!({ "run": "true" }) };
    Ok(json!({
        "on": "push",
        "concurrency": concurrency,
        "jobs": {
            "foo": {
                "runs-on": "ubuntu-latest",
                "outputs": { "out1": "one", "out2": "two" },
                "steps": [{ "run": "true" }],
            },
            "test": {
                "runs-on": "ubuntu-latest",
                "needs": "foo",
                "strategy": { "matrix": { "foo": [null] } },
                "steps": [bar, step],
            },
        },
    }))
}
