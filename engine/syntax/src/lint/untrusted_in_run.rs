//! A value from outside becomes part of a script.

use super::{Expression, File, Rule};
use crate::diagnostic::{Diagnostic, Span};
use crate::expression::{Expr, ExprKind, Function, Reference};

pub(super) struct UntrustedInRun;

/// Last keys of an event's values that are numbers, hashes or fixed words, never free text.
const HARMLESS: &[&str] = &[
    "action",
    "after",
    "before",
    "created_at",
    "deleted",
    "draft",
    "forced",
    "id",
    "merged",
    "node_id",
    "number",
    "prerelease",
    "private",
    "sha",
    "updated_at",
];

impl Rule for UntrustedInRun {
    fn name(&self) -> &'static str {
        "untrusted-in-run"
    }

    fn doc(&self) -> &'static str {
        "`${{ }}` in `run` is put into the script before a shell reads it. A value that others choose, such as the message \
         of a commit, the name of a ref or the output of a step, can then be code. The engine stops the step when such a \
         value holds shell characters. Hand it over in `env` instead: the shell never reads the value of a variable as code."
    }

    fn bad(&self) -> &'static str {
        "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      \
         - run: echo \"${{ github.event.head_commit.message }}\"\n"
    }

    fn good(&self) -> &'static str {
        "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - run: echo \"$MSG\"\n        env:\n          \
         MSG: ${{ github.event.head_commit.message }}\n"
    }

    fn check(&self, file: &File<'_>, found: &mut Vec<Diagnostic>) {
        for (span, what) in places(file) {
            let message = format!("{what} becomes shell text; the step stops if it holds shell characters");
            found.push(Diagnostic::warning(self.name(), span, message).help(REMEDY));
        }
    }
}

/// What to write instead.
pub(super) const REMEDY: &str = "env: { MSG: \"${{ … }}\" }, run: echo \"$MSG\"";

/// Every place where a value from outside becomes part of a script, with what it is.
pub(super) fn places(file: &File<'_>) -> Vec<(Span, String)> {
    let place = |one: &Expression<'_>| {
        let mut values = Vec::new();
        flowing(&one.expr, &mut values);
        let what = values.iter().find_map(describe)?;
        let value = &one.text.text;
        let open = value[..one.expr.start].rfind("${{").unwrap_or(one.expr.start);
        let close = value[one.expr.end..].find("}}").map_or(one.expr.end, |at| one.expr.end + at + 2);
        Some((file.part(one.text, open, close), what))
    };
    file.expressions().iter().filter(|one| one.place.script).filter_map(place).collect()
}

/// The references whose value becomes the expression's value; what is only compared does not.
fn flowing(expr: &Expr, values: &mut Vec<Reference>) {
    match &expr.kind {
        ExprKind::Literal(_) | ExprKind::Not(_) | ExprKind::Compare(..) => {}
        ExprKind::And(operands) | ExprKind::Or(operands) => {
            for one in operands {
                flowing(one, values);
            }
        }
        ExprKind::Call(function, arguments) => {
            let passes = matches!(
                function,
                Function::Format | Function::Join | Function::ToJson | Function::FromJson | Function::Case
            );
            if passes {
                for one in arguments {
                    flowing(one, values);
                }
            }
        }
        ExprKind::Context(_) | ExprKind::Index(..) | ExprKind::Star(_) => values.extend(expr.references()),
    }
}

/// What an untrusted value is, for the message; nothing for a trusted one.
fn describe(reference: &Reference) -> Option<String> {
    let keys: Vec<String> = reference.keys().map(str::to_lowercase).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    match (reference.context.as_str(), keys.as_slice()) {
        ("github", ["event", .., last]) if HARMLESS.contains(last) && !reference.is_dynamic() => None,
        ("github", ["event", "head_commit", "message"]) => Some("the commit message".to_owned()),
        ("github", ["event", ..]) => Some(format!("`{reference}` of the event")),
        ("github", ["ref" | "ref_name" | "head_ref" | "base_ref"]) => Some("the name of the ref".to_owned()),
        ("github", []) => Some("the whole `github` context".to_owned()),
        ("steps", [step, "outputs", ..]) => Some(format!("an output of the step `{step}`")),
        ("steps", [_] | []) if reference.is_dynamic() => Some("an output of a step".to_owned()),
        ("needs", [job, "outputs", ..]) => Some(format!("an output of the job `{job}`")),
        ("needs", [_] | []) if reference.is_dynamic() => Some("an output of a job".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::diagnostic::SourceFile;
    use crate::lint::{Options, run};

    fn found(script: &str) -> Vec<String> {
        let text = format!("on: push\njobs:\n  a:\n    runs-on: x\n    steps:\n      - run: {script}\n");
        let source = SourceFile::new("a.yml", text);
        let found = run(&source, &Options::default());
        let own = found.iter().filter(|one| one.code == "untrusted-in-run");
        own.map(|one| source.slice(one.span()).to_owned()).collect()
    }

    #[test]
    fn the_place_is_the_expression() {
        let script = "|\n          echo ok\n          echo ${{ github.sha }} ${{ steps.a.outputs.b }}";
        assert_eq!(found(script), ["${{ steps.a.outputs.b }}"]);
    }

    #[test]
    fn what_is_compared_or_counted_is_harmless() {
        assert_eq!(found("echo ${{ github.event.number }} ${{ github.event.title == 'x' }} ${{ runner.os }}"), [""; 0]);
        assert_eq!(found("echo ${{ contains(github.event.title, 'x') && 'a' || 'b' }}"), [""; 0]);
        assert_eq!(found("echo ${{ format('{0}', github.head_ref) }}").len(), 1);
        assert_eq!(found("echo ${{ toJSON(github.event) }}").len(), 1);
    }
}
