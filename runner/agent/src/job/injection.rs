//! What comes from outside is data: a value a stranger may have chosen must not be read by a shell as program text.
//!
//! `${{ }}` in `run:` gives the same text as on GitHub. Where the value comes from the event, a ref's name, an input
//! or another step's or job's output, and holds a character a shell acts on, the step stops and says how to pass it.

use tagline_syntax::expression::{Expr, PartKind, Reference, Template};

use super::scope::{Failure, HashFiles, Scope};

/// Characters a shell acts on, beside line ends and control characters. A space or an equals sign only parts words.
const ACTED_ON: &str = "$`\"'\\;&|<>(){}[]*?!#";

/// The script with its expressions evaluated, or why it must not run.
pub(super) fn expand(scope: &Scope, script: &str, hash: &HashFiles<'_>) -> Result<String, Failure> {
    let template = Template::parse(script).map_err(|error| error.to_string())?;
    for part in template.parts() {
        if let PartKind::Expression(expression) = &part.kind
            && let Some(reference) = from_outside(scope, expression)
        {
            let value = scope.expression(expression, hash)?;
            refuse(&script[part.start..part.end], &reference, &value)?;
        }
    }
    scope.text(script, hash)
}

/// The first use of a value from outside.
fn from_outside(scope: &Scope, expression: &Expr) -> Option<Reference> {
    expression.references().into_iter().find(|reference| is_outside(scope, reference))
}

/// Whether a template takes something from outside.
pub(super) fn is_tainted(scope: &Scope, template: &str) -> bool {
    Template::parse(template)
        .is_ok_and(|template| template.references().iter().any(|reference| is_outside(scope, reference)))
}

fn is_outside(scope: &Scope, reference: &Reference) -> bool {
    let mut keys = reference.keys().map(str::to_ascii_lowercase);
    let first = keys.next();
    match (reference.context.as_str(), first.as_deref()) {
        ("inputs", _) => true,
        ("matrix", _) => scope.matrix_from_outside,
        // The whole context holds the outputs as well.
        ("steps" | "needs", _) => !matches!(keys.next().as_deref(), Some("outcome" | "conclusion" | "result")),
        ("github", first) => matches!(
            first,
            None | Some("event" | "ref" | "ref_name" | "head_ref" | "base_ref" | "actor" | "triggering_actor")
        ),
        // Names of variables differ by case.
        ("env", Some(_)) => reference.keys().next().is_some_and(|name| scope.tainted.contains(name)),
        ("env", None) => !scope.tainted.is_empty(),
        _ => false,
    }
}

fn refuse(source: &str, reference: &Reference, value: &str) -> Result<(), Failure> {
    let acted_on = |character: &char| character.is_control() && *character != '\t' || ACTED_ON.contains(*character);
    let Some(found) = value.chars().find(acted_on) else {
        return Ok(());
    };
    let found = match found {
        '\n' | '\r' => "a line end".to_owned(),
        other if other.is_control() => "a control character".to_owned(),
        other => format!("`{other}`"),
    };
    Err(format!(
        "`{source}` holds {found}, which the shell would act on, and `{reference}` comes from outside; pass it as \
         data: `env: {{ VALUE: {source} }}` at the step and \"$VALUE\" in the script"
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tagline_protocol::Contexts;
    use tagline_syntax::expression::Value;

    use super::*;

    fn scope(message: &str) -> Scope {
        let contexts = json!({
            "github": {"event": {"head_commit": {"message": message}}, "sha": "a;b"},
            "inputs": {"name": message}, "vars": {"v": message}, "needs": {"a": {"outputs": {"x": message}, "result": "success"}},
            "matrix": {}, "strategy": {}, "secrets": {"token": "s;s"},
        });
        let contexts: Contexts = serde_json::from_value(contexts).unwrap();
        Scope::new(&contexts, Value::Null)
    }

    fn expand_with(message: &str, script: &str) -> Result<String, Failure> {
        let hash = |_: &[Value]| Ok(Value::Null);
        expand(&scope(message), script, &hash)
    }

    #[test]
    fn a_matrix_counts_as_what_it_was_made_from() {
        let hash = |_: &[Value]| Ok(Value::Null);
        let contexts: Contexts = serde_json::from_value(json!({
            "github": {}, "inputs": {}, "vars": {}, "needs": {}, "strategy": {}, "secrets": {},
            "matrix": {"v": "a; id"}, "matrix_from_outside": true,
        }))
        .unwrap();
        let from_outputs = Scope::new(&contexts, Value::Null);
        assert!(
            expand(&from_outputs, "echo ${{ matrix.v }}", &hash).unwrap_err().contains("`matrix.v` comes from outside")
        );
        let scope = Scope::new(&Contexts { matrix_from_outside: false, ..contexts }, Value::Null);
        assert_eq!(expand(&scope, "echo ${{ matrix.v }}", &hash).unwrap(), "echo a; id");
    }

    #[test]
    fn harmless_values_are_put_in_as_on_github() {
        let script = "echo \"${{ github.event.head_commit.message }}\" ${{ needs.a.outputs.x }}";
        assert_eq!(expand_with("Fix it, v1.2", script).unwrap(), "echo \"Fix it, v1.2\" Fix it, v1.2");
    }

    #[test]
    fn values_from_outside_that_a_shell_acts_on_stop_the_step() {
        for message in ["x\";echo hi;#", "$(id)", "`id`", "a\nb", "a|b", "a'b", "x>y", "a&b", "\u{0}"] {
            for source in [
                "github.event.head_commit.message",
                "inputs.name",
                "needs.a.outputs.x",
                "format('{0}', inputs.name)",
                "toJSON(github)",
                "github.event['head_commit'].message",
            ] {
                let error = expand_with(message, &format!("echo ${{{{ {source} }}}}")).unwrap_err();
                assert!(error.contains("env:"), "{error}");
            }
        }
    }

    #[test]
    fn what_the_repository_says_itself_is_trusted() {
        for source in ["vars.v", "github.sha", "secrets.token", "needs.a.result", "inputs.name == 'x;y'"] {
            assert!(expand_with("x;y", &format!("echo ${{{{ {source} }}}}")).is_ok(), "{source}");
        }
    }

    #[test]
    fn variables_filled_from_outside_stay_what_they_are() {
        let mut scope = scope("x");
        scope.env.insert("MESSAGE".into(), "a;b".into());
        let hash = |_: &[Value]| Ok(Value::Null);
        assert!(expand(&scope, "echo ${{ env.MESSAGE }}", &hash).is_ok());
        scope.tainted.insert("MESSAGE".into());
        assert!(expand(&scope, "echo ${{ env.MESSAGE }}", &hash).is_err());
    }
}
