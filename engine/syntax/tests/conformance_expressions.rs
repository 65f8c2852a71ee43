//! Scores the expression cases of the shared conformance suite: `expr`, `interp` and `if`.
//!
//! The suite stands beside the project, not in it; without it the test says so and ends.

#[path = "support/conformance.rs"]
mod conformance;

use conformance::{Case, Score};
use serde_json::{Value as Json, json};
use tagline_syntax::expression::{
    Availability, Environment, EvalError, Function, Object, Template, Value, check, convert_if, evaluate, findings,
    parse,
};

/// The contexts of a case; GitHub's others are null, any other name is an error.
struct CaseEnvironment {
    contexts: Value,
}

impl CaseEnvironment {
    fn new(case: &Case) -> Self {
        let contexts = case.json["context"].as_object().cloned().unwrap_or_default();
        let contexts = contexts.iter().map(|(name, context)| {
            let value = Value::from_json(context);
            (name.as_str(), if name == "env" { case_sensitive(&value) } else { value })
        });
        Self { contexts: Value::object(contexts) }
    }

    fn status(&self) -> String {
        let action = self.contexts.get("github").get("action_status");
        let job = self.contexts.get("job").get("status");
        let status = if action.is_truthy() { action } else { job };
        if status.is_truthy() { status.to_text().into_owned() } else { "success".to_owned() }
    }

    fn knows(&self, name: &str) -> bool {
        Availability::CONTEXTS.contains(&name)
            || self.contexts.as_object().is_some_and(|known| known.get(name).is_some())
    }
}

fn case_sensitive(env: &Value) -> Value {
    let mut object = Object::case_sensitive();
    for (key, value) in env.as_object().into_iter().flat_map(Object::iter) {
        object.insert(key, value.clone());
    }
    object.into()
}

impl Environment for CaseEnvironment {
    fn context(&self, name: &str) -> Option<Value> {
        self.knows(name).then(|| self.contexts.get(name))
    }

    fn call(&self, function: Function, _: &[Value]) -> Option<Result<Value, EvalError>> {
        let holds = match function {
            Function::Success => self.status() == "success",
            Function::Failure => self.status() == "failure",
            Function::Cancelled => self.status() == "cancelled",
            Function::Always => true,
            _ => return None,
        };
        Some(Ok(Value::Bool(holds)))
    }
}

/// The value of an expression as the suite writes it, or what is wrong with it.
fn eval(input: &str, environment: &CaseEnvironment) -> Result<Json, String> {
    let expr = parse(input).map_err(|error| error.to_string())?;
    // GitHub refuses unknown names even where they are not evaluated.
    if let Some(unknown) = expr.references().into_iter().find(|used| !environment.knows(&used.context)) {
        return Err(format!("unknown context {unknown}"));
    }
    let value = evaluate(&expr, environment).map_err(|error| error.to_string())?;
    Ok(json!({ "kind": value.kind(), "value": value.to_json() }))
}

fn same(value: &Json, expected: &Json) -> bool {
    match (value, expected) {
        (Json::Number(left), Json::Number(right)) => left.as_f64() == right.as_f64(),
        (Json::Array(left), Json::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same(left, right))
        }
        (Json::Object(left), Json::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(key, value)| right.get(key).is_some_and(|other| same(value, other)))
        }
        (left, right) => left == right,
    }
}

/// GitHub's verdict where there is one. Its evaluator was run without contexts and without the special
/// functions, so errors about these are no verdict.
fn verdict(case: &Case) -> &Json {
    let official = &case.json["official"];
    let message = official["message"].as_str().unwrap_or_default();
    let no_verdict = official.is_null() || message == "special" || message.starts_with("Cannot read properties");
    if no_verdict { &case.json["expected"] } else { official }
}

fn is_error(verdict: &Json) -> bool {
    verdict.get("error").is_some()
}

fn expr_case(case: &Case) -> bool {
    if case.json.get("availability").is_some() || case.json["expected"].get("checks").is_some() {
        return checked_case(case);
    }
    let result = eval(case.input(), &CaseEnvironment::new(case));
    let expected = verdict(case);
    match result {
        Ok(value) => {
            !is_error(expected) && same(&value["value"], &expected["value"]) && value["kind"] == expected["kind"]
        }
        Err(_) => is_error(expected),
    }
}

/// Cases of the parser and the type checker: does it parse, and are its names known?
fn checked_case(case: &Case) -> bool {
    let (expected, official) = (&case.json["expected"], &case.json["official"]);
    let parsed = parse(case.input());
    let parses = expected.get("parses").and_then(Json::as_bool);
    if let Some(parses) = parses.or(is_error(expected).then_some(false)) {
        let message = official["message"].as_str().unwrap_or_default();
        let only_names = message.starts_with("Unrecognized named-value");
        let expected = match official["error"].as_str() {
            Some("lex" | "parse") if !only_names => false,
            None if !official.is_null() => true,
            _ => parses,
        };
        let contexts = case.json["availability"]["availContexts"].as_array();
        let allowed = |name: &str| contexts.is_none_or(|contexts| contexts.iter().any(|context| context == name));
        let accepted = parsed.is_ok_and(|expr| expr.references().iter().all(|used| allowed(&used.context)));
        return accepted == expected;
    }
    let clean =
        parsed.is_ok_and(|expr| check(&expr, &Availability::EVERYTHING).is_empty() && findings(&expr).is_empty());
    // What GitHub itself cannot evaluate is a mistake, whatever a third party says.
    if is_error(verdict(case)) {
        return !clean;
    }
    clean == expected["checks"].as_bool().unwrap_or(false)
}

fn interp_case(case: &Case) -> bool {
    let environment = CaseEnvironment::new(case);
    let text = Template::parse(case.input())
        .map_err(|error| error.to_string())
        .and_then(|template| template.evaluate_text(&environment).map_err(|error| error.to_string()));
    match text {
        Ok(text) => verdict(case)["value"] == text,
        Err(_) => is_error(verdict(case)),
    }
}

fn if_case(case: &Case) -> bool {
    let environment = CaseEnvironment::new(case);
    let holds = convert_if(case.input())
        .map_err(|error| error.to_string())
        .and_then(|condition| condition.evaluate(&environment).map_err(|error| error.to_string()));
    match holds {
        Ok(holds) => verdict(case)["value"] == holds,
        Err(_) => is_error(verdict(case)),
    }
}

#[test]
fn expressions_agree_with_github() {
    let Some(cases) = conformance::load(&["expr", "interp", "if"]) else {
        return;
    };
    let mut score = Score::default();
    for case in &cases {
        let passed = match case.kind() {
            "expr" => expr_case(case),
            "interp" => interp_case(case),
            _ => if_case(case),
        };
        score.add(case, passed);
    }
    score.print();
    assert!(score.percent() >= 98.5, "{:.1} % of the expression cases pass", score.percent());
}
