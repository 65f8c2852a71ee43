//! `tagline eval`: the value of an expression.

use std::path::Path;

use serde_json::Value as Json;
use tagline_syntax::diagnostic::{Diagnostic, SourceFile, Span};
use tagline_syntax::expression::{
    Availability, Environment, EvalError, ExprError, Function, Object, Reference, Template, TemplateError, Value,
    convert_if, evaluate, nearest, parse, parse_number,
};

use crate::args::EvalArgs;
use crate::context::Context;
use crate::errors;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};

/// Runs it: the value as JSON.
pub(crate) fn run(context: &Context, args: &EvalArgs) -> Outcome {
    let given = args.context.as_deref().map(contexts).transpose()?.unwrap_or(Value::Null);
    let given = Given::new(&given)?;
    let value = value(args, &given).map_err(|wrong| wrong.failure(context, &args.expression))?;
    context.output.json_line(&value);
    Ok(Exit::Done)
}

fn value(args: &EvalArgs, given: &Given) -> Result<Json, Wrong> {
    let text = args.expression.as_str();
    if args.template {
        let template = Template::parse(text)?;
        given.knows_all(&template.references())?;
        return Ok(Json::String(template.evaluate_text(given)?));
    }
    if args.condition {
        return Ok(Json::Bool(convert_if(text)?.evaluate(given)?));
    }
    let expr = parse(text).map_err(TemplateError::from)?;
    // GitHub refuses unknown names also where they are not evaluated.
    given.knows_all(&expr.references())?;
    Ok(evaluate(&expr, given)?.to_json())
}

/// The contexts: JSON, or a file of it.
fn contexts(given: &str) -> Result<Value, Failure> {
    let from_file = !given.trim_start().starts_with('{');
    let text = if from_file {
        std::fs::read_to_string(given).map_err(|error| {
            errors::file("read", Path::new(given), &error).next("name a JSON file, or give the JSON itself")
        })?
    } else {
        given.to_owned()
    };
    let json: Json = serde_json::from_str(&text).map_err(|error| {
        Failure::unusable("bad-context", "the contexts are not JSON").why(error).next("write {\"github\": {…}}")
    })?;
    Ok(typed(&json))
}

/// JSON with `{"$num": "NaN"}` read as the number it stands for.
fn typed(json: &Json) -> Value {
    match json {
        Json::Object(map) => match (map.len(), map.get("$num").and_then(Json::as_str)) {
            (1, Some(number)) => Value::Number(parse_number(number)),
            _ => Value::object(map.iter().map(|(key, value)| (key.as_str(), typed(value)))),
        },
        Json::Array(items) => Value::array(items.iter().map(typed).collect()),
        other => Value::from_json(other),
    }
}

/// The contexts that were given; GitHub's others are null, any other name is an error.
struct Given {
    contexts: Object,
}

impl Given {
    fn new(given: &Value) -> Result<Self, Failure> {
        let mut contexts = Object::new();
        let known = match given {
            Value::Null => return Ok(Self { contexts }),
            other => other.as_object().ok_or_else(|| {
                Failure::unusable("bad-context", "the contexts are not an object").next("write {\"github\": {…}}")
            })?,
        };
        for (name, value) in known.iter() {
            let value = if name.eq_ignore_ascii_case("env") { case_sensitive(value) } else { value.clone() };
            contexts.insert(name, value);
        }
        Ok(Self { contexts })
    }

    fn knows(&self, name: &str) -> bool {
        self.contexts.get(name).is_some() || Availability::CONTEXTS.iter().any(|known| known.eq_ignore_ascii_case(name))
    }

    fn knows_all(&self, references: &[Reference]) -> Result<(), Wrong> {
        let unknown: Vec<ExprError> =
            references.iter().filter(|used| !self.knows(&used.context)).map(unknown_context).collect();
        if unknown.is_empty() { Ok(()) } else { Err(TemplateError { errors: unknown }.into()) }
    }

    fn get(&self, name: &str) -> Value {
        self.contexts.get(name).cloned().unwrap_or_default()
    }

