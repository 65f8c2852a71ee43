//! Mistakes an expression shows without any values: calls that must fail, and names that are never there.

use super::ast::{Expr, ExprKind, Reference};
use super::builtin::{FormatPiece, format_pieces};
use super::error::ExprError;
use super::function::Function;
use super::suggest::did_you_mean;
use super::value::Value;

/// A mistake in an expression that parses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What is wrong, and where.
    pub error: ExprError,
    /// Whether evaluating that part always fails; else it works, but hardly as meant.
    pub fails: bool,
}

/// The mistakes of an expression, in the order of the text.
pub fn findings(expr: &Expr) -> Vec<Finding> {
    let mut found = Vec::new();
    expr.walk(&mut |node| {
        if let ExprKind::Call(function, arguments) = &node.kind {
            let messages = call_findings(*function, arguments);
            found.extend(messages.into_iter().map(|(message, fails)| finding(message, node.start, node.end, fails)));
        }
    });
    for used in expr.references() {
        let message = unknown_property(&used).or_else(|| impossible_name(&used));
        found.extend(message.map(|message| finding(message, used.start, used.end, false)));
    }
    found.sort_by_key(|finding| finding.error.start);
    found
}

fn finding(message: String, start: usize, end: usize, fails: bool) -> Finding {
    Finding { error: ExprError::new(message, start, end), fails }
}

fn literal(expr: &Expr) -> Option<&Value> {
    match &expr.kind {
        ExprKind::Literal(value) => Some(value),
        _ => None,
    }
}

/// What is wrong with a call, each with whether it makes the call fail.
fn call_findings(function: Function, arguments: &[Expr]) -> Vec<(String, bool)> {
    match (function, arguments) {
        (Function::Format, [text, values @ ..]) => format_findings(text, values.len()),
        (Function::FromJson, [text]) => {
            let text = literal(text).map(Value::to_text);
            let error = text.and_then(|text| serde_json::from_str::<serde::de::IgnoredAny>(&text).err());
            error.into_iter().map(|error| (format!("this is no valid JSON: {error}"), true)).collect()
        }
        (Function::Case, [pairs @ .., _]) => {
            let conditions = pairs.iter().step_by(2).filter_map(literal);
            let wrong = conditions.filter(|value| !matches!(value, Value::Bool(_)));
            wrong
                .map(|value| (format!("a condition of `case` must be true or false, not {}", value.kind()), true))
                .collect()
        }
        (Function::HashFiles, patterns) => {
            let wrong = patterns.iter().filter_map(literal).filter(|value| value.as_str().is_none());
            wrong.map(|value| (format!("a pattern of `hashFiles` is a string, not {}", value.kind()), false)).collect()
        }
        _ => Vec::new(),
    }
}

fn format_findings(text: &Expr, count: usize) -> Vec<(String, bool)> {
    let Some(text) = literal(text).map(Value::to_text) else {
        return Vec::new();
    };
    let pieces = match format_pieces(&text, count) {
        Ok(pieces) => pieces,
        Err(message) => return vec![(message, true)],
    };
    let unused = (0..count).filter(|index| !pieces.contains(&FormatPiece::Value(*index)));
    unused.map(|index| (format!("the text of `format` does not use its value {{{index}}}"), false)).collect()
}

/// Contexts whose keys GitHub fixes, with these keys (documentation page "Contexts").
const CLOSED: &[(&str, &[&str])] = &[
    (
        "github",
        &[
            "action",
            "action_path",
            "action_ref",
            "action_repository",
            "action_status",
            "actor",
            "actor_id",
            "api_url",
            "artifact_cache_size_limit",
            "base_ref",
            "env",
            "event",
            "event_name",
            "event_path",
            "graphql_url",
            "head_ref",
            "job",
            "job_workflow_sha",
            "output",
            "path",
            "ref",
            "ref_name",
            "ref_protected",
            "ref_type",
            "repository",
            "repositoryUrl",
            "repository_id",
            "repository_owner",
            "repository_owner_id",
            "repository_visibility",
            "retention_days",
            "run_attempt",
            "run_id",
            "run_number",
            "secret_source",
            "server_url",
            "sha",
            "state",
            "step_summary",
            "token",
            "triggering_actor",
            "workflow",
            "workflow_ref",
            "workflow_sha",
            "workspace",
        ],
    ),
    ("runner", &["arch", "debug", "environment", "name", "os", "temp", "tool_cache", "workspace"]),
    ("strategy", &["fail-fast", "job-index", "job-total", "max-parallel"]),
];

fn unknown_property(used: &Reference) -> Option<String> {
    let (context, keys) = CLOSED.iter().find(|(context, _)| *context == used.context)?;
    let key = used.keys().next()?;
    if keys.iter().any(|known| known.eq_ignore_ascii_case(key)) {
        return None;
    }
    let hint = did_you_mean(key, keys.iter().copied());
    Some(format!("the context `{context}` has no `{key}`{hint}"))
}

/// Variables and secrets are named by letters, digits and `_`, so any other name is empty for ever.
fn impossible_name(used: &Reference) -> Option<String> {
    let key = used.keys().next().filter(|_| matches!(used.context.as_str(), "vars" | "secrets"))?;
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let possible = !key.is_empty() && key.chars().all(legal) && !key.starts_with(|c: char| c.is_ascii_digit());
    (!possible).then(|| format!("no variable or secret can be named `{key}`: letters, digits and `_` make a name"))
}

#[cfg(test)]
mod tests {
    use super::findings;
    use crate::expression::parse;

    #[test]
    fn mistakes_are_found_without_values() {
        for (text, message, fails) in [
            ("github.refname", "the context `github` has no `refname`; did you mean `ref_name`?", false),
            ("vars.MY-VAR", "no variable or secret can be named `MY-VAR`: letters, digits and `_` make a name", false),
            ("format('{0}', a, b)", "the text of `format` does not use its value {1}", false),
            ("case(null, 'a', 'b')", "a condition of `case` must be true or false, not Null", true),
            ("hashFiles(1)", "a pattern of `hashFiles` is a string, not Number", false),
        ] {
            let found = findings(&parse(text).unwrap());
            assert_eq!(found.len(), 1, "{text}");
            assert_eq!((found[0].error.message.as_str(), found[0].fails), (message, fails));
        }
        assert!(findings(&parse("format('{1}', a)").unwrap())[0].fails);
        assert!(findings(&parse("fromJSON('{')").unwrap())[0].fails);
    }

    #[test]
    fn what_may_be_right_is_let_be() {
        for text in [
            "github.event.anything",
            "github[env.KEY]",
            "github.*",
            "secrets.TOKEN",
            "format(env.TEXT, 1)",
            "case(env.A, 1, 2)",
            "fromJSON(env.A)",
            "steps.a.outputs.b",
            "hashFiles('a', env.B)",
            "github.RUN_ID",
        ] {
            assert_eq!(findings(&parse(text).unwrap()), [], "{text}");
        }
    }
}
