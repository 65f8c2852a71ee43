//! An expression that must fail, or that names what is never there.

use super::{File, Rule};
use crate::diagnostic::Diagnostic;
use crate::expression::findings;

pub(super) struct MistakenExpression;

impl Rule for MistakenExpression {
    fn name(&self) -> &'static str {
        "mistaken-expression"
    }

    fn doc(&self) -> &'static str {
        "Some expressions show without any values that they cannot do what is meant: `fromJSON` of a text that is no \
         JSON, a `case` whose condition is a string, a key that `github` or `runner` never has, a variable whose name \
         no variable can have. GitHub accepts the file; the step fails or gets an empty value."
    }

    fn bad(&self) -> &'static str {
        "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    if: github.refname == 'refs/heads/main'\n"
    }

    fn good(&self) -> &'static str {
        "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    if: github.ref_name == 'main'\n"
    }

    fn check(&self, file: &File<'_>, found: &mut Vec<Diagnostic>) {
        for one in file.expressions() {
            for finding in findings(&one.expr) {
                let span = file.part(one.text, finding.error.start, finding.error.end);
                // Reading reports some of them as errors.
                let told = |told: &Diagnostic| {
                    told.is_error() && told.span().start <= span.start && span.end <= told.span().end
                };
                if found.iter().any(told) {
                    continue;
                }
                let report = Diagnostic::warning(self.name(), span, finding.error.message);
                found.push(if finding.fails { report.help("it fails whenever it is evaluated") } else { report });
            }
        }
    }
}