    /// `github.action_status` in a composite action, else `job.status`, else success.
    fn status(&self) -> String {
        let action = self.get("github").get("action_status");
        let status = if action.is_truthy() { action } else { self.get("job").get("status") };
        if status.is_truthy() { status.to_text().into_owned() } else { "success".to_owned() }
    }
}

/// Names of variables are case-sensitive on Linux.
fn case_sensitive(env: &Value) -> Value {
    let Some(given) = env.as_object() else { return env.clone() };
    let mut object = Object::case_sensitive();
    for (key, value) in given.iter() {
        object.insert(key, value.clone());
    }
    object.into()
}

fn unknown_context(used: &Reference) -> ExprError {
    let hint = nearest(&used.context, Availability::CONTEXTS.iter().copied())
        .map(|name| format!("; did you mean `{name}`?"))
        .unwrap_or_default();
    ExprError::new(format!("there is no context `{}`{hint}", used.context), used.start, used.end)
}

impl Environment for Given {
    fn context(&self, name: &str) -> Option<Value> {
        self.knows(name).then(|| self.get(name))
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

/// What is wrong with the text, with places in it.
enum Wrong {
    Text(TemplateError),
    Value(EvalError),
}

impl From<TemplateError> for Wrong {
    fn from(error: TemplateError) -> Self {
        Self::Text(error)
    }
}

impl From<EvalError> for Wrong {
    fn from(error: EvalError) -> Self {
        Self::Value(error)
    }
}

impl Wrong {
    fn failure(self, context: &Context, text: &str) -> Failure {
        let source = SourceFile::new("EXPR", text);
        let (code, found) = match self {
            Self::Text(error) => ("bad-expression", error.errors),
            Self::Value(error) => {
                let (start, end) = error.span.unwrap_or((0, text.len()));
                ("failed-expression", vec![ExprError::new(error.message, start, end)])
            }
        };
        let drawn = found.iter().map(|one| {
            let diagnostic = Diagnostic::error(code, Span::new(one.start, one.end), one.message.clone());
            crate::diagnostics::render(&source, &diagnostic, &context.output.err)
        });
        let drawn: Vec<String> = drawn.collect();
        Failure::drawn(Exit::Failed, drawn.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn eval(text: &str, contexts: &Json, template: bool, condition: bool) -> Result<Json, String> {
        let given = Given::new(&typed(contexts)).unwrap();
        let args = EvalArgs { expression: text.to_owned(), context: None, template, condition };
        value(&args, &given).map_err(|wrong| match wrong {
            Wrong::Text(error) => error.to_string(),
            Wrong::Value(error) => error.to_string(),
        })
    }

    #[test]
    fn contexts_that_are_not_given_are_null_and_unknown_ones_wrong() {
        assert_eq!(eval("github.ref", &json!({}), false, false), Ok(Json::Null));
        assert_eq!(
            eval("gihub.ref || 1", &json!({}), false, false),
            Err("there is no context `gihub`; did you mean `github`?".into())
        );
        assert_eq!(eval("true || gihub", &json!({}), false, false).map_err(|_| ()), Err(()));
    }

    #[test]
    fn numbers_json_has_not_got_are_written_out() {
        assert_eq!(eval("0 / 0", &json!({}), false, false).map_err(|_| ()), Err(()));
        assert_eq!(
            eval("inputs.n", &json!({"inputs": {"n": {"$num": "NaN"}}}), false, false),
            Ok(json!({"$num": "NaN"}))
        );
        assert_eq!(eval("1.0", &json!({}), false, false), Ok(json!(1)));
    }

    #[test]
    fn templates_are_text_and_conditions_boolean() {
        let contexts = json!({"github": {"ref": "v1"}, "job": {"status": "failure"}});
        assert_eq!(eval("a-${{ github.ref }}", &contexts, true, false), Ok(json!("a-v1")));
        assert_eq!(eval("github.ref == 'v1'", &contexts, false, true), Ok(json!(false)));
        assert_eq!(eval("failure()", &contexts, false, true), Ok(json!(true)));
    }
}
